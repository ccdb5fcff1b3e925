// Runs beside each other: one table, and the curves over layers of each data set and probe.

/** What makes results of different runs belong together. */
const keyOf = (result) => JSON.stringify([result.data, result.component, result.config_name, result.layer]);
const curveOf = (result) => JSON.stringify([result.data, result.component, result.config_name]);

/** Each run with its results by key. */
const RUNS = DATA.runs.map((run, index) => ({
  ...run,
  index,
  byKey: new Map(run.results.map((result) => [keyOf(result), result])),
}));

const DIFFERENCES = new Map(
  DATA.differences.map((difference) => [`${difference.run} ${keyOf(difference)}`, difference.difference]),
);

/** One entry for everything that any run has a result of. */
const ROWS = [];
{
  const seen = new Set();
  for (const result of RUNS.flatMap((run) => run.results)) {
    if (seen.has(keyOf(result))) continue;
    seen.add(keyOf(result));
    ROWS.push({ key: keyOf(result), ...result });
  }
  const places = distinct(ROWS, curveOf);
  ROWS.sort((a, b) => places.indexOf(curveOf(a)) - places.indexOf(curveOf(b)) || byLayer(a, b));
}

const hasComponents = distinct(ROWS, (row) => row.component).length > 1;
const hasLayers = ROWS.some((row) => row.layer !== null);

/** What a run is better by than the first, and whether its interval leaves out zero. */
function differenceOf(run, row) {
  const paired = DIFFERENCES.get(`${run.index} ${row.key}`);
  if (paired) {
    const { interval } = paired;
    return { ...paired, isClear: interval !== null && (interval.lower > 0 || interval.upper < 0) };
  }
  const [mine, first] = [run, RUNS[0]].map((of) => of.byKey.get(row.key)?.test.value ?? null);
  if (run.index === 0 || mine === null || first === null) return null;
  return { value: mine - first, interval: null, isClear: false };
}

function resultCell(run, row) {
  const result = run.byKey.get(row.key);
  if (!result) return element("span", { class: "muted" }, "\u2013");
  const difference = differenceOf(run, row);
  if (!difference || difference.value === null) return element("span", {}, estimateCell(result.test));
  const { value, interval, isClear } = difference;
  const range = interval ? ` [${signed(interval.lower)}, ${signed(interval.upper)}]` : "";
  return element(
    "span",
    {},
    estimateCell(result.test),
    element("span", { class: isClear ? "difference clear" : "difference" }, signed(value) + range),
  );
}

function showRuns() {
  const level = levelWords(ROWS.map((row) => row.test));
  const row = (run) => {
    const scores = run.results.map((result) => result.test.value).filter((value) => value !== null);
    const shared = ROWS.map((of) => differenceOf(run, of)?.value).filter((value) => typeof value === "number");
    const mean = shared.reduce((sum, value) => sum + value, 0) / shared.length;
    return [
      run.name,
      run.description || "\u2013",
      String(run.results.length),
      scores.length > 0 ? fixed(Math.max(...scores)) : "n/a",
      run.index === 0 || shared.length === 0 ? "\u2013" : signed(mean),
    ];
  };
  const columns = ["Run", { name: "What it was", isText: true }, "Results", "Highest", `Mean over ${RUNS[0].name}`];
  byId("run-table").replaceChildren(
    table("Runs", columns, RUNS.map(row)),
    element("p", { class: "muted small" }, `Balanced accuracy on test${level}. Means are over the results that both runs have.`),
  );
}

function showCurves() {
  const panels = distinct(ROWS, curveOf).map((curve) => {
    const rows = ROWS.filter((row) => curveOf(row) === curve);
    const [{ data, component, config_name: probe }] = rows;
    const layers = rows.map((row, position) => row.layer ?? position);
    const isLayer = rows.every((row) => row.layer !== null);
    const line = (run) => ({
      name: run.name,
      colour: run.index,
      // A layer that a run left out does not break its line.
      points: rows.flatMap((row, position) => {
        const test = run.byKey.get(row.key)?.test;
        if (!test) return [];
        const { interval, value } = test;
        return [{ x: layers[position], y: value, lower: interval?.lower, upper: interval?.upper }];
      }),
    });
    const title = [data, hasComponents ? component : "", probe].filter((part) => part).join(", ");
    const figure = chart({
      title,
      description: `Test balanced accuracy of ${probe} on ${data}, a line for each of ${counted(RUNS.length, "run")}.`,
      legend: true,
      x: {
        label: isLayer ? "layer" : "",
        ticks: layers,
        domain: layers.length > 1 ? [layers[0], layers.at(-1)] : undefined,
        format: (x) => (isLayer ? String(x) : "activations"),
      },
      y: { label: "balanced accuracy", format: (y) => fixed(y, 2) },
      lines: RUNS.map(line),
    });
    return element("div", { class: "card" }, figure);
  });
  byId("charts").replaceChildren(...panels);
}

function showResults() {
  const words = byId("search").value.trim().toLowerCase();
  const named = (row) => `${row.data} ${row.component} ${row.config_name}`.toLowerCase();
  const rows = ROWS.filter((row) => words === "" || named(row).includes(words));
  byId("shown").textContent =
    rows.length === ROWS.length ? counted(rows.length, "row") : `${rows.length} of ${counted(ROWS.length, "row")}`;
  const cells = (row) => [
    row.layer === null ? "activations" : String(row.layer),
    ...RUNS.map((run) => resultCell(run, row)),
  ];
  const grouped = distinct(rows, curveOf).flatMap((curve) => {
    const members = rows.filter((row) => curveOf(row) === curve);
    const name = [members[0].data, hasComponents ? members[0].component : "", members[0].config_name];
    const sizes = distinct(members, (row) => row.n_test.toLocaleString("en")).join(" or ");
    const group = [
      name.filter((part) => part).join(", "),
      element("span", { class: "muted" }, `${sizes} test examples`),
    ];
    return [{ group }, ...members.map(cells)];
  });
  const columns = [hasLayers ? "Layer" : "", ...RUNS.map((run) => run.name)];
  const content = rows.length > 0
    ? [table("Test balanced accuracy of every run", columns, grouped)]
    : [element("p", { class: "empty" }, "No row matches.")];
  const note = `Below each value: the difference from ${RUNS[0].name}, bold where its interval leaves out zero.`;
  byId("results").replaceChildren(...content, RUNS.length > 1 ? element("p", { class: "muted small" }, note) : "");
}

function start() {
  byId("subtitle").textContent = [counted(RUNS.length, "run"), counted(ROWS.length, "result")].join(" \u00b7 ");
  if (ROWS.length === 0) {
    byId("nothing").hidden = false;
    return;
  }
  for (const id of ["runs", "curves", "numbers"]) byId(id).hidden = false;
  byId("search").addEventListener("input", showResults);
  showRuns();
  showCurves();
  showResults();
}

start();
