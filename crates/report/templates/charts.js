
// Charts of lines, bands, and columns. A chart is drawn in the pixels that it has, and again when they change,
// so that its letters are as large on a phone as on a desk.

/** Makes an element of a drawing. */
function drawing(tag, attributes = {}, ...children) {
  const node = document.createElementNS("http://www.w3.org/2000/svg", tag);
  setAttributes(node, attributes);
  node.append(...children.flat(2).filter((child) => child !== null));
  return node;
}

const N_COLOURS = 6;
const seriesColour = (index) => `var(--series-${index % N_COLOURS})`;

/** Round numbers from below `low` to above `high`, about `n` of them. */
function niceTicks(low, high, n = 5) {
  if (!(high > low)) return [low];
  const rough = (high - low) / n;
  const power = 10 ** Math.floor(Math.log10(rough));
  const step = power * [1, 2, 2.5, 5, 10].find((factor) => factor * power >= rough * 0.999);
  const first = Math.floor(low / step + 1e-9);
  const last = Math.ceil(high / step - 1e-9);
  return Array.from({ length: last - first + 1 }, (_, i) => Number(((first + i) * step).toPrecision(12)));
}

/** The shape of a point, a different one for each series. */
function marker(index, x, y, size = 4) {
  const s = size;
  const shapes = [
    `M${x - s} ${y}a${s} ${s} 0 1 0 ${2 * s} 0a${s} ${s} 0 1 0 ${-2 * s} 0`,
    `M${x - s} ${y - s}h${2 * s}v${2 * s}h${-2 * s}z`,
    `M${x} ${y - s * 1.3}l${s * 1.2} ${s * 2.1}h${-2.4 * s}z`,
    `M${x} ${y - s * 1.4}l${s * 1.4} ${s * 1.4}l${-s * 1.4} ${s * 1.4}l${-s * 1.4} ${-s * 1.4}z`,
  ];
  return drawing("path", { d: shapes[index % shapes.length], class: "marker" });
}

/**
 * A figure with a chart of lines.
 *
 * - `title`, `description`: what it shows; the description is read by screen readers
 * - `x`, `y`: `{label, domain: [low, high], ticks, format}`; all but the label may be left out;
 *   `x.describe(x)` is the heading of its numbers, and `y.fromZero` keeps 0 in sight
 * - `lines`: `{name, colour, dash, faint, marks, points: [{x, y, lower, upper}]}`; a line without a
 *   name is background and has neither legend nor numbers; with `columns`, its points are columns
 *   from `x0` to `x1` around `x`
 * - `diagonal`: draws the line where both axes have the same value
 * - `bars`: counts below the chart, `{x0, x1, n}`
 * - `square`: as high as it is wide; `height`: the most pixels of height, for a chart that is not
 * - `nearest`: hovering finds the nearest point instead of all points above one x
 */
function chart(options) {
  const id = `chart-${(chart.count = (chart.count ?? 0) + 1)}`;
  const host = element("div", { class: "plot" });
  const named = options.lines.filter((line) => line.name);
  const figure = element(
    "figure",
    { class: "chart" },
    element("figcaption", { id: `${id}-title` }, options.title),
    named.length > 1 || options.legend ? legend(named) : null,
    host,
  );
  const points = options.lines.flatMap((line) => line.points).filter((point) => point.y !== null);
  if (points.length === 0) {
    host.replaceChildren(element("p", { class: "empty" }, options.empty ?? "No numbers."));
    return figure;
  }
  let width = 0;
  new ResizeObserver(() => {
    if (host.clientWidth === width || host.clientWidth === 0) return;
    width = host.clientWidth;
    host.replaceChildren(drawChart(options, points, width, id));
  }).observe(host);
  return figure;
}

function legend(lines) {
  const entry = (line) => {
    const sample = drawing("svg", { width: 28, height: 12, "aria-hidden": "true" });
    sample.append(strokeOf(line, "M0 6H28"));
    if (line.marks !== false) sample.append(marker(line.colour, 14, 6));
    sample.style.color = seriesColour(line.colour);
    return element("li", {}, sample, line.name);
  };
  return element("ul", { class: "legend" }, lines.map(entry));
}

function strokeOf(line, d) {
  return drawing("path", { d, class: line.faint ? "line faint" : "line", "stroke-dasharray": line.dash ?? null });
}

