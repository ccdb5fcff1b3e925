
// Tables of numbers, and tables whose cells are shaded by their numbers.

/**
 * A table in a box that scrolls by itself.
 *
 * `columns` are names, or `{name, isText}`; `rows` are lists of strings or elements, one per column,
 * or `{group}`, a heading of those after it. The first column names the row.
 */
function table(caption, columns, rows) {
  const isText = columns.map((column, index) => index === 0 || Boolean(column.isText));
  const head = columns.map((column, index) =>
    element("th", { scope: "col", class: isText[index] ? "text-cell" : null }, column.name ?? column),
  );
  const heading = ({ group }) =>
    element("tr", { class: "group" }, element("th", { scope: "colgroup", colspan: columns.length, class: "text-cell" }, group));
  const body = rows.map((row) =>
    row.group ? heading(row) : element("tr", {}, row.map((cell, index) =>
      element(
        index === 0 ? "th" : "td",
        { scope: index === 0 ? "row" : null, class: isText[index] ? "text-cell" : null },
        cell,
      ),
    )),
  );
  alignIntervals(body.filter((row) => row.className !== "group"));
  return element(
    "div",
    { class: "scroll", tabindex: "0", role: "region", "aria-label": caption },
    element(
      "table",
      { class: "plain" },
      element("caption", { class: "visually-hidden" }, caption),
      element("thead", {}, element("tr", {}, head)),
      element("tbody", {}, body),
    ),
  );
}

/** Keeps the room of an interval where a column has some, so that the values align. */
function alignIntervals(rows) {
  const has = (cell) => cell.querySelector(".interval") !== null;
  rows[0]?.childNodes.forEach((_, column) => {
    const cells = rows.map((row) => row.childNodes[column]);
    if (!cells.some(has)) return;
    for (const cell of cells) if (!has(cell)) cell.append(element("span", { class: "interval" }));
  });
}

/** A value with its interval behind it, fainter. */
function estimateCell(of, isBest = false, decimals = 3) {
  if (!of || of.value === null) return "n/a";
  const value = element("span", { class: isBest ? "best" : null }, fixed(of.value, decimals));
  if (!of.interval) return value;
  const { lower, upper } = of.interval;
  return element("span", {}, value, element("span", { class: "interval" }, `[${fixed(lower, decimals)}, ${fixed(upper, decimals)}]`));
}

/** The level of intervals in words for a heading, if they have one in common. */
function levelWords(estimates) {
  const levels = distinct(
    estimates.filter((of) => of?.interval).map((of) => of.interval.level),
    (level) => level,
  );
  return levels.length === 1 && levels[0] !== null ? ` (${Math.round(levels[0] * 100)} %)` : "";
}

// What the cells of shaded tables say in the tooltip.
const cellRows = new WeakMap();
describers.cell = (node) => cellRows.get(node);

/**
 * A table whose cells are shaded from `low` to `high`.
 *
 * - `rowName`, `columnName`: what the two sides are
 * - `rows`, `columns`: their values as text
 * - `cell(row, column)`: `{value, text, describe, chosen}`, or null where there is none
 */
function heatMap({ caption, rowName, columnName, rows, columns, cell, low, high, square }) {
  const shade = (value) => {
    if (value === null) return 0;
    return high > low ? Math.max(0, Math.min(1, (value - low) / (high - low))) : 0.5;
  };
  const makeCell = (row, column) => {
    const found = cell(row, column);
    if (!found) return element("td", { class: "cell none" });
    const node = element(
      "td",
      { class: `cell${found.chosen ? " chosen" : ""}`, "data-tip": "cell", tabindex: "-1", "data-row": row, "data-column": column },
      found.text,
    );
    node.style.setProperty("--shade", `${(shade(found.value) * 100).toFixed(1)}%`);
    if (found.value === null) node.classList.add("none");
    cellRows.set(node, found.describe);
    return node;
  };
  const header = element(
    "tr",
    {},
    element("th", { scope: "col", class: "corner" }, rowName),
    columns.map((name) => element("th", { scope: "col" }, name)),
  );
  const body = rows.map((name, row) =>
    element("tr", {}, element("th", { scope: "row" }, name), columns.map((_, column) => makeCell(row, column))),
  );
  const grid = element(
    "table",
    { class: square ? "heat square" : "heat" },
    element("caption", { class: "visually-hidden" }, caption),
    element(
      "thead",
      {},
      element("tr", {}, element("td"), element("th", { colspan: columns.length, class: "axis-name" }, columnName)),
      header,
    ),
    element("tbody", {}, body),
  );
  const first = grid.querySelector(".chosen") ?? grid.querySelector("[data-tip]");
  if (first) first.tabIndex = 0;
  grid.addEventListener("keydown", walkCells);
  return element("div", { class: "scroll" }, grid);
}

/** The arrow keys walk through the cells of a table. */
function walkCells(event) {
  const step = { ArrowLeft: [0, -1], ArrowRight: [0, 1], ArrowUp: [-1, 0], ArrowDown: [1, 0] }[event.key];
  const from = event.target.closest("[data-row]");
  if (!step || !from) return;
  event.preventDefault();
  const [row, column] = [Number(from.dataset.row) + step[0], Number(from.dataset.column) + step[1]];
  const to = event.currentTarget.querySelector(`[data-row="${row}"][data-column="${column}"]`);
  if (!to) return;
  from.tabIndex = -1;
  to.tabIndex = 0;
  to.focus();
}

/** The scale of a shaded table. */
function heatLegend(low, high, format) {
  return element(
    "div",
    { class: "heat-legend" },
    element("span", {}, format(low)),
    element("span", { class: "bar" }),
    element("span", {}, format(high)),
  );
}

/** A box of the page with a heading. */
function panel(title, ...children) {
  return element("section", { class: "card panel" }, element("h3", {}, title), ...children);
}
