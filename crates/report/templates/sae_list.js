
// The list of features. It grows while it is scrolled, so that thousands are as quick as a hundred.

const N_ROWS = 120;

const SORTS = {
  feature: { name: "Feature", key: (feature) => feature.feature, ascending: true },
  density: { name: "Density", key: (feature) => feature.density, ascending: false },
  max: { name: "Max", key: (feature) => feature.max_activation, ascending: false },
};

const RANGES = {
  all: ["any", 0, Infinity],
  rare: ["below 0.01 %", 0, 1e-4],
  low: ["0.01 to 0.1 %", 1e-4, 1e-3],
  middle: ["0.1 to 1 %", 1e-3, 1e-2],
  high: ["1 to 10 %", 1e-2, 0.1],
  dense: ["10 % and more", 0.1, Infinity],
};

/** A feature in lower case: what a search looks in. */
function searchable(feature) {
  feature.searchable ??= `${feature.label}\n${hintsOf(feature).join("\n")}`.toLowerCase();
  return feature.searchable;
}

/** The features that are asked for, in order. */
function selectedFeatures() {
  const words = shown.search.toLowerCase().trim().replace(/^#/, "");
  const [, low, high] = RANGES[shown.range];
  const matches = (feature) => {
    const { density } = feature;
    if (shown.range !== "all" && !(density !== null && density >= low && density < high)) return false;
    return words === "" || String(feature.feature).startsWith(words) || searchable(feature).includes(words);
  };
  const found = DATA.features.filter(matches);
  if (shown.sort === null) return found;
  const { key } = SORTS[shown.sort];
  const sign = shown.ascending ? 1 : -1;
  // What is not known comes last in either direction.
  const compare = (a, b) => {
    if (a === null || b === null) return (a === null) - (b === null);
    return sign * (a - b);
  };
  return found.sort((a, b) => compare(key(a), key(b)) || a.feature - b.feature);
}

const list = { features: [], body: null, more: null };

describers.feature = (node) => {
  const feature = BY_NUMBER.get(Number(node.closest("tr").dataset.feature));
  const rows = [["density", exact(feature.density)], ["largest activation", exact(feature.max_activation)]];
  return { title: feature.label || hintsOf(feature).slice(0, 10).map(legible).join(" "), rows };
};

function listRow(feature) {
  const link = element("a", { href: `#f${feature.feature}`, tabindex: "-1" }, `#${feature.feature}`);
  const hints = feature.label ? [feature.label] : hintsOf(feature).slice(0, 5).map(chip);
  const row = element(
    "tr",
    { "data-feature": feature.feature },
    element("th", { scope: "row" }, link),
    element("td", { "data-tip": "feature" }, hints),
    element("td", {}, percent(feature.density)),
    element("td", {}, brief(feature.max_activation)),
  );
  return row;
}

/** Puts the next rows on the page. */
function growList(n = N_ROWS) {
  const start = list.body.children.length;
  list.body.append(...list.features.slice(start, start + n).map(listRow));
  markCurrent();
  list.more.hidden = list.body.children.length >= list.features.length;
}

const listEnd = new IntersectionObserver(
  ([{ isIntersecting }]) => {
    if (!isIntersecting || list.more.hidden) return;
    growList();
    // The end may still be in sight, and then nothing would say so again.
    listEnd.unobserve(list.more);
    listEnd.observe(list.more);
  },
  { root: byId("list"), rootMargin: "300px 0px" },
);

function sortHeader([key, { name, ascending }]) {
  const isCurrent = shown.sort === key;
  const arrow = isCurrent ? (shown.ascending ? " \u2191" : " \u2193") : "";
  const button = element("button", { type: "button", "data-sort": key }, name + arrow);
  button.addEventListener("click", () => {
    shown.ascending = isCurrent ? !shown.ascending : ascending;
    shown.sort = key;
    showList();
    byId("list").querySelector(`[data-sort="${key}"]`).focus();
  });
  const order = isCurrent ? (shown.ascending ? "ascending" : "descending") : null;
  return element("th", { scope: "col", "aria-sort": order }, button);
}

/** Lists the features that are asked for. */
function showList() {
  list.features = selectedFeatures();
  list.body = element("tbody");
  list.more = element("p", { class: "muted small" }, "\u2026");
  const [number, ...numbers] = Object.entries(SORTS).map(sortHeader);
  const hints = element("th", { scope: "col" }, "Fires on");
  byId("list").replaceChildren(
    element(
      "table",
      {},
      element("caption", { class: "visually-hidden" }, "Features"),
      element("thead", {}, element("tr", {}, number, hints, numbers)),
      list.body,
    ),
    list.more,
  );
  byId("list").scrollTop = 0;
  growList();
  listEnd.disconnect();
  listEnd.observe(list.more);
  if (list.features.length === 0) {
    byId("list").append(element("p", { class: "empty" }, "No feature matches."));
  }
  const n = DATA.features.length;
  byId("shown").textContent = list.features.length === n
    ? counted(n, "feature")
    : `${list.features.length.toLocaleString("en")} of ${counted(n, "feature")}`;
  // What comes before and after the feature that is shown has changed.
  byId("detail-header")?.replaceWith(headerPanel(shown.feature));
}

/** Marks the feature that is shown, which alone is in the order of the tabulator key. */
function markCurrent() {
  const number = String(shown.feature?.feature);
  let stop = null;
  for (const row of list.body.children) {
    const isCurrent = row.dataset.feature === number;
    row.classList.toggle("current", isCurrent);
    const link = row.querySelector("a");
    link.tabIndex = -1;
    if (isCurrent) link.setAttribute("aria-current", "true");
    else link.removeAttribute("aria-current");
    if (isCurrent) stop = link;
  }
  stop ??= list.body.querySelector("a");
  if (stop) stop.tabIndex = 0;
}

/** The place of the feature that is shown in the list; -1 if it is not there. */
const currentPlace = () => list.features.indexOf(shown.feature);

/** Goes to another place of the list, and puts its row on the page if it is not there yet. */
function goToPlace(place) {
  const to = Math.max(0, Math.min(list.features.length - 1, place));
  if (list.features.length === 0) return;
  const missing = to + 1 - list.body.children.length;
  if (missing > 0) growList(missing + N_ROWS);
  select(list.features[to]);
}

function rowOf(feature) {
  return list.body.querySelector(`[data-feature="${feature.feature}"]`);
}

/** Up, down, Home, and End walk through the list and show what they come to. */
function listKeys(event) {
  if (hasModifier(event) || !event.target.closest("tbody a")) return;
  const from = list.features.indexOf(BY_NUMBER.get(Number(event.target.closest("tr").dataset.feature)));
  const places = { ArrowUp: from - 1, ArrowDown: from + 1, Home: 0, End: list.features.length - 1 };
  if (!(event.key in places)) return;
  event.preventDefault();
  goToPlace(places[event.key]);
  rowOf(shown.feature)?.querySelector("a").focus();
}