function drawChart(options, points, width, id) {
  const xs = distinct(points, (point) => point.x).sort((a, b) => a - b);
  const x = axis(options.x, xs[0], xs.at(-1), 6);
  // A sole x stands in the middle.
  if (!options.x.domain && xs.length === 1) [x.low, x.high] = [xs[0] - 0.5, xs[0] + 0.5];
  const bounds = extent(points.flatMap((point) => [point.y, point.lower, point.upper]));
  const y = axis(options.y, options.y.fromZero ? Math.min(0, bounds[0]) : bounds[0], bounds[1], 5);
  const left = 14 + 7 * Math.max(...y.ticks.map((tick) => y.format(tick).length));
  const barsHeight = options.bars ? 44 : 0;
  const plot = { left, top: 26, right: width - 14 };
  plot.bottom = plot.top + (options.square ? Math.min(plot.right - left, 360) : Math.min(options.height ?? 260, 130 + width / 6));
  if (options.square) plot.right = Math.min(plot.right, left + (plot.bottom - plot.top));
  const height = plot.bottom + barsHeight + 44;
  const toX = (value) => plot.left + ((value - x.low) / (x.high - x.low || 1)) * (plot.right - plot.left);
  const toY = (value) => plot.bottom - ((value - y.low) / (y.high - y.low || 1)) * (plot.bottom - plot.top);

  const svg = drawing("svg", {
    width,
    height,
    role: "img",
    tabindex: "0",
    "aria-labelledby": `${id}-title`,
    "aria-describedby": `${id}-description`,
  });
  svg.append(drawing("desc", { id: `${id}-description` }, options.description ?? options.title));
  drawAxes(svg, options, x, y, plot, toX, toY, barsHeight);
  if (options.diagonal) {
    const [low, high] = [Math.max(x.low, y.low), Math.min(x.high, y.high)];
    svg.append(drawing("path", { d: `M${toX(low)} ${toY(low)}L${toX(high)} ${toY(high)}`, class: "diagonal" }));
  }
  if (options.bars) drawBars(svg, options.bars, plot, toX, barsHeight);
  const named = options.lines.filter((line) => line.name);
  const shift = (line) => (xs.length === 1 ? (named.indexOf(line) - (named.length - 1) / 2) * 18 : 0);
  for (const line of options.lines) drawLine(svg, line, xs.length === 1, (v) => toX(v) + shift(line), toY);
  followPointer(svg, options, named, xs, plot, toX, toY, shift);
  return svg;
}

/** A format that tells ticks apart: with more decimals, where those of `format` are too few. */
function telling(format, ticks) {
  if (distinct(ticks, format).length === ticks.length) return format;
  const decimals = Math.min(8, Math.ceil(-Math.log10(ticks[1] - ticks[0])) + 1);
  return (value) => value.toFixed(decimals);
}

/** The range of an axis and its ticks. */
function axis({ domain, ticks, format }, low, high, n) {
  const nice = niceTicks(low, high, n);
  const range = domain ?? [nice[0], nice.at(-1)];
  if (range[0] === range[1]) [range[0], range[1]] = [range[0] - 0.5, range[1] + 0.5];
  const chosen = ticks ?? (domain ? niceTicks(domain[0], domain[1], n) : nice);
  const within = chosen.filter((tick) => tick >= range[0] - 1e-9 && tick <= range[1] + 1e-9);
  return { low: range[0], high: range[1], ticks: within, format: telling(format ?? String, within) };
}

function drawAxes(svg, options, x, y, plot, toX, toY, barsHeight) {
  for (const tick of y.ticks) {
    const at = Math.round(toY(tick)) + 0.5;
    svg.append(
      drawing("path", { d: `M${plot.left} ${at}H${plot.right}`, class: "grid" }),
      drawing("text", { x: plot.left - 8, y: at + 4, class: "tick", "text-anchor": "end" }, y.format(tick)),
    );
  }
  // Numbers that would touch their neighbours are left out.
  let free = -Infinity;
  for (const tick of x.ticks) {
    const text = x.format(tick);
    const at = toX(tick);
    const half = text.length * 3.6 + 4;
    svg.append(drawing("path", { d: `M${at} ${plot.bottom}v4`, class: "axis" }));
    if (at - half < free) continue;
    free = at + half;
    svg.append(drawing("text", { x: at, y: plot.bottom + barsHeight + 18, class: "tick", "text-anchor": "middle" }, text));
  }
  svg.append(
    drawing("path", { d: `M${plot.left} ${plot.bottom + 0.5}H${plot.right}`, class: "axis" }),
    drawing("text", { x: 0, y: 12, class: "label" }, options.y.label),
    drawing("text", { x: plot.right, y: plot.bottom + barsHeight + 36, class: "label", "text-anchor": "end" }, options.x.label),
  );
}

function drawBars(svg, bars, plot, toX, height) {
  const most = Math.max(...bars.map((bar) => bar.n), 1);
  for (const bar of bars) {
    const tall = (bar.n / most) * (height - 14);
    svg.append(drawing("rect", {
      x: toX(bar.x0) + 1,
      y: plot.bottom + height - 2 - tall,
      width: Math.max(1, toX(bar.x1) - toX(bar.x0) - 2),
      height: tall,
      class: "bar",
    }));
  }
}

