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

/** Validation at every penalty of an exact solution. */
function penaltyPanel(of, points) {
  const outputs = distinct(points, (point) => point.output);
  const line = (output, colour) => ({
    name: output ?? "validation",
    colour,
    points: points
      .filter((point) => point.output === output)
      .map(({ penalty, validation }) => ({ x: Math.log10(penalty), y: validation }))
      .sort((a, b) => a.x - b.x),
  });
  const label = of.metric === "R\u00b2" ? "R\u00b2" : "log loss, negated";
  const exponents = distinct(points, (point) => Math.round(Math.log10(point.penalty))).sort((a, b) => a - b);
  const node = panel(
    "Penalties",
    chart({
      title: `${label} on validation`,
      description: `${label} on the validation examples at every penalty.`,
      legend: true,
      x: { label: "penalty", ticks: exponents, format: (x) => scientific(10 ** x) },
      y: { label, format: (y) => fixed(y, 2) },
      lines: outputs.map(line),
      empty: "No penalty came to the minimum.",
    }),
    element("p", { class: "muted small" }, "Solved exactly at each penalty; validation chose the highest point, of equals the larger penalty."),
  );
  node.classList.add("wide");
  return node;
}

/** The grid and the curves of the trials that a probe was chosen from. */
function trialPanels(of, row, found) {
  const others = of.rows.filter(({ name, search }) => name === row.name && search?.trials);
  const range = rangeOf(others.flatMap(({ search }) => search.trials.trials), "loss");
  const curves = learningPanel(found, capital(of.loss), false);
  curves.classList.remove("wide");
  return [gridPanel(found, "loss", range, ["loss"]), curves];
}

const capital = (text) => text.charAt(0).toUpperCase() + text.slice(1);

const placed = ({ name, place }) => (place === "" ? name : `${name}, layer ${place}`);

/** One probe of a table: what it was chosen from, and how it is loaded. */
function targetDetail(of) {
  const probes = of.rows.filter((row) => row.search);
  if (probes.length === 0) return [];
  const select = element("select", {});
  setOptions(select, probes.map((row, i) => [String(i), placed(row)]));
  select.value = String(Math.max(0, probes.findIndex((row) => row.is_best)));
  const chosen = element("p", { class: "muted chosen" });
  const panels = element("div", { class: "panels" });
  const show = () => {
    tooltip.hide();
    const row = probes[Number(select.value)];
    const { trials, penalties } = row.search;
    const n = trials ? counted(trials.trials.length, "trial") : counted(distinct(penalties, (at) => at.penalty).length, "penalty", "penalties");
    chosen.textContent = `Chosen of ${n} on validation: ${row.setting}${trials ? `, seed ${trials.seed}` : ""}.`;
    const code = (title, text) => panel(title, element("pre", { tabindex: "0" }, text));
    panels.replaceChildren(
      ...(trials ? trialPanels(of, row, trials) : [penaltyPanel(of, penalties)]),
      code("Load it in Rust", loadInRust(row.file)),
      code("Load it in Python", loadInPython(row.file)),
    );
  };
  select.addEventListener("change", show);
  show();
  const field = element("label", { class: "field" }, element("span", { class: "name" }, `One probe of ${of.data}`), select);
  return [element("div", { class: "card bar" }, field, chosen), panels];
}

function targetCard(of) {
  const level = levelWords(of.rows.map((row) => row.test));
  const columns = ["Layer", { name: "Probe", isText: true }, `${of.metric} on test${level}`, "Validation", ...of.details, "Setting"];
  const rows = of.rows.map((row) => [
    row.place === "" ? "\u2013" : row.place,
    row.search ? row.name : element("span", { class: "muted" }, row.name),
    estimateCell(row.test, row.is_best),
    row.validation === null ? "" : fixed(row.validation),
    ...row.details.map(measured),
    row.setting,
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
  byId("target-cards").replaceChildren(...DATA.targets.flatMap((of) => [targetCard(of), ...targetDetail(of)]));
}
