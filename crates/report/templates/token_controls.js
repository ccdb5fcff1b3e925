
// The controls above the texts, the keys, and the list that keeps cards filled near the window.

const cards = new IntersectionObserver(
  (entries) => {
    for (const { target, isIntersecting } of entries) isIntersecting ? fill(target) : empty(target);
  },
  { rootMargin: "400px 0px" },
);

function filledCards() {
  return [...byId("texts").children].filter((card) => card.tokens);
}

/** Puts the texts that are asked for on the page. */
function list() {
  tooltip.hide();
  cards.disconnect();
  const texts = selectedTexts();
  const host = byId("texts");
  if (texts.length === 0) {
    const reason = DATA.texts.length === 0 ? "There are no texts." : "No text matches.";
    host.replaceChildren(element("p", { class: "empty card" }, reason));
  } else {
    host.replaceChildren(...texts.map((text) => text.card ?? emptyCard(text)));
    for (const text of texts) {
      paint(text.card);
      cards.observe(text.card);
    }
  }
  list.position = shown.position;
  byId("shown").textContent =
    texts.length === DATA.texts.length
      ? counted(texts.length, "text")
      : `${texts.length} of ${counted(DATA.texts.length, "text")}`;
  offerToSortAgain();
}

/** The order stays while the slider moves, so that a text can be followed through the layers. */
function offerToSortAgain() {
  const depends = SORTS[shown.sort].dependsOnProbe || shown.errorsOnly;
  const button = byId("sort-again");
  button.hidden = !depends || list.position === shown.position;
  const probes = SERIES.get(shown.series);
  button.textContent =
    `Listed as of ${layerName(probes[list.position]?.layer ?? null)}: list again`;
}

/** Shows another probe in the cards that have content. */
function showProbe() {
  const probe = currentProbe();
  const probes = SERIES.get(shown.series);
  const where = [layerName(probe.layer), probe.component].filter((part) => part).join(", ");
  const facts = [probe.kind, where, probe.task, isBinary(probe) ? `threshold ${probe.threshold}` : null];
  byId("probe").textContent = [...facts, probe.file].filter((part) => part).join(" \u00b7 ");
  byId("layer").value = shown.position;
  byId("layer").setAttribute("aria-valuetext", layerName(probe.layer));
  byId("layer-name").textContent = probe.layer === null ? probe.label : `Layer ${probe.layer}`;
  byId("layer-bar").hidden = probes.length < 2;
  labelLayers();
  const verdicts = DATA.texts.map((text) => verdict(text, probe));
  const n = verdicts.filter((of) => of !== "unknown").length;
  const right = verdicts.filter((of) => of === "right").length;
  byId("layer-result").textContent = n > 0 ? `${right} of ${n} right` : "";
  showLegend(probe);
  for (const card of filledCards()) paint(card);
  offerToSortAgain();
  tooltip.refresh();
}

function showLegend(probe) {
  const colour = COLOURS[shown.colour];
  const [name, ...labels] = colour.legend(probe);
  byId("legend-name").textContent = name;
  const bar = element("div", { class: `bar ${colour.isDiverging(probe) ? "diverging" : "sequential"}` });
  byId("legend").replaceChildren(bar, ...labels.map((label) => element("span", {}, label)));
}

function labelLayers() {
  const names = SERIES.get(shown.series).map(({ layer }) => (layer === null ? "\u2013" : String(layer)));
  labelSlider(byId("layer-labels"), names, shown.position);
}

function showSeries() {
  const probes = SERIES.get(shown.series);
  byId("layer").max = probes.length - 1;
  const colours = coloursOf(shown.series);
  if (!colours.includes(shown.colour)) shown.colour = colours[0] ?? "probability";
  const options = colours.map((colour) => [colour, COLOURS[colour].name]);
  segments(byId("colour"), "colour", options, shown.colour, (colour) => {
    shown.colour = colour;
    showHeads();
    showProbe();
  });
  byId("colour").parentElement.hidden = options.length === 0;
  showHeads();
  showProbe();
}

function showHeads() {
  const n = Math.max(...SERIES.get(shown.series).map((probe) => probe.n_heads));
  byId("head-field").hidden = n < 2 || shown.colour !== "attention";
  const heads = Array.from({ length: n }, (_, head) => [String(head), `head ${head}`]);
  setOptions(byId("head"), [["mean", `mean of ${n} heads`], ...heads]);
  if (shown.head !== "mean" && Number(shown.head) >= n) shown.head = "mean";
  byId("head").value = shown.head;
}

function moveTo(position) {
  const last = SERIES.get(shown.series).length - 1;
  shown.position = Math.max(0, Math.min(last, position));
  showProbe();
}

/** Up and down move through the layers and stay at a token. */
function pressed(event) {
  const layers = { ArrowUp: shown.position + 1, ArrowDown: shown.position - 1 };
  if (!event.target.closest?.(".token") || hasModifier(event) || !(event.key in layers)) return;
  moveTo(layers[event.key]);
  event.preventDefault();
}

function start() {
  const facts = [DATA.model, counted(DATA.texts.length, "text"), counted(DATA.probes.length, "probe")];
  byId("subtitle").textContent = facts.filter((part) => part).join(" \u00b7 ");
  if (DATA.probes.length === 0) {
    byId("texts").replaceChildren(element("p", { class: "empty card" }, "There are no probes."));
    return;
  }
  byId("controls").hidden = false;
  byId("finder").hidden = false;
  byId("series-field").hidden = SERIES.size < 2;
  setOptions(byId("series"), [...SERIES.keys()].map((name) => [name, name]));
  // A number is neither right nor wrong.
  const areNumbers = DATA.probes.every(isNumber);
  const sorts = Object.entries(SORTS).filter(([, { dependsOnProbe }]) => !areNumbers || !dependsOnProbe);
  setOptions(byId("sort"), sorts.map(([value, { name }]) => [value, name]));
  byId("errors-only").closest("label").hidden = areNumbers;
  shown.series = DATA.probes[0].series;
  byId("series").value = shown.series;

  byId("series").addEventListener("change", (event) => {
    const { layer } = currentProbe();
    shown.series = event.target.value;
    const distances = SERIES.get(shown.series).map((probe) => Math.abs((probe.layer ?? 0) - (layer ?? 0)));
    shown.position = distances.indexOf(Math.min(...distances));
    showSeries();
    list();
  });
  byId("layer").addEventListener("input", (event) => moveTo(Number(event.target.value)));
  byId("head").addEventListener("change", (event) => {
    shown.head = event.target.value;
    showProbe();
  });
  byId("sort").addEventListener("change", (event) => {
    shown.sort = event.target.value;
    list();
  });
  byId("errors-only").addEventListener("change", (event) => {
    shown.errorsOnly = event.target.checked;
    list();
  });
  byId("search").addEventListener("input", (event) => {
    shown.search = event.target.value;
    list();
  });
  byId("sort-again").addEventListener("click", list);
  walkTokens(byId("texts"));
  byId("texts").addEventListener("keydown", pressed);
  new ResizeObserver(labelLayers).observe(byId("layer-labels"));
  showSeries();
  list();
}

start();
