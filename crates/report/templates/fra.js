
// What the pages of feature-resolved attention share: signs, features, heads.

const FEATURES = new Map(DATA.features.map((feature) => [feature.feature, feature]));

/** A number with its sign, for reading. */
const withSign = (value) => (value < 0 ? "\u2212" : "+") + brief(Math.abs(value));

/** What a value does to a score, by arrow, colour, and word; where there is little room the word is only heard. */
function signOf(value, isBrief = false) {
  const [sign, arrow, word] = value < 0 ? ["-", "\u2193", "lowers"] : ["+", "\u2191", "raises"];
  const said = isBrief ? element("span", { class: "visually-hidden" }, word) : word;
  return element("span", { class: isBrief ? "sign brief" : "sign", "data-sign": sign, title: isBrief ? word : null }, `${arrow} `, said);
}

const isSelf = (pair) => pair.query_feature === pair.key_feature;

const selfBadge = () => element("span", { class: "badge", title: "the same feature at query and key" }, "self");

const headName = (head) => `L${DATA.layer}H${head.head}`;

/** What a feature is called: its number, and its label if it has one. */
function featureWords(feature) {
  const label = FEATURES.get(feature)?.label;
  return label ? `#${feature} ${label}` : `#${feature}`;
}

/** The number of a feature, which leads to its page where there is one. */
function featureLink(feature) {
  const name = `#${feature}`;
  return DATA.sae_page === "" ? name : element("a", { href: `${DATA.sae_page}#f${feature}` }, name);
}

/** The two features of a pair, in words that a screen reader can read too. */
function pairWords(pair) {
  return [`#${pair.query_feature}`, element("span", { class: "arrow", "aria-hidden": "true" }, "\u2192"),
    element("span", { class: "visually-hidden" }, " at the query, at the key "), `#${pair.key_feature}`];
}

/** What the features of a pair are called, if either is. */
function labelsOf(pair) {
  const labels = [pair.query_feature, pair.key_feature].map((feature) => FEATURES.get(feature)?.label);
  if (!labels.some((label) => label)) return null;
  return element("span", { class: "labels" }, labels.map((label) => label || "\u2013").join(" \u2192 "));
}

/** The features of a pair in a sentence, with their links. */
function pairTitle(pair) {
  const first = ["Feature ", featureLink(pair.query_feature), " at the query"];
  return isSelf(pair) ? [...first, " and at the key"] : [...first, ", ", featureLink(pair.key_feature), " at the key"];
}

/** Texts of both features of a pair; null if none are known. */
function textsOfPair(pair, nTexts) {
  const roles = isSelf(pair)
    ? [["At the query and at the key", pair.query_feature]]
    : [["At the query", pair.query_feature], ["At the key", pair.key_feature]];
  const side = ([role, number]) => {
    const feature = FEATURES.get(number);
    const texts = feature?.texts ?? [];
    const largest = extent(texts.flatMap((text) => text.activations))[1];
    return element(
      "div",
      {},
      element("h4", {}, `${role}: `, featureLink(number)),
      feature?.label ? element("p", { class: "label" }, feature.label) : null,
      texts.length > 0
        ? element("ul", { class: "samples" }, texts.slice(0, nTexts).map((text) => sample(text, largest)))
        : element("p", { class: "muted small" }, "No texts of this feature were kept."),
    );
  };
  const isKnown = roles.some(([, number]) => FEATURES.has(number));
  return isKnown ? element("div", { class: "feature-texts" }, roles.map(side)) : null;
}

/** Indices of the heads whose pairs are on this page, and not on one of their own. */
const HEADS_HERE = DATA.heads.flatMap((head, index) => (head.page ? [] : [index]));

/** A switch between the heads of this page; hidden where there is one. */
function headSwitch(current, changed) {
  byId("head-field").hidden = HEADS_HERE.length < 2;
  const options = HEADS_HERE.map((index) => [String(index), headName(DATA.heads[index])]);
  segments(byId("head"), "head", options, String(current), (index) => changed(Number(index)));
}

/** Whether a pair has a feature whose number begins, or whose label goes on, as is searched. */
function pairMatches(pair, search) {
  const words = search.toLowerCase().trim();
  if (words === "") return true;
  const numbers = /^#?(\d+)\s*(?:->|\u2192|[\s,/])\s*#?(\d+)$/.exec(words);
  if (numbers) return String(pair.query_feature) === numbers[1] && String(pair.key_feature) === numbers[2];
  const bare = words.replace(/^#/, "");
  return [pair.query_feature, pair.key_feature].some((number) =>
    String(number).startsWith(bare) || (FEATURES.get(number)?.label ?? "").toLowerCase().includes(words));
}

/** Which pairs a sign, or a feature with itself, leaves over. */
const PAIR_FILTERS = [
  ["all", "all pairs"],
  ["raises", "\u2191 raises"],
  ["lowers", "\u2193 lowers"],
  ["self", "self only"],
  ["others", "without self"],
];

function filterMatches(pair, filter) {
  if (filter === "raises") return pair.sum >= 0;
  if (filter === "lowers") return pair.sum < 0;
  if (filter === "self") return isSelf(pair);
  if (filter === "others") return !isSelf(pair);
  return true;
}
