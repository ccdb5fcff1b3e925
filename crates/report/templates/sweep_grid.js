
// The grid of a sweep: learning rate by weight decay, large for one layer and small for all.

const METRICS = {
  balanced_accuracy: { name: "balanced accuracy", digits: 2 },
  loss: { name: "loss", digits: 2 },
};

/** The value of a cell of the grid: the mean over seeds of those trials that did not diverge. */
function cellOf(trials, learningRate, weightDecay, metric) {
  const here = trials.filter((t) => t.learning_rate === learningRate && t.weight_decay === weightDecay);
  if (here.length === 0) return null;
  const values = here.map((trial) => trial[metric]).filter((value) => value !== null);
  const mean = values.length > 0 ? values.reduce((sum, value) => sum + value, 0) / values.length : null;
  return { here, value: mean };
}

function gridOf(found) {
  const rates = distinct(found.trials, (t) => t.learning_rate).sort((a, b) => a - b);
  const decays = distinct(found.trials, (t) => t.weight_decay).sort((a, b) => a - b);
  const chosen = (rate, decay) => rate === found.learning_rate && decay === found.weight_decay;
  return { rates, decays, chosen };
}

/** Every trial of a kind, at all layers. */
function trialsOf(kind) {
  return experiments().flatMap((e) => architecture(e, kind)?.trials ?? []);
}

/** The range of a metric over the trials of all layers, so that their grids can be compared. */
function rangeOf(trials, metric) {
  const values = trials.map((trial) => trial[metric]).filter((value) => value !== null).sort((a, b) => a - b);
  if (values.length === 0) return [0, 1];
  // Few trials that nearly diverged would leave nothing to see among the others.
  const high = metric === "loss" ? values[Math.floor(0.9 * (values.length - 1))] : values.at(-1);
  return [values[0], Math.max(high, values[0])];
}

function describeCell(rate, decay, cell, metrics) {
  const several = cell.here.length > 1;
  const rows = [["learning rate", scientific(rate)], ["weight decay", scientific(decay)]];
  for (const trial of cell.here) {
    const of = several ? `, seed ${trial.seed}` : "";
    const diverged = trial.balanced_accuracy === null && trial.loss === null;
    for (const key of metrics) {
      rows.push([`${METRICS[key].name}${of}`, diverged ? "diverged" : exact(trial[key])]);
    }
  }
  return { title: several ? `${cell.here.length} trials on validation` : "Trial on validation", rows };
}

/** ".84" and "12": as much of a number as a small cell has room for. */
function short(value, digits) {
  if (value === null) return "\u00d7";
  const text = value >= 10 ? value.toFixed(0) : value >= 1 ? value.toFixed(1) : value.toFixed(digits);
  return text.replace(/^0\./, ".");
}

/** The grid of the trials that `found` was chosen from, by one of the metrics that they have. */
function gridPanel(found, metric, [low, high], metrics = Object.keys(METRICS)) {
  const { rates, decays, chosen } = gridOf(found);
  const { name, digits } = METRICS[metric];
  const cell = (row, column) => {
    const [rate, decay] = [rates[column], decays[row]];
    const at = cellOf(found.trials, rate, decay, metric);
    if (!at) return null;
    return {
      value: at.value,
      text: short(at.value, digits),
      describe: describeCell(rate, decay, at, metrics),
      chosen: chosen(rate, decay),
    };
  };
  return panel(
    `Grid: ${name} on validation`,
    found.trials.length === 0
      ? element("p", { class: "empty" }, "No trials were kept.")
      : heatMap({
          caption: `${name} on validation by learning rate and weight decay`,
          rowName: "decay",
          columnName: "learning rate",
          rows: decays.map(scientific),
          columns: rates.map(scientific),
          cell,
          low,
          high,
        }),
    heatLegend(low, high, (value) => fixed(value)),
    element("p", { class: "muted small" }, "The outlined trial was chosen. One scale for all layers of this kind."),
  );
}

/** The grids of all layers, small; a click goes to the layer. */
function smallGrids() {
  const [low, high] = rangeOf(trialsOf(shown.kind), shown.metric);
  const button = (experiment, position) => {
    const found = architecture(experiment, shown.kind);
    if (!found) return null;
    const { rates, decays, chosen } = gridOf(found);
    const mini = element("span", { class: "mini", "aria-hidden": "true" });
    mini.style.gridTemplateColumns = `repeat(${rates.length}, 1fr)`;
    for (const decay of decays) {
      for (const rate of rates) {
        const { value } = cellOf(found.trials, rate, decay, shown.metric) ?? { value: null };
        const cell = element("span", { class: chosen(rate, decay) ? "chosen" : null });
        const shade = value === null || high <= low ? 0 : Math.max(0, Math.min(1, (value - low) / (high - low)));
        cell.style.setProperty("--shade", `${(shade * 100).toFixed(1)}%`);
        mini.append(cell);
      }
    }
    const node = element(
      "button",
      { type: "button", "aria-pressed": String(position === shown.position) },
      element("span", {}, layerName(experiment.layer), " "),
      element("span", { class: "value" }, fixed(balanced(found, "validation").value)),
      mini,
    );
    node.addEventListener("click", () => {
      shown.position = position;
      showDetail();
    });
    return node;
  };
  const grids = experiments().map(button).filter((node) => node);
  const node = panel("Grids of all layers", element("div", { class: "grids" }, grids));
  node.classList.add("wide");
  return node;
}
