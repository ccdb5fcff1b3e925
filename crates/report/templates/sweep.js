// A sweep: the data set that is shown, the best probes, and the curves over layers.

/** Everything a person can change. */
const shown = {
  data: null, // name of a data set and component
  kind: null, // name of an architecture
  position: 0, // index into the experiments of the data set, which are ordered by layer
  metric: "balanced_accuracy", // what the grid shows, or "loss"
};

/** Experiments of each data set, in the order of their layers. */
const DATA_SETS = new Map();
const hasComponents = distinct(DATA.experiments, (experiment) => experiment.component).length > 1;
for (const experiment of DATA.experiments) {
  const name = hasComponents ? `${experiment.data}, ${experiment.component}` : experiment.data;
  if (!DATA_SETS.has(name)) DATA_SETS.set(name, []);
  DATA_SETS.get(name).push(experiment);
}
for (const experiments of DATA_SETS.values()) experiments.sort(byLayer);

const experiments = () => DATA_SETS.get(shown.data);
const kinds = () =>
  distinct(experiments().flatMap((experiment) => experiment.architectures), (a) => a.config_name);
const architecture = (experiment, kind) =>
  experiment.architectures.find((candidate) => candidate.config_name === kind) ?? null;

/** A number of a result and its interval, where it has one. */
function estimate(result, key) {
  const value = result?.[key] ?? null;
  return { value, interval: value === null ? null : (result[`${key}_interval`] ?? null) };
}

/** Balanced accuracy of a probe on `validation` or `test`; the probe may be missing. */
const balanced = (found, side) => estimate(found?.[side], "balanced_accuracy");

/** The share of minimal pairs that are told apart, where the data are pairs. */
const pairShare = (pairs) => pairs && { value: pairs.accuracy, interval: pairs.interval };

/** The layer at which a kind was best on validation, as the run chose it: the test side chooses nothing. */
function bestPosition(kind) {
  const best = experiments().findIndex((e) => architecture(e, kind)?.is_best_layer);
  return best >= 0 ? best : experiments().findIndex((e) => architecture(e, kind));
}

/** What a probe has to beat. */
const CONTROLS = [
  ["majority", "most frequent class"],
  ["bag_of_words", "bag of words"],
  ["shuffled_labels", "shuffled labels"],
];

/** A control as an estimate of balanced accuracy; null where there is none. */
function control({ baselines, shuffled_labels: shuffled }, key) {
  if (key === "majority") return { value: baselines.majority_balanced_accuracy, interval: null };
  const found = key === "bag_of_words" ? baselines.bag_of_words : shuffled;
  if (!found || found.balanced_accuracy === null) return null;
  return { value: found.balanced_accuracy, interval: found.interval };
}

function showSummary() {
  const rows = kinds().map((kind) => {
    const experiment = experiments()[bestPosition(kind)];
    const found = architecture(experiment, kind);
    return { kind, experiment, found };
  });
  const validation = (found) => balanced(found, "validation").value;
  const level = levelWords(rows.map(({ found }) => balanced(found, "test")));
  const hasPairs = rows.some(({ found }) => found.pair_accuracy);
  const hasBag = rows.some(({ experiment }) => control(experiment, "bag_of_words"));
  const row = ({ kind, experiment, found }) => {
    const gain = found.comparisons.find((of) => of.with === "bag of words")?.difference ?? null;
    return [
      kind,
      experiment.layer === null ? "\u2013" : String(experiment.layer),
      estimateCell(balanced(found, "test"), found.is_best),
      fixed(validation(found)),
      ...(hasPairs ? [estimateCell(pairShare(found.pair_accuracy))] : []),
      fixed(found.test.auroc),
      ...(hasBag ? [gain === null ? "n/a" : signed(gain)] : []),
      found.has_own_steps ? "\u2013" : scientific(found.learning_rate),
      scientific(found.weight_decay),
    ];
  };
  const columns = [
    "Probe",
    "Layer",
    `Test${level}`,
    "Validation",
    ...(hasPairs ? ["Pairs right"] : []),
    "AUROC",
    ...(hasBag ? ["Over bag of words"] : []),
    "Learning rate",
    "Weight decay",
  ];
  const controls = controlRows().map(([key, name, cell]) => {
    const blank = Array(columns.length - 3).fill("");
    // Pairs are compared with pairs.
    const pairs = pairShare(experiments()[0].baselines.bag_of_words?.pair_accuracy);
    if (hasPairs && key === "bag_of_words" && pairs) blank[1] = estimateCell(pairs);
    return [element("span", { class: "muted" }, name), "", cell, ...blank];
  });
  byId("summary").replaceChildren(
    table("The best probe of each kind, and what it has to beat", columns, [...rows.map(row), ...controls]),
    element("p", { class: "muted small" },
      `Balanced accuracy${hasPairs ? ", and the share of minimal pairs of which the good text has the higher logit" : ""}. Validation chose setting and layer; the test side chose nothing.`),
  );
  const diverged = experiments().flatMap((e) => e.diverged.map((kind) => `${kind} at ${layerName(e.layer)}`));
  byId("diverged").textContent = diverged.length > 0 ? `Every trial diverged: ${diverged.join("; ")}.` : "";
}

