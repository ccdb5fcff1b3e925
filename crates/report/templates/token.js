// Texts coloured by token: what is shown, and what the numbers mean.

/** Everything a person can change. */
const shown = {
  series: null, // name of a series
  position: 0, // index into the probes of the series, which are ordered by layer
  colour: "probability", // or "attention" or "contribution"
  head: "mean", // or the index of a head
  sort: "row",
  errorsOnly: false,
  search: "",
};

/** Probes of each series in the order of their layers. */
const SERIES = new Map();
DATA.probes.forEach((probe, index) => {
  probe.index = index;
  if (!SERIES.has(probe.series)) SERIES.set(probe.series, []);
  SERIES.get(probe.series).push(probe);
});
for (const probes of SERIES.values()) probes.sort(byLayer);

const currentProbe = () => SERIES.get(shown.series)[shown.position];
const readingOf = (text, probe = currentProbe()) => text.readings[probe.index];
const isNumber = (probe) => probe.outputs === "number";
const areLabels = (probe) => probe.outputs === "labels";
const isBinary = (probe) => probe.outputs === "classes" && probe.classes.length === 2;

/** What the probe says of a text: a class, the labels that are there, or a number; null of no number. */
function said(reading, probe) {
  if (isNumber(probe)) return reading.logits[0] === null ? null : measured(reading.logits[0]);
  if (reading.probabilities[reading.predicted] === null) return null;
  if (!areLabels(probe)) return probe.classes[reading.predicted];
  return probe.classes.filter((_, label) => reading.probabilities[label] >= 0.5).join(", ") || "none";
}

/** Lowest and highest number that a probe of numbers says so far, over all texts. */
function rangeOf(probe) {
  probe.range ??= extent(DATA.texts.flatMap((text) => readingOf(text, probe).prefix_probabilities ?? []));
  return probe.range;
}

/** "right", "wrong", or "unknown" where there is no label that the probe knows, or no number. */
function verdict(text, probe = currentProbe()) {
  if (text.label === null || isNumber(probe)) return "unknown";
  if (!areLabels(probe) && !probe.classes.includes(text.label)) return "unknown";
  const says = said(readingOf(text, probe), probe);
  if (says === null) return "unknown";
  return says === text.label ? "right" : "wrong";
}

/** Probability of the class that the probe says, or of the likeliest label. */
function confidence(text, probe = currentProbe()) {
  const reading = readingOf(text, probe);
  return reading.probabilities[reading.predicted] ?? null;
}

/** How far the probe is from saying something else. */
function margin(text, probe) {
  const { probabilities } = readingOf(text, probe);
  if (isNumber(probe) || probabilities.some((p) => p === null)) return Infinity;
  if (areLabels(probe)) return Math.min(...probabilities.map((p) => Math.abs(p - 0.5)));
  if (isBinary(probe)) return Math.abs(probabilities[1] - probe.threshold);
  const [best, second] = [...probabilities].sort((a, b) => b - a);
  return best - (second ?? 0);
}

/** Weights of the head that is shown, or their mean. */
function weights(reading) {
  const { pattern } = reading;
  if (pattern.length === 0) return null;
  if (shown.head !== "mean") return pattern[shown.head] ?? null;
  if (pattern.length === 1) return pattern[0];
  return pattern[0].map((_, token) => {
    const values = pattern.map((head) => head[token]);
    if (values.includes(null)) return null;
    return values.reduce((sum, value) => sum + value, 0) / values.length;
  });
}