function drawLine(svg, line, isSole, toX, toY) {
  const group = drawing("g");
  group.style.color = seriesColour(line.colour);
  if (line.columns) {
    svg.append(group);
    return drawColumns(group, line.points, toX, toY);
  }
  // A line stops where a number is missing and goes on behind it.
  const runs = [[]];
  for (const point of line.points) {
    if (point.y === null) runs.push([]);
    else runs.at(-1).push(point);
  }
  for (const run of runs.filter((points) => points.length > 0)) {
    const path = (points, y) => points.map((point) => `${toX(point.x).toFixed(1)} ${toY(y(point)).toFixed(1)}`).join("L");
    const hasBand = run.every((point) => point.lower !== undefined && point.lower !== null);
    if (hasBand && run.length > 1) {
      const band = `M${path(run, (p) => p.upper)}L${path([...run].reverse(), (p) => p.lower)}Z`;
      group.append(drawing("path", { d: band, class: "band" }));
    } else if (hasBand) {
      const [x, low, high] = [toX(run[0].x), toY(run[0].lower), toY(run[0].upper)];
      group.append(drawing("path", { d: `M${x} ${low}V${high}M${x - 4} ${low}h8M${x - 4} ${high}h8`, class: "line" }));
    }
    if (run.length > 1) group.append(strokeOf(line, `M${path(run, (p) => p.y)}`));
    if ((line.marks !== false && run.length <= 40) || run.length === 1) {
      for (const point of run) group.append(marker(line.colour, toX(point.x), toY(point.y), isSole ? 5 : 3.5));
    }
  }
  svg.append(group);
}

function drawColumns(group, points, toX, toY) {
  for (const { x0, x1, y } of points.filter((point) => point.y > 0)) {
    const [left, right, top] = [toX(x0), toX(x1), toY(y)];
    const width = Math.max(1, right - left - (right - left > 4 ? 1 : 0));
    // What was counted is seen, however little it is.
    const height = Math.max(1.5, toY(0) - top);
    group.append(drawing("rect", { x: left, y: toY(0) - height, width, height, class: "column" }));
  }
}

/** Shows the numbers under the pointer, or those that the arrow keys have come to. */
function followPointer(svg, options, named, xs, plot, toX, toY, shift) {
  if (named.length === 0) return;
  const guide = drawing("path", { class: "guide" });
  const dots = drawing("g");
  svg.append(guide, dots);
  const stops = options.nearest
    ? named.flatMap((line) => line.points.filter((p) => p.y !== null).map((point) => ({ line, point })))
    : xs.filter((x) => named.some((line) => line.points.some((p) => p.x === x && p.y !== null)));
  let current = -1;

  const at = (index, event) => {
    current = index;
    const stop = stops[index];
    const found = options.nearest
      ? [stop]
      : named.flatMap((line) => {
          const point = line.points.find((p) => p.x === stop && p.y !== null);
          return point ? [{ line, point }] : [];
        });
    const x = options.nearest ? stop.point.x : stop;
    guide.setAttribute("d", `M${toX(x)} ${plot.top}V${plot.bottom}`);
    dots.replaceChildren(...found.map(({ line, point }) => {
      const dot = drawing("g", {}, marker(line.marks === false ? 0 : line.colour, toX(point.x) + shift(line), toY(point.y), 5));
      dot.style.color = seriesColour(line.colour);
      return dot;
    }));
    const format = options.x.format ?? exact;
    const row = ({ line, point }) => {
      const has = point.lower !== undefined && point.lower !== null;
      const value = exact(point.y) + (has ? ` [${exact(point.lower)}, ${exact(point.upper)}]` : "");
      return [line.name, point.note ? `${value} ${point.note}` : value];
    };
    // On a phone the numbers stand below the chart, else they would cover it.
    const place = () => {
      const box = svg.getBoundingClientRect();
      const y = innerWidth < 640 ? box.bottom - 30 : event?.clientY ?? box.top + plot.top + 20;
      return [event ? event.clientX + 14 : box.left + toX(x) + 14, y];
    };
    tooltip.show(
      svg,
      {
        title: options.x.describe?.(x) ?? `${options.x.label} ${options.nearest ? exact(x) : format(x)}`,
        rows: found.map(row),
      },
      place,
    );
  };
  const leave = () => {
    current = -1;
    guide.removeAttribute("d");
    dots.replaceChildren();
    tooltip.hide();
  };
  svg.addEventListener("pointermove", (event) => {
    const box = svg.getBoundingClientRect();
    const [px, py] = [event.clientX - box.left, event.clientY - box.top];
    const distance = (stop) =>
      options.nearest
        ? Math.hypot(toX(stop.point.x) - px, toY(stop.point.y) - py)
        : Math.abs(toX(stop) - px);
    let best = 0;
    stops.forEach((stop, index) => {
      if (distance(stop) < distance(stops[best])) best = index;
    });
    at(best, event);
  });
  svg.addEventListener("pointerleave", leave);
  svg.addEventListener("blur", leave);
  svg.addEventListener("keydown", (event) => {
    const step = { ArrowLeft: -1, ArrowRight: 1 }[event.key];
    if (event.key === "Escape") leave();
    if (!step) return;
    event.preventDefault();
    at(Math.max(0, Math.min(stops.length - 1, current < 0 && step < 0 ? stops.length - 1 : current + step)));
  });
}
