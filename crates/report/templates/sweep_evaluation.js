
// What the chosen probe is worth beyond its metrics, and on other data sets.

/** Decision thresholds of two classes: as trained, those that cannot be promised, and the others. */
function thresholdRows({ test, thresholds, unfitted_thresholds: unfitted }) {
  if (test.n_classes !== 2) return [];
  const rule = (rate) => `at most ${Math.round(rate * 1e6) / 1e4} % false positives`;
  const [[nRight, nWrong]] = test.confusion;
  const falsePositives = nRight + nWrong > 0 ? nWrong / (nRight + nWrong) : null;
  const asTrained = {
    rule: "as trained",
    note: "",
    threshold: 0,
    false_positive_rate: { value: falsePositives, interval: null },
    true_positive_rate: estimate(test, "recall"),
    precision: test.precision,
    balanced_accuracy: test.balanced_accuracy,
  };
  const missing = unfitted.map((of) => ({
    rule: rule(of.target_fpr),
    note: `${of.n_negatives} negatives, ${of.n_needed} needed`,
  }));
  const fitted = thresholds.map((of) => ({
    rule: rule(of.fitted.target_fpr),
    note: of.breaks_promise ? "above its promise" : "",
    threshold: of.fitted.threshold,
    false_positive_rate: { value: of.false_positive_rate, interval: of.false_positive_interval },
    true_positive_rate: { value: of.true_positive_rate, interval: of.true_positive_interval },
    precision: of.precision,
    balanced_accuracy: of.balanced_accuracy,
  }));
  return [asTrained, ...missing, ...fitted];
}

function thresholdsPanel(found) {
  const thresholds = thresholdRows(found);
  if (thresholds.length === 0 && found.calibrations.length === 0) return null;
  const threshold = (row) => [
    row.note ? element("span", {}, row.rule, element("span", { class: "muted small" }, ` (${row.note})`)) : row.rule,
    fixed(row.threshold), estimateCell(row.false_positive_rate), estimateCell(row.true_positive_rate),
    fixed(row.precision), fixed(row.balanced_accuracy),
  ];
  const level = levelWords(thresholds.map((row) => row.false_positive_rate));
  const calibration = (row) => [row.method, fixed(row.ece), fixed(row.brier), fixed(row.log_loss)];
  const node = panel(
    "Thresholds and calibration on test",
    thresholds.length > 0
      ? table("Decision thresholds", ["Rule", "Logit from", `FPR${level}`, "TPR", "Precision", "Balanced accuracy"], thresholds.map(threshold))
      : null,
    found.calibrations.length > 0
      ? table("Calibration", ["Probabilities", "ECE", "Brier", "Log loss"], found.calibrations.map(calibration))
      : null,
    found.thresholds_note ? element("p", { class: "muted small" }, found.thresholds_note) : null,
  );
  node.classList.add("wide");
  return node;
}

function lengthsPanel(found) {
  if (found.lengths.length === 0) return null;
  const row = (of) => [
    of.shortest === of.longest ? String(of.shortest) : `${of.shortest} to ${of.longest}`,
    of.n_examples.toLocaleString("en"), fixed(of.balanced_accuracy), estimateCell(estimate(of, "accuracy")), fixed(of.auroc),
  ];
  const level = levelWords(found.lengths.map((of) => estimate(of, "accuracy")));
  return panel(
    "By length of text",
    table("Metrics on test by number of tokens",
      ["Tokens", "Examples", "Balanced accuracy", `Accuracy${level}`, "AUROC"], found.lengths.map(row)),
    element("p", { class: "muted small" }, "Test examples in parts of about equal size."),
  );
}

function comparisonsPanel(found) {
  if (found.comparisons.length === 0 && !found.seeds) return null;
  const level = levelWords(found.comparisons);
  const row = ({ with: other, difference: value, interval, p_value: p }) => {
    const range = interval && element("span", { class: "interval" }, `[${signed(interval.lower)}, ${signed(interval.upper)}]`);
    return [other, element("span", {}, signed(value), range), p < 0.001 ? "< 0.001" : fixed(p)];
  };
  const { seeds } = found;
  return panel(
    "Against others on test",
    found.comparisons.length > 0
      ? table("Differences on the same examples", ["Against", `Balanced accuracy${level}`, "p"], found.comparisons.map(row))
      : null,
    found.comparisons.length > 0
      ? element("p", { class: "muted small" }, "Paired bootstrap on the same examples; p is the chance of such a difference by the choice of examples alone.")
      : null,
    seeds
      ? table(`The setting over ${counted(seeds.agreement.n_seeds, "seed")}`, ["Over seeds", "Value"], [
          ["balanced accuracy", estimateCell({ value: seeds.balanced_accuracy.mean, interval: seeds.balanced_accuracy.interval })],
          ["standard deviation", fixed(seeds.balanced_accuracy.std)],
          ["equal predictions", fixed(seeds.agreement.mean)],
          ["Fleiss' kappa", fixed(seeds.agreement.fleiss_kappa)],
        ])
      : null,
  );
}

/** Probes of the data set that is shown, evaluated on the test examples of others. */
function showTransfers() {
  const [{ data, component }] = experiments();
  const found = DATA.transfers.filter((of) => of.trained_on === data && of.component === component);
  byId("transfer").hidden = found.length === 0;
  const row = (of) => {
    const own = architecture(experiments().find((e) => e.layer === of.layer) ?? experiments()[0], of.config_name);
    return [
      of.judged_on, of.layer === null ? "\u2013" : String(of.layer), of.config_name,
      estimateCell(of.balanced_accuracy), fixed(balanced(own, "test").value), of.n_test.toLocaleString("en"),
    ];
  };
  const level = levelWords(found.map((of) => of.balanced_accuracy));
  byId("transfer-table").replaceChildren(
    table("Probes on the test examples of other data sets",
      ["Tested on", "Layer", { name: "Probe", isText: true }, `Balanced accuracy${level}`, `On ${data}`, "Examples"], found.map(row)),
  );
}
