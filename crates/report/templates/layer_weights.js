
// Weights of layers over the steps of a training.

/** `names` fixes the colour of a layer where several charts stand side by side. */
function weightChart(title, history, names = history.layers) {
  const line = (name, layer) => ({
    name,
    colour: names.indexOf(name),
    marks: false,
    points: history.steps.map((x, step) => ({ x, y: history.weights[step][layer] })),
  });
  // Shares have one scale, so that charts side by side can be compared.
  const [low, high] = extent(history.weights.flat());
  const domain = low >= 0 && high <= 1 ? [0, 1] : undefined;
  return chart({
    title,
    description: `Weight of ${history.layers.join(", ")} over the steps of the training.`,
    legend: true,
    x: stepAxis(history.steps),
    y: { label: "weight", domain },
    lines: history.layers.map(line),
    empty: "No weights were kept.",
  });
}

/** The axis of a chart over steps. */
function stepAxis(steps) {
  return {
    label: "step",
    domain: steps.length > 1 ? [steps[0], steps.at(-1)] : undefined,
    format: compact,
    describe: (step) => `step ${step.toLocaleString("en")}`,
  };
}