const COLOURS = {
  probability: {
    name: "So far",
    values: (reading) => reading.prefix_probabilities,
    // The decision threshold is the middle of the scale, so that the hue is what the probe says.
    scale: (values, probe) => (value) => {
      if (isNumber(probe)) {
        const [low, high] = rangeOf(probe);
        return high > low ? (value - low) / (high - low) : 0;
      }
      if (!isBinary(probe)) return value;
      const { threshold } = probe;
      const side = value < threshold ? threshold : 1 - threshold;
      return side > 0 ? (value - threshold) / side : 0;
    },
    isDiverging: isBinary,
    legend: (probe) => {
      if (isNumber(probe)) {
        const [low, high] = rangeOf(probe);
        return [`${probe.classes[0]} if the text ended here`, measured(low), "", measured(high)];
      }
      if (areLabels(probe)) return ["P(likeliest label) if the text ended here", "0", "0.5", "1"];
      return isBinary(probe)
        ? [`P(${probe.classes[1]}) if the text ended here`, "0", String(probe.threshold), "1"]
        : ["P(predicted class) if the text ended here", "0", "0.5", "1"];
    },
  },
  attention: {
    name: "Attention",
    values: weights,
    scale: relativeToLargest,
    isDiverging: () => DATA.hasNegativeWeights,
    legend: () => [
      "Weight, relative to the largest of the text",
      ...(DATA.hasNegativeWeights ? ["negative", "0", "positive"] : ["0", "", "largest"]),
    ],
  },
  contribution: {
    name: "Contribution",
    values: (reading) => reading.contributions,
    scale: relativeToLargest,
    isDiverging: () => true,
    legend: (probe) => [
      `Added to the ${isNumber(probe) ? "number" : "logit"}, relative to the largest`,
      isNumber(probe) ? "lower" : isBinary(probe) ? `to ${probe.classes[0]}` : "against",
      "0",
      isNumber(probe) ? "higher" : isBinary(probe) ? `to ${probe.classes[1]}` : "for",
    ],
  },
};

function relativeToLargest(values) {
  const largest = extent(values.map((value) => Math.abs(value ?? 0)))[1];
  return (value) => (largest > 0 ? value / largest : 0);
}

// Only a probe with tanh instead of softmax has them.
DATA.hasNegativeWeights = DATA.texts.some((text) =>
  text.readings.some(({ pattern }) => pattern.some((head) => head.some((w) => w < 0))),
);

/** The ways of colouring that a series has numbers for. */
function coloursOf(series) {
  const probes = SERIES.get(series);
  const has = (colour) =>
    DATA.texts.some((text) =>
      probes.some((probe) => COLOURS[colour].values(readingOf(text, probe)) !== null),
    );
  return Object.keys(COLOURS).filter(has);
}

const SORTS = {
  row: { name: "Row", dependsOnProbe: false, key: (text) => [text.row] },
  errors: {
    name: "Errors first",
    dependsOnProbe: true,
    // The surest errors come first, the surest right answers last.
    key: (text, probe) => {
      const sure = confidence(text, probe) ?? 0;
      const of = verdict(text, probe);
      return of === "wrong" ? [0, -sure] : of === "right" ? [1, sure] : [2, sure];
    },
  },
  uncertain: { name: "Least certain", dependsOnProbe: true, key: (text, probe) => [margin(text, probe)] },
  longest: { name: "Longest", dependsOnProbe: false, key: (text) => [-text.tokens.length] },
  shortest: { name: "Shortest", dependsOnProbe: false, key: (text) => [text.tokens.length] },
};

/** The texts that are asked for, in order. */
function selectedTexts() {
  const probe = currentProbe();
  const words = shown.search.trim().toLowerCase();
  const matches = (text) => {
    if (shown.errorsOnly && verdict(text, probe) !== "wrong") return false;
    return words === "" || String(text.row) === words || searchable(text).includes(words);
  };
  const { key } = SORTS[shown.sort];
  const keyed = DATA.texts.filter(matches).map((text) => ({ text, key: key(text, probe) }));
  keyed.sort((a, b) => a.key[0] - b.key[0] || (a.key[1] ?? 0) - (b.key[1] ?? 0) || a.text.row - b.text.row);
  return keyed.map(({ text }) => text);
}

/** A text in lower case, put together when it is first searched. */
function searchable(text) {
  text.searchable ??= text.tokens.map((token) => DATA.vocabulary[token][0]).join("").toLowerCase();
  return text.searchable;
}
