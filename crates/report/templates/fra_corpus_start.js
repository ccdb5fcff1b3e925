
// Which head is shown, and the address that leads to it.

/** Occurrences that can be asked for. */
const LEAST = [0, 5, 20, 100, 1000];

function showHead(index) {
  shown.head = index;
  const address = `#h${headNow().head}`;
  // Some browsers let pages from disk keep their address only; then it stays as it is.
  if (location.hash !== address && HEADS_HERE.length > 1) {
    try { history.replaceState(null, "", address); } catch { /* see above */ }
  }
  showSummary();
  showHeads();
  showSelf();
  byId("pairs").hidden = headNow().pairs.length === 0;
  showTable();
  showTableNote();
}

/** The head of the address, `#h5`; the first if it names none of this page. */
function addressed() {
  const found = /^#h(\d+)/.exec(location.hash);
  return HEADS_HERE.find((index) => DATA.heads[index].head === Number(found?.[1])) ?? HEADS_HERE[0];
}

function follow() {
  const index = addressed();
  if (index === shown.head) return;
  headSwitch(index, showHead);
  showHead(index);
}

function start() {
  byId("published").hidden = !DATA.published;
  byId("configuration").hidden = DATA.config === "";
  byId("config").textContent = DATA.config;
  const isEmpty = HEADS_HERE.length === 0;
  byId("nothing").hidden = !isEmpty;
  byId("facts").hidden = isEmpty;
  byId("subtitle").textContent = [DATA.model, DATA.hook].filter((part) => part).join(" \u00b7 ");
  if (isEmpty) return;
  setOptions(byId("filter"), PAIR_FILTERS);
  setOptions(byId("least"), LEAST.map((least) => [least, least === 0 ? "any number" : `${least.toLocaleString("en")} at least`]));
  byId("search").addEventListener("input", (event) => {
    shown.search = event.target.value;
    showTable();
  });
  byId("filter").addEventListener("change", (event) => {
    shown.filter = event.target.value;
    showTable();
  });
  byId("least").addEventListener("change", (event) => {
    shown.least = Number(event.target.value);
    showTable();
  });
  addEventListener("hashchange", follow);
  const index = addressed();
  headSwitch(index, showHead);
  showHead(index);
}

start();
