// An ablation: its arms compared with the baseline and the controls, one metric at a time and all of them.

/** The kinds of arms in the order of the table, and what they are called. */
const KINDS = [
  ["baseline", "Baseline"],
  ["mask", "Guided by attention"],
  ["control", "Control"],
];

const kindOf = (arm) => KINDS.findIndex(([kind]) => kind === arm.kind);

/** Arms in the order of their kinds, each with its place in the file. */
const ARMS = [...DATA.arms].sort((a, b) => kindOf(a) - kindOf(b));

/** What the others are compared with. */
const BASELINE = ARMS.find((arm) => arm.kind === "baseline") ?? null;

const shown = { metric: 0 };

/** An arm's values of a metric, seed by seed; may be empty. */
const bySeed = (arm, metric) => DATA.metrics[metric].by_arm[DATA.arms.indexOf(arm)] ?? [];

/** As many decimals as the numbers of a metric have sense for. */
function decimalsOf(metric) {
  const largest = extent(DATA.arms.map((arm) => Math.abs(arm.values[metric].value ?? 0)))[1];
  return largest >= 100 ? 1 : largest >= 10 ? 2 : 3;
}

/** The mean of an arm that is best; null where neither side is better. */
function bestOf(metric) {
  const { higher_is_better: isHigher } = DATA.metrics[metric];
  const [low, high] = extent(DATA.arms.map((arm) => arm.values[metric].value));
  if (isHigher === null || Number.isNaN(low)) return null;
  return isHigher ? high : low;
}

function showFacts() {
  byId("subtitle").textContent = [DATA.model, DATA.hook, counted(DATA.arms.length, "arm")].filter((part) => part).join(" \u00b7 ");
  byId("verdict").hidden = DATA.verdict === "";
  byId("verdict").textContent = DATA.verdict;
  byId("summary").replaceChildren(facts([
    ["Training tokens of each", DATA.n_training_tokens > 0 ? DATA.n_training_tokens.toLocaleString("en") : null],
    ["L0", DATA.l0 === null ? null : exact(DATA.l0)],
    [DATA.seeds.length === 1 ? "Seed" : "Seeds", DATA.seeds.join(", ")],
    ["Arms", String(DATA.arms.length)],
  ]));
}

const signedBy = (value, decimals) => (value < 0 ? "\u2212" : "+") + fixed(Math.abs(value), decimals);

function describeArm(arm, metric) {
  const { value, interval } = arm.values[metric];
  const rows = [[DATA.metrics[metric].label, exact(value)]];
  if (interval) {
    const level = interval.level === null ? "" : `${Math.round(interval.level * 100)} % `;
    rows.push([`${level}interval`, `[${exact(interval.lower)}, ${exact(interval.upper)}]`]);
  }
  const reference = BASELINE?.values[metric].value ?? null;
  if (arm !== BASELINE && value !== null && reference !== null) {
    rows.push([`over ${BASELINE.name}`, signedBy(value - reference, decimalsOf(metric))]);
  }
  bySeed(arm, metric).forEach((of, index) => rows.push([`seed ${DATA.seeds[index]}`, exact(of)]));
  return { title: arm.name, rows };
}

function showMetric() {
  tooltip.hide();
  const { metric } = shown;
  const { label: name, note, higher_is_better: isHigher } = DATA.metrics[metric];
  const row = (arm) => {
    const { value, interval } = arm.values[metric];
    return {
      name: arm.name,
      kind: kindOf(arm),
      value,
      lower: interval?.lower ?? null,
      upper: interval?.upper ?? null,
      dots: bySeed(arm, metric),
      describe: describeArm(arm, metric),
    };
  };
  const level = levelWords(DATA.arms.map((arm) => arm.values[metric]));
  byId("chart").replaceChildren(dotChart({
    title: `${name}${level}`,
    description: `${name} of ${counted(ARMS.length, "arm")}, each with its interval; the same numbers are in the table below.`,
    label: name,
    kinds: KINDS.map(([, words]) => words),
    rows: ARMS.map(row),
    reference: BASELINE?.values[metric].value ?? null,
  }));
  const better = isHigher === null ? "" : isHigher ? "More is better." : "Less is better.";
  const line = BASELINE && BASELINE.values[metric].value !== null ? `The dashed line is ${BASELINE.name}.` : "";
  const dots = DATA.metrics.some((of) => of.by_arm.length > 0) ? "Faint dots are single seeds." : "";
  byId("metric-note").textContent = [note, better, line, dots].filter((part) => part).join(" ");
}

function showTable() {
  const decimals = DATA.metrics.map((_, metric) => decimalsOf(metric));
  const best = DATA.metrics.map((_, metric) => bestOf(metric));
  const cells = (arm) => [
    arm.name,
    ...arm.values.map((of, metric) => estimateCell(of, best[metric] !== null && of.value === best[metric], decimals[metric])),
  ];
  const rows = KINDS.flatMap(([kind, words]) => {
    const arms = ARMS.filter((arm) => arm.kind === kind);
    return arms.length > 0 ? [{ group: words }, ...arms.map(cells)] : [];
  });
  const arrow = { true: " \u2191", false: " \u2193", null: "" };
  const columns = DATA.metrics.map(({ label, higher_is_better: isHigher }) => label + arrow[String(isHigher)]);
  const level = levelWords(DATA.arms.flatMap((arm) => arm.values));
  byId("table").replaceChildren(
    table("Every metric of every arm", ["Arm", ...columns], rows),
    element("p", { class: "muted small" }, `Means over ${counted(DATA.seeds.length, "seed")} with their intervals${level}. Bold: the best mean of a column, where the arrow says which side is better.`),
  );
}

function showWeights() {
  const arms = ARMS.filter((arm) => arm.layer_weights !== null);
  const names = distinct(arms.flatMap((arm) => arm.layer_weights.layers), (name) => name);
  byId("weights").hidden = arms.length === 0;
  byId("weight-charts").replaceChildren(...arms.map((arm) => weightChart(arm.name, arm.layer_weights, names)));
}

function start() {
  showFacts();
  byId("configuration").hidden = DATA.config === "";
  byId("config").textContent = DATA.config;
  byId("nothing").hidden = DATA.arms.length > 0;
  const has = DATA.arms.length > 0 && DATA.metrics.length > 0;
  byId("comparison").hidden = byId("numbers").hidden = !has;
  showWeights();
  if (!has) return;
  const options = DATA.metrics.map(({ label }, metric) => [String(metric), label]);
  segments(byId("metric"), "metric", options, "0", (metric) => {
    shown.metric = Number(metric);
    showMetric();
  });
  byId("metric-field").hidden = options.length < 2;
  showMetric();
  showTable();
}

start();
