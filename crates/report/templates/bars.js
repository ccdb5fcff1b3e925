
// Facts, and bars with their names and numbers.

/** Facts side by side, given as [name, value]; those without a value are left out. */
function facts(pairs) {
  const known = pairs.filter(([, value]) => value !== null && value !== "");
  const fact = ([name, value]) => element("div", {}, element("dt", {}, name), element("dd", {}, value));
  return element("dl", { class: "facts" }, known.map(fact));
}

/**
 * Bars below each other, as long as their numbers are large; where they may be negative
 * (`isSigned`), the sign is a hue.
 *
 * `rows`: `{name, value, text, describe}`; a name is a string or an element, `text` the number as it
 * is read, `describe` what the tooltip says.
 */
function barList(label, rows, { isCompact = false, isSigned = false } = {}) {
  const largest = extent(rows.map((row) => Math.abs(row.value ?? 0)))[1];
  const bar = ({ name, value, text, describe }) => {
    const fill = element("span", { class: "fill", "data-sign": isSigned ? (value < 0 ? "-" : "+") : null });
    fill.style.width = `${largest > 0 ? (Math.abs(value ?? 0) / largest) * 100 : 0}%`;
    const node = element(
      "li",
      {},
      element("span", { class: "bar-name" }, name),
      element("span", { class: "track", "aria-hidden": "true" }, fill),
      element("span", { class: "bar-value tabular" }, text ?? exact(value)),
    );
    if (describe) {
      node.dataset.tip = "cell";
      cellRows.set(node, describe);
    }
    return node;
  };
  return element("ul", { class: isCompact ? "bar-list compact" : "bar-list", "aria-label": label }, rows.map(bar));
}
