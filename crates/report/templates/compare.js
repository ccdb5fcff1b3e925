// Runs side by side: one table, and the curves over layers of each data set and probe.

/** What makes results of different runs belong together. */
const keyOf = (result) => JSON.stringify([result.data, result.component, result.config_name, result.layer]);
const curveOf = (result) => JSON.stringify([result.data, result.component, result.config_name]);

/** Each run with its results by key, and what validation chose by data set. */
const RUNS = DATA.runs.map((run, index) => {
  const results = DATA.results.filter((result) => result.run === run.name);
  const chosen = DATA.chosen.filter((result) => result.run === run.name);
  return {
    ...run,
    index,
    results,
    byKey: new Map(results.map((result) => [keyOf(result), result])),
    chosen: new Map(chosen.map((result) => [result.data, result])),
  };
});

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

/** What a result is better by than that of the first run. */
function differenceOf({ over_first: paired, unpaired_difference: unpaired }) {
  return paired ? { value: paired.difference, interval: paired.interval } : { value: unpaired ?? null, interval: null };
}

/** A result with what it is better by than the first run below it. */
function resultCell(result, words = null) {
  if (!result) return element("span", { class: "muted" }, "\u2013");
  const node = element("span", {}, estimateCell(result));
  if (words) node.append(element("span", { class: "chosen-probe muted small" }, words));
  const { value, interval } = differenceOf(result);
  if (value === null) return node;
  const isClear = interval !== null && (interval.lower > 0 || interval.upper < 0);
  const range = interval ? ` [${signed(interval.lower)}, ${signed(interval.upper)}]` : "";
  node.append(element("span", { class: isClear ? "difference clear" : "difference" }, signed(value) + range));
  return node;
}

/** What validation chose of each data set in each run. */
function showChosen() {
  const sets = distinct(RUNS.flatMap((run) => run.results), (result) => result.data);
  const words = (of) => [of.config_name, of.layer === null ? "" : layerName(of.layer), hasComponents ? of.component : ""].filter((part) => part).join(", ");
  const row = (data) => {
    const chosen = RUNS.map((run) => run.chosen.get(data));
    const metric = chosen.map((of) => of?.metric).find((name) => name) ?? "";
    const cells = chosen.map((result) => resultCell(result, result && words(result)));
    return [data, metric, ...cells];
  };
  const level = levelWords(ROWS);
  const columns = ["Data set", { name: "Metric", isText: true }, ...RUNS.map((run) => run.name)];
  byId("chosen-table").replaceChildren(
    table("What validation chose of every data set", columns, sets.map(row)),
    element("p", { class: "muted small" }, `Test examples${level}. Validation chose setting, layer, and probe; the test side chose nothing.${RUNS.length > 1 ? ` Below each value: the difference from ${RUNS[0].name}, bold where its interval leaves out zero.` : ""}`),
  );
}

/** Data sets as points: what validation chose in the first run, and in each other. */
function showScatter() {
  const [first, ...others] = RUNS;
  const pairs = others.flatMap((run) =>
    [...run.chosen].flatMap(([data, { metric, value, interval }]) => {
      const base = first.chosen.get(data);
      if (base?.metric !== metric || value === null || base.value === null) return [];
      return [{ run, data, metric, x: base.value, y: value, lower: interval?.lower, upper: interval?.upper }];
    }));
  const figures = distinct(pairs, (pair) => pair.metric).flatMap((metric) => {
    const here = pairs.filter((pair) => pair.metric === metric);
    const sets = distinct(here, (pair) => pair.data);
    if (sets.length < 2) return [];
    const ends = here.flatMap(({ x, y, lower, upper }) => [x, y, lower ?? y, upper ?? y]);
    const ticks = niceTicks(Math.min(...ends), Math.max(...ends), 5);
    const range = { domain: [ticks[0], ticks.at(-1)], ticks, format: (value) => fixed(value, 2) };
    // Points of their own: a number that is missing ends a line.
    const dots = (run) =>
      here.filter((pair) => pair.run === run).flatMap((pair) => [{ ...pair, note: `(${pair.data})` }, { x: pair.x, y: null }]);
    const figure = chart({
      title: `${metric} on test of ${counted(sets.length, "data set")}`,
      description: `Test ${metric} of what validation chose, the first run across and the others upwards.`,
      x: { label: first.name, ...range },
      y: { label: others.length > 1 ? "the other run" : others[0].name, ...range },
      square: true,
      nearest: true,
      diagonal: true,
      legend: true,
      lines: others.map((run) => ({ name: run.name, colour: run.index, points: dots(run) })),
    });
    const side = metric.startsWith("cross-entropy") ? "Below" : "Above";
    const note = `A point is a data set. ${side} the dashed line, the run is better than ${first.name}.`;
    return [element("div", { class: "card" }, figure, element("p", { class: "muted small" }, note))];
  });
  byId("scatter").hidden = figures.length === 0;
  byId("scatters").replaceChildren(...figures);
}

function showRuns() {
  const row = (run) => [run.name, run.description || "\u2013", String(run.results.length)];
  const columns = ["Run", { name: "What it was", isText: true }, "Results"];
  byId("run-table").replaceChildren(table("Runs", columns, RUNS.map(row)));
}

function showCurves() {
  const panels = distinct(ROWS, curveOf).map((curve) => {
    const rows = ROWS.filter((row) => curveOf(row) === curve);
    const [{ data, component, config_name: probe, metric }] = rows;
    const layers = rows.map((row, position) => row.layer ?? position);
    const isLayer = rows.every((row) => row.layer !== null);
    const line = (run) => ({
      name: run.name,
      colour: run.index,
      // A layer that a run left out does not break its line.
      points: rows.flatMap((row, position) => {
        const result = run.byKey.get(row.key);
        if (!result) return [];
        const { interval, value } = result;
        return [{ x: layers[position], y: value, lower: interval?.lower, upper: interval?.upper }];
      }),
    });
    const title = [data, hasComponents ? component : "", probe].filter((part) => part).join(", ");
    const figure = chart({
      title,
      description: `Test ${metric} of ${probe} on ${data}, a line for each of ${counted(RUNS.length, "run")}.`,
      legend: true,
      x: {
        label: isLayer ? "layer" : "",
        ticks: layers,
        domain: layers.length > 1 ? [layers[0], layers.at(-1)] : undefined,
        format: (x) => (isLayer ? String(x) : "activations"),
      },
      y: { label: metric, format: (y) => fixed(y, 2) },
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
    ...RUNS.map((run) => resultCell(run.byKey.get(row.key))),
  ];
  const grouped = distinct(rows, curveOf).flatMap((curve) => {
    const members = rows.filter((row) => curveOf(row) === curve);
    const name = [members[0].data, hasComponents ? members[0].component : "", members[0].config_name];
    const sizes = distinct(members, (row) => row.n_test.toLocaleString("en")).join(" or ");
    const group = [
      name.filter((part) => part).join(", "),
      element("span", { class: "muted" }, `${members[0].metric}, ${sizes} test examples`),
    ];
    return [{ group }, ...members.map(cells)];
  });
  const columns = [hasLayers ? "Layer" : "", ...RUNS.map((run) => run.name)];
  const content = rows.length > 0
    ? [table("Every result on test", columns, grouped)]
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
  for (const id of ["chosen", "runs", "curves", "numbers"]) byId(id).hidden = false;
  byId("search").addEventListener("input", showResults);
  showChosen();
  showScatter();
  showRuns();
  showCurves();
  showResults();
}

start();
