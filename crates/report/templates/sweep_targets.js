// Data sets whose labels are not classes: a table over layers, and its curve.

/** The curve of every probe over layers, where there are several. */
function targetChart(of) {
  const probes = of.rows.filter((row) => row.layer !== null);
  const layers = distinct(probes, (row) => row.layer).sort((a, b) => a - b);
  const places = distinct(probes, (row) => row.place);
  if (layers.length < 2 || places.length > layers.length) return null;
  const line = (name, colour) => ({
    name,
    colour,
    points: probes.filter((row) => row.name === name).map(({ layer, test }) => ({
      x: layer,
      y: test.value,
      lower: test.interval?.lower,
      upper: test.interval?.upper,
    })),
  });
  return chart({
    title: `${of.metric} on test${levelWords(probes.map((row) => row.test))}`,
    description: `${of.metric} of every probe on the test examples at each of ${counted(layers.length, "layer")}, with intervals.`,
    legend: true,
    x: { label: "layer", domain: [layers[0], layers.at(-1)], ticks: layers, format: String },
    y: { label: of.metric, format: (y) => fixed(y, 2) },
    lines: distinct(probes, (row) => row.name).map(line),
  });
}

function targetCard(of) {
  const level = levelWords(of.rows.map((row) => row.test));
  const columns = ["Layer", { name: "Probe", isText: true }, `${of.metric} on test${level}`, "Validation", ...of.details, "Setting", { name: "File", isText: true }];
  const rows = of.rows.map((row) => [
    row.place === "" ? "\u2013" : row.place,
    row.file === "" ? element("span", { class: "muted" }, row.name) : row.name,
    estimateCell(row.test),
    row.validation === null ? "" : fixed(row.validation),
    ...row.details.map(measured),
    row.setting,
    row.file,
  ]);
  return element(
    "div",
    { class: "card targets" },
    element("h3", {}, of.data),
    element("p", { class: "muted small" }, of.facts),
    targetChart(of) ?? "",
    table(`${of.data}: every probe, and what it has to beat`, columns, rows),
  );
}

function showTargets() {
  if (DATA.targets.length === 0) return;
  byId("targets").hidden = false;
  byId("target-cards").replaceChildren(...DATA.targets.map(targetCard));
}
