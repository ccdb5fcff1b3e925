// A sparse autoencoder: what it is, how it was trained, and how often its features fire.

/** Everything a person can change. */
const shown = {
  feature: null, // one of DATA.features
  search: "",
  range: "all", // a key of RANGES
  sort: null, // a key of SORTS, or null for the order of the file
  ascending: false,
};

const BY_NUMBER = new Map(DATA.features.map((feature) => [feature.feature, feature]));

/** What stands for a feature in few words: tokens that it fires on, the strongest first. */
function hintsOf(feature) {
  if (feature.hints) return feature.hints;
  const tokens = feature.top_tokens.map((token) => token.text);
  if (tokens.length === 0) {
    for (const text of feature.texts) {
      const strongest = strongestOf(text);
      if (strongest !== null) tokens.push(DATA.vocabulary[text.tokens[strongest]][0]);
    }
  }
  feature.hints = distinct(tokens, (token) => token);
  return feature.hints;
}

function showSummary() {
  const { sae } = DATA;
  const shape = sae.d_in > 0 && `${sae.d_in.toLocaleString("en")} to ${sae.d_sae.toLocaleString("en")}`;
  const parts = [sae.model, sae.hook, sae.library_version && `attention-probes ${sae.library_version}`];
  byId("subtitle").textContent = parts.filter((part) => part).join(" \u00b7 ");
  const dead = sae.n_dead === null
    ? null
    : `${sae.n_dead.toLocaleString("en")}${sae.d_sae > 0 ? ` (${percent(sae.n_dead / sae.d_sae)})` : ""}`;
  const estimate = (of, decimals) => (of.value === null ? null : estimateCell(of, false, decimals));
  byId("summary").replaceChildren(facts([
    ["Architecture", sae.architecture],
    ["d_in to d_sae", shape || null],
    ["k", sae.k === null ? null : sae.k.toLocaleString("en")],
    ["L0", estimate(sae.l0, 1)],
    ["FVU", estimate(sae.fvu)],
    ["Cross-entropy recovered", estimate(sae.ce_loss_score)],
    ["Dead features", dead],
    ["Training tokens", sae.n_training_tokens > 0 ? sae.n_training_tokens.toLocaleString("en") : null],
    ["Evaluation tokens", sae.n_evaluation_tokens > 0 ? sae.n_evaluation_tokens.toLocaleString("en") : null],
  ]));
}

const CURVES = [
  ["loss", "Loss", "loss", false],
  ["l0", "L0", "features per token", true],
  ["fvu", "Variance unexplained", "FVU", true],
  ["dead_share", "Dead features", "share", true],
];

function showTraining() {
  byId("training").hidden = DATA.training.length === 0;
  const steps = DATA.training.map((point) => point.step);
  const curve = ([key, title, label, fromZero], index) =>
    chart({
      title,
      description: `${title} over ${counted(DATA.training.length, "step")} of the training.`,
      x: stepAxis(steps),
      y: { label, fromZero },
      lines: [{ name: label, colour: index, marks: false, points: DATA.training.map((of) => ({ x: of.step, y: of[key] })) }],
    });
  byId("curves").replaceChildren(...CURVES.map(curve));
}

function showGuidance() {
  const { guidance } = DATA;
  byId("guidance").hidden = guidance === null;
  if (!guidance) return;
  const weights = element("div", { class: "card" }, weightChart("Weight of each layer", guidance.weights));
  const row = (value, layer) => ({ name: guidance.weights.layers[layer], value });
  const contributions = guidance.contributions.length > 0 && panel(
    "Contribution of each layer",
    barList("Contribution of each layer", guidance.contributions.map(row)),
    guidance.contribution_note && element("p", { class: "muted small" }, guidance.contribution_note),
  );
  byId("guidance-panels").replaceChildren(...[weights, contributions].filter((part) => part));
}

/** A power of ten that is a density, as a share. */
const densityAt = (log) => percent(10 ** log);

function showDensities() {
  const { bins, width, n_dead: nDead, n_unknown: nUnknown } = DATA.densities;
  const n = bins.reduce((sum, [, count]) => sum + count, 0) + nDead + nUnknown;
  byId("density").hidden = n === 0;
  if (n === 0) return;
  const points = bins.map(([lower, count]) => ({ x: lower + width / 2, x0: lower, x1: lower + width, y: count }));
  const ends = bins.length > 0 ? [bins[0][0], bins.at(-1)[0] + width] : [0, 1];
  const decades = Array.from({ length: Math.floor(ends[1]) - Math.ceil(ends[0]) + 1 }, (_, i) => Math.ceil(ends[0]) + i);
  const words = [
    `${nDead.toLocaleString("en")} of ${counted(n, "feature")} never fired`,
    nUnknown > 0 ? `the density of ${nUnknown.toLocaleString("en")} is not known` : "",
  ];
  byId("density").replaceChildren(
    chart({
      title: "How often features fire",
      description: "Number of features by the logarithm of the share of tokens that they fire on.",
      x: {
        label: "share of tokens, logarithmic",
        domain: ends,
        ticks: decades.length > 1 ? decades : ends,
        format: densityAt,
        describe: (x) => `${densityAt(x - width / 2)} to ${densityAt(x + width / 2)} of tokens`,
      },
      y: { label: "features", fromZero: true, format: compact },
      lines: [{ name: "features", colour: 0, marks: false, columns: true, points }],
      empty: "No feature ever fired.",
      height: 150,
    }),
    element("p", { class: "muted small" }, `${words.filter((part) => part).join("; ")}.`),
  );
}
