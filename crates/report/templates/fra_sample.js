
// One text: its tokens, of which a person picks a query and a key.

/** Everything a person can change. */
const shown = {
  head: 0, // an index of DATA.heads
  query: 0, // an index of DATA.tokens
  key: 0, // at most the query
  pair: null, // one of the pairs of the head
  colour: "attention", // a key of COLOURS
  isCentred: false, // whether the mean over the keys is taken from the scores
  search: "",
  filter: "all", // a key of PAIR_FILTERS
};

const TEXT = { tokens: DATA.tokens, positions: DATA.positions };
const N_TOKENS = DATA.tokens.length;

// In the file the places of a pair stand by query.
for (const pair of DATA.heads.flatMap((head) => head.pairs)) {
  pair.entries = pair.entries.flatMap(([query, keys, values]) => keys.map((key, index) => [query, key, values[index]]));
}

const headNow = () => DATA.heads[shown.head];

/** The place of a query and a key in a lower triangle. */
const placeOf = (query, key) => (query * (query + 1)) / 2 + key;

/** The numbers of a query for every key that it sees. */
const rowOf = (triangle, query) => triangle.slice(placeOf(query, 0), placeOf(query, query) + 1);

/** The first key that a query sees. */
const firstKey = (query) => Math.max(0, query + 1 - Math.max(1, headNow().window ?? Infinity));

const isSeen = (query, key) => key <= query && key >= firstKey(query);

const tokenText = (index) => legible(DATA.vocabulary[DATA.tokens[index]][0]);

/** The terms of a score in the order of the file. */
const TERMS = [
  ["pairs of features", "query features with key features"],
  ["query features \u00d7 rest", "with what is no feature at the key"],
  ["rest \u00d7 key features", "what is no feature at the query, with key features"],
  ["rest \u00d7 rest", "no feature at either"],
];

/** What keys can be coloured by: a name, the numbers of the query, and whether they have a sign. */
const COLOURS = {
  attention: { name: "attention", row: (head) => rowOf(head.pattern, shown.query), isDiverging: false },
  score: { name: "score", row: (head) => rowOf(head.terms.scores, shown.query), isDiverging: true, needsTerms: true },
  ...Object.fromEntries(TERMS.map(([name], term) => [
    `term-${term}`,
    { name, row: (head) => rowOf(head.terms.terms[term], shown.query), isDiverging: true, needsTerms: true },
  ])),
  pair: { name: "the chosen pair", row: () => rowOfPair(shown.pair), isDiverging: true, needsPair: true },
};

/** What a pair adds to the score of every key that the query sees. */
function rowOfPair(pair) {
  const row = new Array(shown.query + 1).fill(0);
  for (const [query, key, value] of pair?.entries ?? []) if (query === shown.query) row[key] = value;
  return row;
}

/** The same numbers without the mean over the keys that the query sees, which changes no attention. */
function centred(row) {
  const seen = row.slice(firstKey(row.length - 1));
  const mean = seen.reduce((sum, value) => sum + value, 0) / seen.length;
  return row.map((value) => value - mean);
}

describers.query = (node) => {
  const index = Number(node.dataset.index);
  const rows = [["position", String(positionOf(TEXT, index))], ["token id", exact(DATA.vocabulary[DATA.tokens[index]][1])]];
  const { pair } = shown;
  const activations = FEATURES.get(pair?.query_feature)?.activations ?? [];
  if (activations.length > 0) rows.push([`activation of #${pair.query_feature}`, exact(activations[index])]);
  return { title: tokenText(index), rows };
};

describers.key = (node) => {
  const index = Number(node.dataset.index);
  const head = headNow();
  const rows = [["position", String(positionOf(TEXT, index))]];
  if (!isSeen(shown.query, index)) return { title: tokenText(index), rows: [...rows, ["seen by the query", "no"]] };
  const at = placeOf(shown.query, index);
  rows.push(["attention", exact(head.pattern[at])]);
  if (head.terms) {
    rows.push(["score", exact(head.terms.scores[at])]);
    TERMS.forEach(([name], term) => rows.push([name, exact(head.terms.terms[term][at])]));
  }
  if (shown.pair) rows.push([`#${shown.pair.query_feature} \u2192 #${shown.pair.key_feature}`, exact(rowOfPair(shown.pair)[index])]);
  return { title: tokenText(index), rows };
};

