
// One probe of a sweep: its learning curves, and what it is worth on the test side.

/** The curves of the trials that `found` was chosen from; trials of classes have an accuracy. */
function learningPanel(found, lossTitle = "Loss in nats", hasAccuracy = true) {
  const chosen = found.trials.find(
    (t) => t.learning_rate === found.learning_rate && t.weight_decay === found.weight_decay && t.seed === found.seed,
  );
  const epochs = (values) => values.map((y, epoch) => ({ x: epoch + 1, y }));
  const others = (key) =>
    found.trials
      .filter((trial) => trial !== chosen)
      .map((trial) => ({ colour: 5, faint: true, marks: false, points: epochs(trial.history[key]) }));
  const history = chosen?.history ?? { train_loss: [], validation_loss: [], balanced_accuracy: [] };
  const nEpochs = Math.max(...found.trials.map((trial) => trial.history.validation_loss.length), 1);
  const all = Array.from({ length: nEpochs }, (_, epoch) => epoch + 1);
  const x = { label: "epoch", domain: nEpochs > 1 ? [1, nEpochs] : undefined, ticks: all };
  // A trial that runs away would press all others flat.
  const losses = [...history.train_loss, ...history.validation_loss].filter((value) => value !== null);
  const top = 1.6 * Math.max(...losses, 0);
  const clipped = others("validation_loss").filter((line) => line.points.every((p) => p.y !== null && p.y <= top));
  const node = panel(
    "Learning curves",
    element(
      "div",
      { class: hasAccuracy ? "columns" : "" },
      chart({
        title: lossTitle,
        description: "Training and validation loss of the chosen trial after each epoch.",
        x,
        y: { label: "loss", format: (y) => fixed(y, 2) },
        lines: [
          ...clipped,
          { name: "training", colour: 1, dash: "5 4", points: epochs(history.train_loss) },
          { name: "validation", colour: 0, points: epochs(history.validation_loss) },
        ],
        empty: "No history was kept.",
      }),
      !hasAccuracy ? null : chart({
        title: "Balanced accuracy on validation",
        description: "Validation balanced accuracy of the chosen trial after each epoch.",
        x,
        y: { label: "balanced accuracy", format: (y) => fixed(y, 2) },
        legend: true,
        lines: [
          ...others("balanced_accuracy"),
          { name: "validation", colour: 0, points: epochs(history.balanced_accuracy) },
        ],
        empty: "No history was kept.",
      }),
    ),
    element("p", { class: "muted small" }, "Coloured: the chosen trial. Grey: the other trials of the grid, on validation; losses far above are left out."),
  );
  node.classList.add("wide");
  return node;
}

function confusionPanel(experiment, found) {
  const { classes } = experiment;
  const { confusion } = found.test;
  const totals = confusion.map((row) => row.reduce((sum, n) => sum + n, 0));
  const cell = (row, column) => {
    const n = confusion[row][column];
    const share = totals[row] > 0 ? n / totals[row] : null;
    return {
      value: share,
      text: n.toLocaleString("en"),
      describe: {
        title: `${classes[row]} taken for ${classes[column]}`,
        rows: [["examples", String(n)], [`of ${totals[row]} ${classes[row]}`, share === null ? "n/a" : `${(share * 100).toFixed(1)} %`]],
      },
      chosen: false,
    };
  };
  return panel(
    "Confusion on test",
    heatMap({
      caption: "Test examples by true and predicted class",
      rowName: "true",
      columnName: "predicted",
      rows: classes,
      columns: classes,
      cell,
      low: 0,
      high: 1,
      square: true,
    }),
    element("p", { class: "muted small" }, "Shaded by the share of each true class."),
  );
}

/** A chart of the unit square. */
function unitChart(title, description, [xLabel, yLabel], points, more = {}) {
  const unit = { domain: [0, 1], ticks: [0, 0.2, 0.4, 0.6, 0.8, 1] };
  const toPoint = ([x, y]) => ({ x, y });
  return chart({
    title,
    description,
    x: { label: xLabel, ...unit },
    y: { label: yLabel, format: (y) => fixed(y, 1), ...unit },
    square: true,
    nearest: true,
    lines: [{ name: yLabel, colour: 0, marks: false, points: points.map(toPoint) }],
    ...more,
  });
}

