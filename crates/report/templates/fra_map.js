
// One pair: where in the text it adds to the scores, and what its features fire on.

/** Places that are listed next to the map. */
const N_PLACES = 8;

/** Texts that are shown of each feature. */
const N_TEXTS = 3;

/** Units of the drawing: a map is as wide as it has room for. */
const MAP = { size: 440, left: 34, top: 8, right: 8, bottom: 36 };

describers.entry = (node) => {
  const [query, key, value] = shown.pair.entries[Number(node.dataset.entry)];
  return {
    title: `${tokenText(query)} looks at ${tokenText(key)}`,
    rows: [["adds to the score", exact(value)], ["query_pos", String(positionOf(TEXT, query))], ["key_pos", String(positionOf(TEXT, key))]],
  };
};

function mapOf(pair) {
  const inner = MAP.size - MAP.left - MAP.right;
  const cell = inner / Math.max(1, N_TOKENS);
  const height = MAP.top + inner + MAP.bottom;
  const x = (key) => MAP.left + key * cell;
  const y = (query) => MAP.top + query * cell;
  const largest = extent(pair.entries.map(([, , value]) => Math.abs(value)))[1];
  const svg = drawing("svg", { viewBox: `0 0 ${MAP.size} ${height}`, role: "img", "aria-label": `What the pair adds to the score of every query and key; the places where it adds most are listed next to it.` });
  svg.append(drawing("path", {
    class: "plane",
    d: `M${x(0)} ${y(0)}${Array.from({ length: N_TOKENS }, (_, i) => `H${x(i + 1)}V${y(i + 1)}`).join("")}H${x(0)}z`,
  }));
  const step = Math.max(1, Math.ceil(N_TOKENS / 8 / 5) * 5);
  for (let at = 0; at < N_TOKENS; at += N_TOKENS <= 10 ? 1 : step) {
    const name = String(positionOf(TEXT, at));
    svg.append(
      drawing("text", { x: MAP.left - 5, y: y(at + 0.5) + 4, class: "tick", "text-anchor": "end" }, name),
      drawing("text", { x: x(at + 0.5), y: y(N_TOKENS) + 14, class: "tick", "text-anchor": "middle" }, name),
    );
  }
  svg.append(
    drawing("text", { x: x(N_TOKENS), y: y(N_TOKENS) + 31, class: "axis-label", "text-anchor": "end" }, "key position"),
    drawing("text", { x: x(N_TOKENS), y: y(0) + 12, class: "axis-label", "text-anchor": "end" }, "query position, downwards"),
  );
  // A place is seen however many there are.
  const side = Math.max(cell, 5);
  pair.entries.forEach(([query, key, value], index) => {
    const node = drawing("rect", {
      class: "entry",
      "data-tip": "entry",
      "data-entry": index,
      "data-sign": value < 0 ? "-" : "+",
      x: x(key) + (cell - side) / 2,
      y: y(query) + (cell - side) / 2,
      width: side,
      height: side,
    });
    node.style.setProperty("--shade", `${(30 + 70 * Math.abs(value) / (largest || 1)).toFixed(0)}%`);
    svg.append(node);
  });
  const here = Math.max(cell, 9);
  const mark = drawing("rect", { class: "here", id: "here", width: here, height: here });
  svg.append(mark);
  svg.place = (query, key) => {
    mark.setAttribute("x", x(key) + (cell - here) / 2);
    mark.setAttribute("y", y(query) + (cell - here) / 2);
  };
  svg.addEventListener("click", (event) => {
    const found = event.target.closest("[data-entry]");
    if (!found) return;
    const [query, key] = pair.entries[Number(found.dataset.entry)];
    goTo(query, key);
  });
  return { svg, largest };
}

/** The places where a pair adds most, which lead to them. */
function placesOf(pair) {
  const strongest = [...pair.entries].sort((a, b) => Math.abs(b[2]) - Math.abs(a[2])).slice(0, N_PLACES);
  const place = ([query, key, value]) => {
    const button = element(
      "button",
      { type: "button" },
      element("span", { class: "words" }, chip(tokenOf(query)), " looks at ", chip(tokenOf(key))),
      element("span", { class: "value" }, withSign(value)),
    );
    button.addEventListener("click", () => {
      goTo(query, key);
      byId("attention").scrollIntoView();
    });
    return element("li", {}, button);
  };
  return element("div", {}, element("h4", {}, "Where it adds most"), element("ul", { class: "places" }, strongest.map(place)));
}

/** Draws the pair that is shown. */
function showDetail() {
  const { pair } = shown;
  if (!pair) {
    byId("detail").replaceChildren();
    return;
  }
  const { svg, largest } = mapOf(pair);
  const total = pair.sum_abs > 0 ? ` \u00b7 magnitudes add up to ${brief(pair.sum_abs)}` : "";
  const header = element(
    "section",
    { class: "card", id: "detail-header" },
    element("h3", { id: "detail-heading", tabindex: "-1" }, pairTitle(pair)),
    element(
      "div",
      { class: "about" },
      signOf(pair.sum),
      isSelf(pair) ? selfBadge() : null,
      element("span", { class: "muted small" }, `${withSign(pair.sum)} over ${counted(pair.entries.length, "place")}${total}`),
    ),
  );
  const map = element(
    "section",
    { class: "card" },
    element("div", { class: "panel-head" }, element("h3", {}, "Where it adds to the scores"), largest > 0 ? mapScale(largest) : null),
    element("div", { class: "map-grid" }, element("div", { class: "map" }, svg), placesOf(pair)),
  );
  const texts = textsOfPair(pair, N_TEXTS);
  const texted = texts ? element("section", { class: "card" }, element("h3", {}, "What its features fire on"), texts) : null;
  byId("detail").replaceChildren(...[header, map, texted].filter((part) => part));
  markPlace();
}

function mapScale(largest) {
  return scale("map-scale", brief(-largest), brief(largest));
}

/** Marks the query and the key on the map. */
function markPlace() {
  byId("detail").querySelector("svg")?.place(shown.query, shown.key);
}