/** Puts the tokens on the page once; what they look like changes later. */
function showTokens() {
  byId("queries").replaceChildren(tokenList(TEXT, "query", "Tokens, of which one is the query"));
  byId("keys").replaceChildren(tokenList(TEXT, "key", "Tokens, of which one is the key"));
  const pick = (name, changed) => {
    const host = byId(name);
    const chosen = (event) => {
      const token = event.target.closest(".token");
      if (token) changed(Number(token.dataset.index));
    };
    host.addEventListener("click", chosen);
    host.addEventListener("keydown", (event) => {
      if (event.key !== "Enter" && event.key !== " ") return;
      event.preventDefault();
      chosen(event);
    });
    walkTokens(host);
  };
  pick("queries", (index) => goTo(index, Math.min(strongestKey(index), index)));
  pick("keys", (index) => { if (isSeen(shown.query, index)) goTo(shown.query, index); });
}

/** The key that a query looks at most. */
function strongestKey(query) {
  const row = rowOf(headNow().pattern, query);
  return row.indexOf(extent(row)[1]);
}

/** Shows another query and key. */
function goTo(query, key) {
  Object.assign(shown, { query, key });
  showPlace();
}

function showQueries() {
  const tokens = byId("queries").querySelector(".tokens").children;
  const number = shown.pair?.query_feature;
  const activations = FEATURES.get(number)?.activations ?? [];
  const largest = extent(activations)[1];
  [...tokens].forEach((token, index) => {
    const value = activations[index] ?? 0;
    shadeToken(token, value > 0 ? 0.1 + (0.9 * value) / largest : null, false);
    token.classList.toggle("picked", index === shown.query);
    token.toggleAttribute("aria-current", index === shown.query);
  });
  byId("queries-heading").textContent = `Query: ${tokenText(shown.query)}`;
  byId("queries-note").textContent = activations.length > 0 && largest > 0
    ? `click the token that looks; coloured by #${number}`
    : "click the token that looks";
}

function showKeys() {
  const { name, row, isDiverging } = COLOURS[shown.colour];
  let values = row(headNow());
  if (isDiverging && shown.isCentred) values = centred(values);
  const largest = extent(values.slice(firstKey(shown.query)).map((value) => Math.abs(value)))[1];
  const tokens = byId("keys").querySelector(".tokens").children;
  [...tokens].forEach((token, index) => {
    const sees = isSeen(shown.query, index);
    const share = sees && largest > 0 ? values[index] / largest : 0;
    shadeToken(token, share === 0 ? null : share, isDiverging);
    token.classList.toggle("unseen", !sees);
    token.classList.toggle("picked", index === shown.key);
    token.classList.toggle("query", index === shown.query);
    token.toggleAttribute("aria-current", index === shown.key);
  });
  byId("keys-heading").textContent = `Key: ${tokenText(shown.key)}`;
  byId("keys-note").textContent = "click the token that is looked at";
  byId("keys-scale").replaceChildren(isDiverging
    ? scale("diverging", brief(-largest), brief(largest))
    : scale("sequential", "0", brief(largest)));
  byId("keys").querySelector(".tokens").setAttribute("aria-label", `Tokens coloured by ${name}, of which one is the key`);
}

/** The colours that there are for the head and the pair. */
function showColours() {
  const isThere = ({ needsTerms, needsPair }) => (!needsTerms || headNow().terms) && (!needsPair || shown.pair);
  const options = Object.entries(COLOURS).filter(([, colour]) => isThere(colour));
  if (!options.some(([key]) => key === shown.colour)) shown.colour = "attention";
  setOptions(byId("colour"), options.map(([key, { name }]) => [key, name]));
  byId("colour").value = shown.colour;
}

/** Draws everything that the query and the key change. */
function showPlace() {
  showQueries();
  showKeys();
  showScore();
  showPlacePairs();
  markPlace();
  tooltip.refresh();
}

function showSummary() {
  const head = headNow();
  byId("subtitle").textContent = [DATA.model, headName(head), DATA.hook, DATA.sae].filter((part) => part).join(" \u00b7 ");
  const back = head.corpus_page === "" ? null : element("a", { href: head.corpus_page }, "pairs over many texts");
  byId("summary").replaceChildren(facts([
    ["Head", DATA.heads.length > 1 ? null : headName(head)],
    ["Tokens", N_TOKENS.toLocaleString("en")],
    ["Pairs shown", head.pairs.length.toLocaleString("en")],
    ["Features with themselves", head.pairs.length > 0 ? `${head.pairs.filter(isSelf).length} of ${head.pairs.length}` : null],
    ["Token-level induction", head.induction_score === null ? null : fixed(head.induction_score)],
    ["Parts add up to the scores within", head.largest_error === null ? null : scientific(head.largest_error)],
    ["All texts", back],
  ]));
}
