
// Which probe of a sweep is shown in detail, and how it is loaded.

function showDetailBar() {
  segments(byId("kind"), "kind", kinds().map((kind) => [kind, kind]), shown.kind, (kind) => {
    shown.kind = kind;
    showDetail();
  });
  const metrics = Object.entries(METRICS).map(([value, { name }]) => [value, name]);
  segments(byId("grid-metric"), "grid-metric", metrics, shown.metric, (metric) => {
    shown.metric = metric;
    showDetail();
  });
  byId("layer-field").hidden = experiments().length < 2;
  byId("layer").max = experiments().length - 1;
  labelLayers();
}

function labelLayers() {
  const names = experiments().map(({ layer }) => (layer === null ? "\u2013" : String(layer)));
  labelSlider(byId("layer-labels"), names, shown.position);
}

function loadInRust(file) {
  return (
    "use attention_probes::prelude::*;\n" +
    `let saved = SavedProbe::load(${JSON.stringify(file)}.as_ref())?;\n` +
    "let probe = saved.to_probe(&Device::default())?;"
  );
}

function loadInPython(file) {
  return (
    "import json, numpy\n" +
    `weights = dict(numpy.load(${JSON.stringify(file)}))\n` +
    'metadata = json.loads(weights.pop("metadata").tobytes())'
  );
}

/** Panels above each other in one column. */
function stack(...panels) {
  const present = panels.filter((node) => node);
  return present.length > 0 ? element("div", { class: "stack" }, present) : null;
}

function showDetail() {
  tooltip.hide();
  const experiment = experiments()[shown.position];
  const found = architecture(experiment, shown.kind);
  byId("layer").value = shown.position;
  byId("layer").setAttribute("aria-valuetext", layerName(experiment.layer));
  byId("layer-name").textContent = `Layer ${experiment.layer ?? "\u2013"}`;
  labelLayers();
  byId("load").hidden = !found;
  byId("detail-heading").textContent = experiment.layer === null ? shown.kind : `${shown.kind}, layer ${experiment.layer}`;
  if (!found) {
    byId("chosen").textContent = "";
    const reason = experiment.diverged.includes(shown.kind) ? "Every trial diverged here." : "This kind was not trained here.";
    byId("panels").replaceChildren(element("p", { class: "empty card wide" }, reason));
    return;
  }
  const rate = found.has_own_steps ? "" : `learning rate ${scientific(found.learning_rate)}, `;
  byId("chosen").textContent =
    `Chosen of ${counted(found.trials.length, "trial")} by ${found.selected_by}: ${rate}` +
    `weight decay ${scientific(found.weight_decay)}, seed ${found.seed}.`;
  const panels = [
    gridPanel(found, shown.metric, rangeOf(trialsOf(shown.kind), shown.metric)),
    metricsPanel(found),
    experiments().length > 1 ? smallGrids() : null,
    learningPanel(found),
    reliabilityPanel(found),
    stack(confusionPanel(experiment, found), axesPanel(found)),
    rankingPanel(found),
    thresholdsPanel(found),
    lengthsPanel(found),
    comparisonsPanel(found),
  ];
  byId("panels").replaceChildren(...panels.filter((node) => node));
  byId("load-rust").textContent = loadInRust(found.file);
  byId("load-python").textContent = loadInPython(found.file);
}

/** A message whose parts in backticks are code. */
function withCode(message) {
  return message.split("`").map((part, i) => (i % 2 === 1 ? element("code", {}, part) : part));
}

/** What looks wrong, on top of everything else, one list for each data set. */
function showWarnings() {
  const warnings = DATA.warnings;
  byId("warnings").hidden = warnings.length === 0;
  byId("warnings-heading").textContent = counted(warnings.length, "warning");
  const names = distinct(warnings, (warning) => warning.data);
  const list = (name) => {
    const items = warnings
      .filter((warning) => warning.data === name)
      .map((warning) => element("li", {}, ...withCode(warning.message)));
    return [element("h3", {}, name), element("ul", {}, ...items)];
  };
  byId("warning-list").replaceChildren(...names.flatMap(list));
}

function start() {
  const n = DATA.experiments.reduce(
    (sum, e) => sum + e.architectures.reduce((trials, a) => trials + a.trials.length, 0), 0);
  const facts = [DATA.model, DATA.experiments.length > 0 && counted(DATA.experiments.length, "experiment"), n > 0 && counted(n, "trial"), DATA.targets.length > 0 && counted(DATA.targets.length, "data set") + " of other labels", DATA.library_version && `attention-probes ${DATA.library_version}`];
  byId("subtitle").textContent = facts.filter((part) => part).join(" \u00b7 ");
  byId("configuration").hidden = DATA.config === "";
  byId("config").textContent = DATA.config;
  showWarnings();
  showTargets();
  if (DATA.experiments.length === 0) {
    byId("nothing").hidden = DATA.targets.length > 0;
    return;
  }
  byId("data-bar").hidden = false;
  setOptions(byId("data-set"), [...DATA_SETS.keys()].map((name) => [name, name]));
  shown.data = DATA_SETS.keys().next().value;
  byId("data-set").value = shown.data;
  byId("data-set").addEventListener("change", (event) => {
    shown.data = event.target.value;
    showDataSet();
  });
  byId("layer").addEventListener("input", (event) => {
    shown.position = Number(event.target.value);
    showDetail();
  });
  new ResizeObserver(labelLayers).observe(byId("layer-labels"));
  showDataSet();
}

start();
