
// Charts of dots with whiskers, a row for each name.

/**
 * A figure with a dot and a whisker in each row.
 *
 * - `title`, `description`, `label`: what it shows, and its axis
 * - `kinds`: names of the kinds of rows, which have the colour of their place
 * - `rows`: `{name, kind, value, lower, upper, dots, describe}`; `dots` are further numbers, faint,
 *   `describe` is what the tooltip says
 * - `reference`: a number that a line stands at, or null
 */
function dotChart(options) {
  const id = `chart-${(chart.count = (chart.count ?? 0) + 1)}`;
  const host = element("div", { class: "plot" });
  const used = options.kinds.map((name, colour) => ({ name, colour, dash: "0 28" }))
    .filter(({ colour }) => options.rows.some((row) => row.kind === colour));
  const figure = element(
    "figure",
    { class: "chart" },
    element("figcaption", { id: `${id}-title` }, options.title),
    legend(used),
    host,
  );
  const numbers = options.rows.flatMap((row) => [row.value, row.lower, row.upper, ...row.dots]);
  const bounds = extent([...numbers, options.reference]);
  if (Number.isNaN(bounds[0])) {
    host.replaceChildren(element("p", { class: "empty" }, "No numbers."));
    return figure;
  }
  let width = 0;
  new ResizeObserver(() => {
    if (host.clientWidth === width || host.clientWidth === 0) return;
    width = host.clientWidth;
    host.replaceChildren(drawDots(options, bounds, width, id));
  }).observe(host);
  return figure;
}

function drawDots(options, bounds, width, id) {
  const { rows, reference } = options;
  // Names stand next to their rows where there is room for them, else above.
  const longest = Math.max(...rows.map((row) => row.name.length));
  const isNarrow = width < 560;
  const names = isNarrow ? 0 : Math.min(width * 0.36, longest * 7.2 + 20);
  const tall = isNarrow ? 46 : 30;
  const ticks = niceTicks(bounds[0], bounds[1], Math.max(2, Math.floor((width - names) / 110)));
  const [low, high] = ticks.length > 1 ? [ticks[0], ticks.at(-1)] : [ticks[0] - 0.5, ticks[0] + 0.5];
  const plot = { left: names + 22, right: width - 22, top: 8, bottom: 8 + rows.length * tall };
  const toX = (value) => plot.left + ((value - low) / (high - low)) * (plot.right - plot.left);

  const svg = drawing("svg", {
    width,
    height: plot.bottom + 44,
    role: "group",
    "aria-labelledby": `${id}-title`,
    "aria-describedby": `${id}-description`,
  });
  svg.append(drawing("desc", { id: `${id}-description` }, options.description));
  const decimals = Math.max(...ticks.map((tick) => (String(tick).split(".")[1] ?? "").length));
  for (const tick of ticks) {
    const at = Math.round(toX(tick)) + 0.5;
    svg.append(
      drawing("path", { d: `M${at} ${plot.top}V${plot.bottom}`, class: "grid" }),
      drawing("text", { x: at, y: plot.bottom + 18, class: "tick", "text-anchor": "middle" }, fixed(tick, decimals).replace("-", "\u2212")),
    );
  }
  svg.append(drawing("text", { x: plot.right, y: plot.bottom + 36, class: "label", "text-anchor": "end" }, options.label));
  if (reference !== null) {
    svg.append(drawing("path", { d: `M${toX(reference)} ${plot.top}V${plot.bottom}`, class: "diagonal" }));
  }
  rows.forEach((row, index) => svg.append(drawDotRow(row, index, { plot, toX, tall, isNarrow, width })));
  svg.addEventListener("keydown", walkDots);
  return svg;
}

function drawDotRow(row, index, { plot, toX, tall, isNarrow, width }) {
  const top = plot.top + index * tall;
  const y = top + (isNarrow ? 32 : tall / 2);
  const group = drawing("g", {
    class: "dot-row",
    role: "img",
    "aria-label": row.name,
    tabindex: index === 0 ? "0" : "-1",
    "data-tip": "cell",
  });
  cellRows.set(group, row.describe);
  group.style.color = seriesColour(row.kind);
  group.append(
    drawing("rect", { x: 1, y: top + 1, width: width - 2, height: tall - 2, rx: 4, class: "hit" }),
    isNarrow
      ? drawing("text", { x: 6, y: top + 16, class: "dot-name" }, row.name)
      : drawing("text", { x: plot.left - 22, y: y + 4, class: "dot-name", "text-anchor": "end" }, row.name),
  );
  for (const value of row.dots.filter((value) => value !== null)) {
    group.append(drawing("circle", { cx: toX(value), cy: y, r: 3, class: "seed" }));
  }
  if (row.value === null) {
    group.append(drawing("text", { x: plot.left, y: y + 4 }, "n/a"));
    return group;
  }
  if (row.lower !== null && row.upper !== null) {
    const [low, high] = [toX(row.lower), toX(row.upper)];
    group.append(drawing("path", { d: `M${low} ${y}H${high}M${low} ${y - 5}v10M${high} ${y - 5}v10`, class: "line" }));
  }
  group.append(marker(row.kind, toX(row.value), y, 5));
  return group;
}

/** Up and down walk through the rows. */
function walkDots(event) {
  const step = { ArrowUp: "previousElementSibling", ArrowDown: "nextElementSibling" }[event.key];
  const from = event.target.closest(".dot-row");
  if (!step || !from) return;
  event.preventDefault();
  const to = from[step];
  if (!to?.matches(".dot-row")) return;
  from.setAttribute("tabindex", "-1");
  to.setAttribute("tabindex", "0");
  to.focus();
}
