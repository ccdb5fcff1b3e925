
// Texts that a feature fires on, coloured by its activations.

/** A share for reading: two digits are what a count is good for. */
function percent(share) {
  return share === null ? "n/a" : `${Number((share * 100).toPrecision(2))} %`;
}

/** A number for a narrow column. */
function brief(value) {
  return value === null ? "n/a" : String(Number(value.toPrecision(3))).replace(/^-/, "\u2212");
}

/** Index of the token that a feature fires on most; null if it fires on none. */
function strongestOf(text) {
  const most = extent(text.activations)[1];
  return most > 0 ? text.activations.indexOf(most) : null;
}

const chip = (token) => element("span", { class: "chip" }, legible(token));

/** What stands under the pointer: the text and the numbers of it that belong to a token. */
const textOf = (node) => node.closest("[role=list]").text;

describers.activation = (node) => describeToken(node, "activation");

function describeToken(node, name) {
  const { text, values } = textOf(node);
  const index = Number(node.dataset.index);
  const [token, id] = DATA.vocabulary[text.tokens[index]];
  const rows = [[name, exact(values[index])], ["token id", exact(id)], ["position", String(positionOf(text, index))]];
  return { title: legible(token), rows };
}

/** The tokens of a text, coloured by numbers of theirs. */
function colouredTokens(text, values, tip, largest, isDiverging) {
  const tokens = tokenList(text, tip, `Tokens of row ${text.row}`);
  tokens.text = { text, values };
  // What fires is seen, however weakly.
  const share = (value) => (isDiverging ? value / largest : 0.1 + (0.9 * value) / largest);
  values.forEach((value, index) => {
    const isBlank = value === null || value === 0 || !(largest > 0);
    if (!isBlank) shadeToken(tokens.children[index], share(value), isDiverging);
  });
  return tokens;
}

function sample(text, largest) {
  const at = strongestOf(text);
  const where = at === null ? "no activation" : `${brief(text.activations[at])} at position ${positionOf(text, at)}`;
  return element(
    "li",
    {},
    element("p", { class: "muted small" }, `Row ${text.row} \u00b7 ${where}`),
    colouredTokens(text, text.activations, "activation", largest, false),
  );
}

/** The colours of a panel and what they mean. */
function scale(kind, low, high) {
  return element("div", { class: "scale" }, element("span", {}, low), element("span", { class: `bar ${kind}` }), element("span", {}, high));
}
