
// The score of one query and one key as a sum, and what the scores of the text are made of.

/** Bars that begin where the one before ended, given as [name, note, value], and their sum, [name, value]. */
function sumOfBars(label, parts, [sumName, total]) {
  let end = 0;
  const bars = parts.map(([name, note, value]) => ({ name, note, value, from: end, to: (end += value) }));
  const [low, high] = extent([0, total, ...bars.flatMap(({ from, to }) => [from, to])]);
  const span = high - low || 1;
  const percentAt = (value) => `${((value - low) / span) * 100}%`;
  const bar = ({ name, note, value, from, to }, index) => {
    const fill = element("span", { class: "fill", "data-sign": value < 0 ? "-" : "+" });
    fill.style.left = percentAt(Math.min(from, to));
    fill.style.width = `${(Math.abs(to - from) / span) * 100}%`;
    const zero = element("span", { class: "zero" });
    zero.style.left = percentAt(0);
    const link = element("span", { class: "link" });
    link.style.left = percentAt(to);
    const isTotal = index === bars.length;
    return element(
      "li",
      { class: isTotal ? "total" : null },
      element("span", {}, name, note ? element("span", { class: "what" }, note) : null),
      element("span", { class: "track", "aria-hidden": "true" }, zero, fill, isTotal ? null : link),
      element("span", { class: "bar-value tabular" }, isTotal ? brief(value) : withSign(value)),
    );
  };
  const sum = { name: sumName, note: "", value: total, from: 0, to: total };
  return element("ul", { class: "sum", "aria-label": label }, [...bars, sum].map(bar));
}

function showScore() {
  const { terms, pattern } = headNow();
  byId("score").hidden = terms === null;
  if (!terms) return;
  const { query, key } = shown;
  const value = (triangle) => {
    const row = rowOf(triangle, query);
    return (shown.isCentred ? centred(row) : row)[key];
  };
  const parts = TERMS.map(([name, note], term) => [name, note, value(terms.terms[term])]);
  const box = element("input", { type: "checkbox", id: "centred", checked: shown.isCentred });
  box.addEventListener("change", () => {
    shown.isCentred = box.checked;
    showPlace();
    byId("centred").focus();
  });
  byId("score").replaceChildren(
    element(
      "div",
      { class: "panel-head" },
      element("h3", {}, "The score of ", chip(tokenOf(key)), " for ", chip(tokenOf(query))),
      element("span", { class: "muted small" }, `attention ${brief(pattern[placeOf(query, key)])}`),
    ),
    element("label", { class: "check" }, box, element("span", {}, "relative to the mean of the query's keys")),
    sumOfBars("Parts of the score", parts, [shown.isCentred ? "= score, relative" : "= score", value(terms.scores)]),
  );
}

const tokenOf = (index) => DATA.vocabulary[DATA.tokens[index]][0];

/** Pairs that are known to add something at the place. */
function showPlacePairs() {
  const { query, key } = shown;
  const head = headNow();
  const found = head.pairs
    .map((pair) => ({ pair, value: pair.entries.find(([q, k]) => q === query && k === key)?.[2] ?? 0 }))
    .filter(({ value }) => value !== 0)
    .sort((a, b) => Math.abs(b.value) - Math.abs(a.value));
  const name = (pair) => {
    const button = element("button", { type: "button", class: "link-button" }, pairWords(pair));
    button.addEventListener("click", () => selectPair(pair));
    return element("span", {}, button, isSelf(pair) ? [" ", selfBadge()] : null);
  };
  const rows = found.slice(0, 10).map(({ pair, value }) => ({
    name: name(pair),
    value,
    text: withSign(value),
    describe: { title: `${featureWords(pair.query_feature)} \u2192 ${featureWords(pair.key_feature)}`, rows: [["adds here", exact(value)], ["over the text", exact(pair.sum)]] },
  }));
  const sum = found.reduce((total, { value }) => total + value, 0);
  const all = head.terms?.terms[0][placeOf(query, key)] ?? null;
  const together = found.length === 1 ? "One of the pairs shown adds" : `${found.length} of the pairs shown add`;
  const note = `${together} ${withSign(sum)}${all === null ? "" : `; all pairs of features, ${withSign(all)}`}.`;
  byId("place-pairs").replaceChildren(
    element("h3", {}, "Pairs at this place"),
    rows.length > 0
      ? barList("Pairs at this place", rows, { isSigned: true })
      : element("p", { class: "empty" }, "None of the pairs shown adds anything here."),
    rows.length > 0 ? element("p", { class: "muted small" }, note) : "",
  );
}

/** Shares of the terms in all scores of the text. */
function showExplained() {
  const { terms } = headNow();
  byId("explained").hidden = terms === null || N_TOKENS < 2;
  if (byId("explained").hidden) return;
  const { shares, magnitudes } = terms;
  const row = ([name, note], term) => ({
    name: element("span", { title: note }, name),
    value: shares?.[term] ?? 0,
    text: shares ? percent(shares[term]).replace("-", "\u2212") : "n/a",
    describe: { title: name, rows: [["share of the scores", shares ? exact(shares[term]) : "n/a"], ["mean magnitude", exact(magnitudes[term])]] },
  });
  byId("explained-panel").replaceChildren(
    element("h3", {}, `Share of each term in the scores of ${headName(headNow())}`),
    barList("Share of each term", TERMS.map(row), { isSigned: true }),
    element("p", { class: "muted small" }, `Mean magnitudes: ${TERMS.map(([name], term) => `${name} ${brief(magnitudes[term])}`).join(", ")}.`),
    element("p", { class: "muted small" }, "How the scores of a query differ from key to key, and how much of that each term makes; the shares add up to 100 %, and one that works against the others is negative. What is the same for all keys of a query changes no attention, and counts for nothing here."),
  );
}