function controlRows() {
  return CONTROLS.flatMap(([key, name]) => {
    const found = experiments().map((e) => control(e, key)).filter((of) => of && of.value !== null);
    if (found.length === 0) return [];
    // What does not depend on the layer is given once; of the rest, the highest, as what it is.
    const best = found.reduce((a, b) => (b.value > a.value ? b : a));
    const differs = found.some((of) => of.value !== best.value);
    return [[key, differs ? `${name}, highest of ${found.length} layers` : name, estimateCell(best)]];
  });
}

function point(experiment, position, of) {
  return {
    x: experiment.layer ?? position,
    y: of?.value ?? null,
    lower: of?.interval?.lower,
    upper: of?.interval?.upper,
  };
}

function showLayers() {
  const line = (kind, index) => ({
    name: kind,
    colour: index,
    points: experiments().map((e, position) => point(e, position, balanced(architecture(e, kind), "test"))),
  });
  const controlLine = ([key, name], index) => ({
    name,
    colour: 5,
    dash: ["2 3", "7 4", "1 5"][index],
    marks: false,
    points: experiments().map((e, position) => {
      // Only their values: four bands above each other are not to be read.
      return { ...point(e, position, control(e, key)), lower: undefined, upper: undefined };
    }),
  });
  const controls = CONTROLS.map(controlLine).filter((l) => l.points.some((p) => p.y !== null));
  const layers = experiments().map((e, position) => e.layer ?? position);
  const isLayer = experiments().every((e) => e.layer !== null);
  byId("layer-chart").replaceChildren(
    chart({
      title: `Balanced accuracy on test${levelWords(experiments().flatMap((e) => e.architectures.map((a) => balanced(a, "test"))))}`,
      description: `Test balanced accuracy of ${kinds().join(", ")} at each of ${counted(layers.length, "layer")}, with intervals, compared with the controls.`,
      legend: true,
      x: {
        label: isLayer ? "layer" : "",
        domain: layers.length > 1 ? [layers[0], layers.at(-1)] : undefined,
        ticks: layers,
        format: (x) => (isLayer ? String(x) : "activations"),
      },
      y: { label: "balanced accuracy", format: (y) => fixed(y, 2) },
      lines: [...kinds().map(line), ...controls],
    }),
  );
  showLayerTests();
  const columns = ["Layer", ...kinds(), ...CONTROLS.map(([, name]) => name)];
  const rows = experiments().map((e) => [
    e.layer === null ? "\u2013" : String(e.layer),
    ...kinds().map((kind) => estimateCell(balanced(architecture(e, kind), "test"))),
    ...CONTROLS.map(([key]) => estimateCell(control(e, key))),
  ]);
  byId("layer-table").replaceChildren(table("Test balanced accuracy at every layer", columns, rows));
}

/** Whether the layer that validation chose is better than others, on the same test examples. */
function showLayerTests() {
  const [{ data, component }] = experiments();
  const here = DATA.layers.filter((of) => of.data === data && of.component === component);
  const line = ({ config_name: kind, layer, other, difference, interval }) => {
    const isClear = interval.lower > 0 || interval.upper < 0;
    const words = `${kind}: layer ${layer} over layer ${other}, ${signed(difference)} [${signed(interval.lower)}, ${signed(interval.upper)}]`;
    return element("li", {}, isClear ? element("strong", {}, words) : `${words}, no clear difference`);
  };
  byId("layer-tests").replaceChildren(...here.map(line));
}

function showDataSet() {
  const [first] = experiments();
  const sides = [["training", first.n_train], ["validation", first.n_validation], ["calibration", first.n_calibration ?? 0], ["test", first.n_test]]
    .filter(([name, n]) => n > 0 || name !== "calibration")
    .map(([name, n]) => `${n.toLocaleString("en")} ${name}`);
  const skipped = experiments().reduce((sum, e) => Math.max(sum, e.n_skipped), 0);
  const facts = [
    `${sides.join(", ")} examples`,
    `classes: ${first.classes.join(", ")}`,
    first.component,
    skipped > 0 ? `${skipped} left out as not finite` : "",
  ];
  byId("data-facts").textContent = facts.filter((part) => part).join(" \u00b7 ");
  const has = kinds().length > 0;
  for (const id of ["best", "layers", "transfer", "detail", "load"]) byId(id).hidden = !has;
  if (!has) return;
  if (!kinds().includes(shown.kind)) {
    const isBest = (kind) => experiments().some((e) => architecture(e, kind)?.is_best);
    shown.kind = kinds().find(isBest) ?? kinds()[0];
  }
  shown.position = bestPosition(shown.kind);
  showSummary();
  showLayers();
  showTransfers();
  showDetailBar();
  showDetail();
}