function rankingPanel(found) {
  if (found.roc.length === 0 && found.precision_recall.length === 0) return null;
  const node = panel(
    "Ranking on test",
    element(
      "div",
      { class: "columns" },
      unitChart("ROC", "True-positive rate against false-positive rate.",
        ["false-positive rate", "true-positive rate"], found.roc, { diagonal: true }),
      unitChart("Precision and recall", "Precision against recall.",
        ["recall", "precision"], found.precision_recall),
    ),
  );
  node.classList.add("wide");
  return node;
}

function reliabilityPanel(found) {
  if (found.reliability.length === 0) return null;
  const filled = found.reliability.filter((bin) => bin.n > 0);
  const points = filled.map((bin) => ({
    x: bin.confidence,
    y: bin.accuracy,
    note: `(${counted(bin.n, "example")})`,
  }));
  return panel(
    "Reliability on test",
    unitChart("Accuracy by confidence", "Share of right answers against mean confidence, in bins.",
      ["confidence", "accuracy"], [], {
        diagonal: true,
        bars: found.reliability.map((bin) => ({ x0: bin.lower, x1: bin.upper, n: bin.n })),
        lines: [{ name: "accuracy", colour: 0, points }],
      }),
    element("p", { class: "muted small" }, "On the dashed line, probabilities mean what they say. Bars: examples per bin."),
  );
}

/** The numbers of a chosen trial on both sides, in the order of the table. */
function metricRows(found) {
  const { validation, test, shuffled_labels: shuffled } = found;
  const row = (name, of) => ({ name, validation: of(validation), test: of(test) });
  const metric = (name, key) => row(name, (side) => estimate(side, key));
  const rate = (name, key) => row(name, (side) => estimate(side[key], "tpr"));
  const isBinary = test.n_classes === 2;
  const rows = [
    metric("balanced accuracy", "balanced_accuracy"),
    metric("accuracy", "accuracy"),
    metric("AUROC", "auroc"),
    ...(isBinary
      ? [
          metric("average precision", "average_precision"),
          rate("TPR at 1 % FPR", "tpr_at_1_percent_fpr"),
          rate("TPR at 5 % FPR", "tpr_at_5_percent_fpr"),
        ]
      : []),
    metric(isBinary ? "F1" : "macro F1", "f1"),
    metric("MCC", "mcc"),
    metric("Brier score", "brier"),
    metric("ECE", "ece"),
    metric("log loss (nats)", "log_loss"),
  ];
  if (!shuffled || shuffled.balanced_accuracy === null) return rows;
  const onTest = (name, value, interval = null) => ({ name, validation: null, test: { value, interval } });
  const { balanced_accuracy: value, interval, range } = shuffled;
  if (!range) return [...rows, onTest("labels shuffled", value, interval)];
  return [
    ...rows,
    onTest(`labels shuffled, mean of ${shuffled.n_shuffles}`, value, interval),
    onTest("lowest of them", range[0]),
    onTest("highest of them", range[1]),
  ];
}

function metricsPanel(found) {
  const rows = metricRows(found);
  const level = levelWords([balanced(found, "validation"), ...rows.map((row) => row.test)]);
  const row = ({ name, validation, test }) => [name, estimateCell(validation), estimateCell(test)];
  return panel(
    `Numbers${level}`,
    table("Metrics of the chosen trial", ["Metric", "Validation", "Test"], rows.map(row)),
  );
}

function axesPanel(found) {
  if (found.axes.length === 0) return null;
  const row = ({ axis, n_values: n, loss, balanced_accuracy: accuracy }) =>
    [axis.replaceAll("_", " "), String(n), fixed(accuracy), fixed(loss)];
  return panel(
    "What each axis was worth",
    table("Spread along each axis of the grid", ["Axis", "Values", "Balanced accuracy", "Loss"], found.axes.map(row)),
    element("p", { class: "muted small" }, "Best minus worst on validation along the axis, the largest over all other settings."),
  );
}
