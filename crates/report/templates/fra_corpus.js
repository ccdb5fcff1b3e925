
// Many texts: heads side by side, and self interactions compared with nulls.

/** Everything a person can change. */
const shown = {
  head: 0, // an index of DATA.heads, one of HEADS_HERE
  search: "",
  filter: "all", // a key of PAIR_FILTERS
  least: 0, // occurrences that a pair has at least
  sort: null, // a key of COLUMNS, or null for the order of the file
  ascending: false,
};

const headNow = () => DATA.heads[shown.head];

/** A share of self interactions with its interval; null where it is not known. */
function shareOf(found, key) {
  if (!found || found[key] === null) return null;
  return { value: found[key], interval: found[`${key}_interval`] };
}

const percentCell = (of) => {
  if (!of) return "n/a";
  if (!of.interval) return percent(of.value);
  const { lower, upper } = of.interval;
  return element("span", {}, percent(of.value), element("span", { class: "interval" }, `[${percent(lower)}, ${percent(upper)}]`.replaceAll("-", "\u2212")));
};

function showSummary() {
  const head = headNow();
  byId("subtitle").textContent = [DATA.model, HEADS_HERE.length > 1 ? counted(HEADS_HERE.length, "head") : headName(head), DATA.hook, DATA.sae].filter((part) => part).join(" \u00b7 ");
  byId("summary").replaceChildren(facts([
    ["Texts", DATA.n_texts > 0 ? DATA.n_texts.toLocaleString("en") : null],
    ["Tokens", DATA.n_tokens > 0 ? DATA.n_tokens.toLocaleString("en") : null],
    head.n_dropped > 0
      ? ["Pairs kept", element("span", {}, head.n_pairs.toLocaleString("en"), element("span", { class: "interval" }, `none above ${compact(head.largest_missing)} missing`))]
      : ["Pairs that occur", head.n_pairs > 0 ? head.n_pairs.toLocaleString("en") : null],
    ["Sum of magnitudes", compact(head.sum_abs)],
    ["Token-level induction", head.induction_score ? estimateCell(head.induction_score) : null],
    ["Magnitude where induction looks", percent(head.induction)],
  ]));
}

/** Shows a head of this page. */
function headButton(head, index) {
  const button = element("button", { type: "button", "aria-pressed": String(index === shown.head), "data-head": index }, headName(head));
  button.addEventListener("click", () => {
    headSwitch(index, showHead);
    showHead(index);
    byId("heads-table").querySelector(`[data-head="${index}"]`).focus();
  });
  return button;
}

function showHeads() {
  byId("heads").hidden = DATA.heads.length < 2;
  const row = (head, index) => {
    const found = head.self_interactions;
    return [
      head.page ? element("a", { href: head.page }, headName(head)) : headButton(head, index),
      head.induction_score ? estimateCell(head.induction_score) : "n/a",
      percent(head.induction),
      head.n_pairs.toLocaleString("en"),
      compact(head.sum_abs),
      percentCell(shareOf(found, "share")),
      percentCell(shareOf(found, "permuted")),
      percentCell(shareOf(found, "count_matched")),
    ];
  };
  byId("heads-table").replaceChildren(
    table("Heads side by side", ["Head", "induction, tokens", "induction, pairs", "pairs", "sum of magnitudes", "self", "permuted", "count-matched"], DATA.heads.map(row)),
    element("p", { class: "muted small" }, "Induction of tokens: share of attention on the token behind an earlier occurrence of the query's. Induction of pairs: share of the magnitudes of all pairs that is there. Self: share of the strongest pairs that are a feature with itself; the last two are that share of nulls, described below."),
  );
}

/** What the share of self interactions is compared with. */
function selfRows(head, found) {
  const one = (name, kind, of, words) => ({
    name,
    kind,
    value: of.value,
    lower: of.interval?.lower ?? null,
    upper: of.interval?.upper ?? null,
    dots: [],
    describe: { title: name, rows: [["share", exact(of.value)], ...(of.interval ? [["interval", `[${exact(of.interval.lower)}, ${exact(of.interval.upper)}]`]] : [])] },
    words,
  });
  const others = found.other_heads;
  const permuted = shareOf(found, "permuted");
  const mean = others.reduce((sum, share) => sum + share, 0) / others.length;
  return [
    one(headName(head), 0, shareOf(found, "share"), `the ${found.n_pairs.toLocaleString("en")} strongest pairs`),
    others.length > 0 && {
      ...one("other heads", 1, { value: mean, interval: null }, `mean of ${counted(others.length, "head")}: what a head is like whatever it does`),
      dots: others,
      describe: { title: "other heads", rows: [["mean", exact(Number(mean.toPrecision(4)))], ...others.slice(0, 12).map((share, index) => [`head ${index + 1} of the others`, exact(share)])] },
    },
    permuted && one("permuted features", 2, permuted, "each key has the direction of another feature: what frequent features bring about by occurring together"),
    {
      ...one("count-matched pairs", 3, shareOf(found, "count_matched"), "all pairs that occur as often; the interval is that of as many drawn by chance"),
    },
  ].filter((row) => row);
}

function showSelf() {
  const head = headNow();
  const found = head.self_interactions;
  byId("self").hidden = found === null;
  if (!found) return;
  const rows = selfRows(head, found);
  const nulls = rows.slice(1);
  // Where a null has an interval, the share must be beyond it.
  const isAbove = (row) => found.share > (row.upper ?? row.value);
  const above = nulls.filter(isAbove).map((row) => row.name);
  const isClear = nulls.every((row) => found.share_interval.lower > Math.max(row.upper ?? row.value, ...row.dots));
  const verdict = isClear
    ? "That is more than every null."
    : above.length === 0
      ? "That is beyond no null: it is what any head, or chance, gives."
      : above.length === nulls.length
        ? "That is more than the mean of every null, but not clear of all of them."
        : `That is more than ${above.join(" and ")}, but not more than every null.`;
  byId("self-words").textContent = `${found.n_self.toLocaleString("en")} of the ${found.n_pairs.toLocaleString("en")} strongest pairs of ${headName(head)} are a feature with itself, ${percent(found.share)}. ${verdict}`;
  byId("self-chart").replaceChildren(dotChart({
    title: "Share of self interactions",
    description: "The share of the head compared with the nulls; the same numbers are in the table below.",
    label: "share of pairs that are a feature with itself",
    kinds: ["this head", "other heads", "permuted features", "count-matched pairs"],
    rows,
    reference: found.share,
  }));
  byId("self-table").replaceChildren(table(
    "Self interactions compared with nulls",
    ["Share of", "share", { name: "what it is", isText: true }],
    rows.map((row) => [row.name, percentCell({ value: row.value, interval: row.lower === null ? null : row }), row.words]),
  ));
}
