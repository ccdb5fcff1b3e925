
// The list of pairs, as cards.

/** Cards that are put on the page at a time. */
const N_CARDS = 60;

function pairCard(pair) {
  const card = element(
    "button",
    { type: "button", class: isSelf(pair) ? "pair-card self" : "pair-card", "aria-pressed": "false" },
    signOf(pair.sum),
    element("span", { class: "features" }, pairWords(pair)),
    isSelf(pair) ? selfBadge() : element("span"),
    labelsOf(pair),
    element("span", { class: "counts" }, `${withSign(pair.sum)} in all \u00b7 ${counted(pair.entries.length, "place")}`),
  );
  card.pair = pair;
  return element("li", {}, card);
}

const list = { pairs: [], host: null };

function growList() {
  const start = list.host.children.length;
  list.host.append(...list.pairs.slice(start, start + N_CARDS).map(pairCard));
  markPair();
  const left = list.pairs.length - list.host.children.length;
  byId("more-pairs")?.remove();
  if (left <= 0) return;
  const more = element("button", { type: "button", id: "more-pairs" }, `Show ${Math.min(left, N_CARDS)} more`);
  more.addEventListener("click", () => {
    const first = list.host.children.length;
    growList();
    list.host.children[first].querySelector("button").focus();
  });
  byId("list").append(more);
}

function showList() {
  const head = headNow();
  list.pairs = head.pairs.filter((pair) => filterMatches(pair, shown.filter) && pairMatches(pair, shown.search));
  list.host = element("ol", { "aria-label": "Pairs of features, the strongest first" });
  byId("list").replaceChildren(list.host);
  byId("list").scrollTop = 0;
  growList();
  if (list.pairs.length === 0) byId("list").append(element("p", { class: "empty" }, "No pair matches."));
  byId("shown").textContent = list.pairs.length === head.pairs.length
    ? counted(head.pairs.length, "pair")
    : `${list.pairs.length} of ${counted(head.pairs.length, "pair")}`;
}

function markPair() {
  for (const card of list.host.querySelectorAll(".pair-card")) {
    card.setAttribute("aria-pressed", String(card.pair === shown.pair));
  }
}

/** Shows a pair, and puts it into the address, so that the page can be sent with it. */
function selectPair(pair) {
  shown.pair = pair;
  const address = `#h${headNow().head}-p${pair.query_feature}-${pair.key_feature}`;
  // Some browsers let pages from disk keep their address only; then it stays as it is.
  if (location.hash !== address) {
    try { history.replaceState(null, "", address); } catch { /* see above */ }
  }
  markPair();
  showColours();
  showDetail();
  showPlace();
}
