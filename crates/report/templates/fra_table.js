
// The table of pairs, which can be sorted and filtered.

/** Rows that are put on the page at a time. */
const N_ROWS = 200;

/** Texts of a feature that a row unfolds to. */
const N_TEXTS = 3;

const plain = (value) => brief(value);
const integer = (value) => value.toLocaleString("en");

/** A number with its interval in as many digits as it is read with. */
function withInterval(of) {
  if (!of.interval) return brief(of.value);
  const { lower, upper } = of.interval;
  return element("span", {}, brief(of.value), element("span", { class: "interval" }, `[${brief(lower)}, ${brief(upper)}]`));
}

/** Columns after that of the pair: what they are sorted by, and how a cell is written. */
const COLUMNS = {
  count: { name: "count", key: (pair) => pair.count, cell: (pair) => integer(pair.count), ascending: false },
  sum: { name: "sum", key: (pair) => pair.sum, cell: (pair) => withSign(pair.sum), ascending: false },
  mean: { name: "mean", key: (pair) => pair.mean.value, cell: (pair) => withInterval(pair.mean), ascending: false },
  shrunk: { name: "shrunk mean", key: (pair) => pair.shrunk_mean.value, cell: (pair) => withInterval(pair.shrunk_mean), ascending: false },
  max: { name: "maximum", key: (pair) => pair.max, cell: (pair) => plain(pair.max), ascending: false },
  distance: { name: "mean distance", key: (pair) => pair.mean_distance, cell: (pair) => plain(pair.mean_distance), ascending: true },
  induction: { name: "induction", key: (pair) => pair.induction, cell: (pair) => percent(pair.induction), ascending: false },
};

/** The pairs that are asked for, in order. */
function selectedPairs() {
  const found = headNow().pairs.filter((pair) =>
    pair.count >= shown.least && filterMatches(pair, shown.filter) && pairMatches(pair, shown.search));
  if (shown.sort === null) return found;
  const { key } = COLUMNS[shown.sort];
  const sign = shown.ascending ? 1 : -1;
  return found.sort((a, b) => sign * (key(a) - key(b)));
}

/** Pages of texts on which a pair is shown, at the pair. */
function sampleLinks(pair) {
  const address = (index) => {
    const { page } = DATA.samples[index];
    return page.includes("#") ? page : `${page}#h${headNow().head}-p${pair.query_feature}-${pair.key_feature}`;
  };
  return pair.samples.flatMap((index) => [
    element("a", { href: address(index) }, DATA.samples[index].name || `text ${index}`), " ",
  ]);
}

function detailsOf(pair) {
  const links = sampleLinks(pair);
  const missed = pair.missed > 0
    ? element("p", { class: "muted small" }, `The sum of magnitudes may lack up to ${brief(pair.missed)}: the pair was out of sight for a while, because pairs are dropped where memory is short.`)
    : null;
  const inside = element(
    "div",
    { class: "inside" },
    element("p", { class: "labels" }, pairTitle(pair)),
    links.length > 0 ? element("p", { class: "links" }, "Shown on: ", links) : null,
    missed,
    textsOfPair(pair, N_TEXTS) ?? element("p", { class: "muted small" }, "Nothing more is known of these features."),
  );
  return element("tr", { class: "details" }, element("td", { colspan: Object.keys(COLUMNS).length + 2 }, inside));
}

function pairRow(pair, hasLinks) {
  const open = element(
    "button",
    { type: "button", class: "open", "aria-expanded": "false", title: `${featureWords(pair.query_feature)} \u2192 ${featureWords(pair.key_feature)}` },
    pairWords(pair),
  );
  const row = element(
    "tr",
    { class: isSelf(pair) ? "self" : null },
    element("th", { scope: "row" }, element("div", { class: "pair" }, element("span", { class: "together" }, signOf(pair.sum, true), open), isSelf(pair) ? selfBadge() : null), labelsOf(pair)),
    Object.values(COLUMNS).map(({ cell }) => element("td", {}, cell(pair))),
    hasLinks ? element("td", { class: "text-cell" }, sampleLinks(pair).slice(0, 2), pair.samples.length > 1 ? element("span", { class: "muted" }, `+${pair.samples.length - 1}`) : null) : null,
  );
  open.addEventListener("click", () => {
    const isOpen = open.getAttribute("aria-expanded") === "true";
    open.setAttribute("aria-expanded", String(!isOpen));
    if (isOpen) row.nextElementSibling.remove();
    else {
      const details = detailsOf(pair);
      row.after(details);
      for (const tokens of details.querySelectorAll(".samples")) walkTokens(tokens);
    }
  });
  return row;
}

function sortHeader([key, { name, ascending }]) {
  const isCurrent = shown.sort === key;
  const arrow = isCurrent ? (shown.ascending ? " \u2191" : " \u2193") : "";
  const button = element("button", { type: "button", "data-sort": key }, name + arrow);
  button.addEventListener("click", () => {
    shown.ascending = isCurrent ? !shown.ascending : ascending;
    shown.sort = key;
    showTable();
    byId("table").querySelector(`[data-sort="${key}"]`).focus();
  });
  return element("th", { scope: "col", "aria-sort": isCurrent ? (shown.ascending ? "ascending" : "descending") : null }, button);
}

function showTable() {
  const head = headNow();
  const pairs = selectedPairs();
  const body = element("tbody");
  const hasLinks = head.pairs.some((pair) => pair.samples.length > 0);
  const grid = element(
    "table",
    {},
    element("caption", { class: "visually-hidden" }, `Pairs of features of ${headName(head)}`),
    element("thead", {}, element("tr", {}, element("th", { scope: "col" }, "Query \u2192 key"), Object.entries(COLUMNS).map(sortHeader), hasLinks ? element("th", { scope: "col", class: "text-cell" }, "texts") : null)),
    body,
  );
  const more = element("button", { type: "button", id: "more-pairs" });
  const grow = () => {
    const start = body.querySelectorAll("tr:not(.details)").length;
    body.append(...pairs.slice(start, start + N_ROWS).map((pair) => pairRow(pair, hasLinks)));
    const left = pairs.length - start - N_ROWS;
    more.hidden = left <= 0;
    more.textContent = `Show ${Math.min(left, N_ROWS)} more`;
  };
  more.addEventListener("click", grow);
  byId("table").replaceChildren(
    element("div", { class: "scroll", tabindex: "0", role: "region", "aria-label": "Pairs of features" }, grid),
    pairs.length === 0 ? element("p", { class: "empty" }, "No pair matches.") : "",
    more,
  );
  grow();
  const nSelf = pairs.filter(isSelf).length;
  const which = pairs.length === head.pairs.length
    ? counted(pairs.length, "pair")
    : `${pairs.length.toLocaleString("en")} of ${counted(head.pairs.length, "pair")}`;
  byId("shown").textContent = `${which}, ${nSelf.toLocaleString("en")} of them a feature with itself`;
}

function showTableNote() {
  const level = levelWords(headNow().pairs.flatMap((pair) => [pair.mean, pair.shrunk_mean]));
  byId("table-note").textContent = [
    "Sum and mean have the sign of what the pair adds to scores; maximum and shrunk mean are of magnitudes.",
    DATA.shrinkage === "" ? "" : `Shrunk mean: ${DATA.shrinkage}.`,
    "Induction: share of the pair's magnitudes where the key is the token behind an earlier occurrence of the query's.",
    level === "" ? "" : `Brackets are intervals${level}.`,
  ].filter((part) => part).join(" ");
}
