
// Which head and pair are shown, and the address that leads to them.

/** The place where a pair adds most; the last query and what it looks at most if there is none. */
function firstPlace(pair) {
  const strongest = extent((pair?.entries ?? []).map(([, , value]) => Math.abs(value)))[1];
  const found = pair?.entries.find(([, , value]) => Math.abs(value) === strongest);
  if (found) return [found[0], found[1]];
  return [N_TOKENS - 1, strongestKey(N_TOKENS - 1)];
}

/** Shows a head, with a pair of it or its strongest. */
function showHead(index, pair = null) {
  shown.head = index;
  const head = headNow();
  shown.pair = pair ?? head.pairs[0] ?? null;
  [shown.query, shown.key] = firstPlace(shown.pair);
  showSummary();
  byId("pairs").hidden = head.pairs.length === 0;
  showColours();
  showList();
  showDetail();
  showExplained();
  showPlace();
}

/** The head and pair of the address, `#h5` or `#h5-p12-34`; null if it names none of this page. */
function addressed() {
  const found = /^#h(\d+)(?:-p(\d+)-(\d+))?$/.exec(location.hash);
  const index = found ? DATA.heads.findIndex((head) => head.head === Number(found[1])) : -1;
  if (index < 0) return null;
  const [query, key] = [Number(found[2]), Number(found[3])];
  const pair = DATA.heads[index].pairs.find((of) => of.query_feature === query && of.key_feature === key);
  return { index, pair: pair ?? null };
}

function follow() {
  const found = addressed();
  if (!found || (found.index === shown.head && found.pair === shown.pair)) return;
  headSwitch(found.index, showHead);
  showHead(found.index, found.pair);
}

function start() {
  byId("published").hidden = !DATA.published;
  const isEmpty = DATA.heads.length === 0 || N_TOKENS === 0;
  byId("nothing").hidden = !isEmpty;
  byId("subtitle").textContent = [DATA.model, DATA.hook].filter((part) => part).join(" \u00b7 ");
  byId("facts").hidden = isEmpty;
  if (isEmpty) return;
  byId("attention").hidden = false;
  showTokens();
  setOptions(byId("filter"), PAIR_FILTERS);
  byId("colour").addEventListener("change", (event) => {
    shown.colour = event.target.value;
    showKeys();
  });
  byId("search").addEventListener("input", (event) => {
    shown.search = event.target.value;
    showList();
  });
  byId("filter").addEventListener("change", (event) => {
    shown.filter = event.target.value;
    showList();
  });
  byId("list").addEventListener("click", (event) => {
    const card = event.target.closest(".pair-card");
    if (card) {
      [shown.query, shown.key] = firstPlace(card.pair);
      selectPair(card.pair);
    }
  });
  walkTokens(byId("detail"));
  addEventListener("hashchange", follow);
  const found = addressed() ?? { index: 0, pair: null };
  headSwitch(found.index, showHead);
  showHead(found.index, found.pair);
}

start();
