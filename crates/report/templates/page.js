// Shared by every page: its data, elements, numbers, the tooltip, and the theme.
"use strict";

const DATA = JSON.parse(document.getElementById("data").textContent);

const byId = (id) => document.getElementById(id);

/** Makes an element. Strings among the children become text, never markup; lists are flattened, nulls left out. */
function element(tag, attributes = {}, ...children) {
  const node = document.createElement(tag);
  setAttributes(node, attributes);
  node.append(...children.flat(2).filter((child) => child !== null));
  return node;
}

function setAttributes(node, attributes) {
  for (const [name, value] of Object.entries(attributes)) {
    if (value === null || value === false) continue;
    node.setAttribute(name, value === true ? "" : value);
  }
}

/** An option of a select, or several, given as [value, name]. */
function setOptions(select, options) {
  select.replaceChildren(...options.map(([value, name]) => element("option", { value }, name)));
}

/** Radio buttons side by side, given as [value, name]; calls back with the value. */
function segments(host, name, options, current, changed) {
  const button = ([value, text]) => {
    const input = element("input", { type: "radio", name, value, checked: value === current });
    input.addEventListener("change", () => changed(value));
    return element("label", {}, input, element("span", {}, text));
  };
  host.replaceChildren(...options.map(button));
}

/** Writes as many names under a slider as there is room for, the ends always. */
function labelSlider(host, names, current) {
  const last = names.length - 1;
  const room = Math.max(2, Math.floor(host.clientWidth / 26));
  const step = Math.max(1, Math.ceil(last / (room - 1)));
  const label = (name, position) => {
    if (position !== last && (position % step !== 0 || last - position < step)) return null;
    const node = element("span", { class: position === current ? "current" : null }, name);
    node.style.left = `${(position / Math.max(1, last)) * 100}%`;
    return node;
  };
  host.replaceChildren(...names.map(label).filter((node) => node));
}

// The next four are those of src/number.rs; a number that is missing is "n/a".

/** Digits and a power of ten, as a terminal shows them. */
const power = (value, decimals) => value.toExponential(decimals).replace("e+", "e");

/** A number for reading, with a fixed number of decimals so that columns align. */
function fixed(value, decimals = 3) {
  if (value === null || value === undefined) return "n/a";
  return Math.abs(value) >= 1e5 ? power(value, 2) : value.toFixed(decimals);
}

/** A number of any size: three decimals, or three digits of what is too large or too small. */
function measured(value) {
  if (value === null || value === undefined) return "n/a";
  return value !== 0 && Math.abs(value) < 1e-3 ? power(value, 2) : fixed(value);
}

/** A difference, always with its sign. */
function signed(value) {
  if (value === null || value === undefined) return "n/a";
  return (value < 0 ? "\u2212" : "+") + fixed(Math.abs(value));
}

/** A step size or weight decay in scientific notation, with at most four digits. */
function scientific(value) {
  if (value === null || value === undefined) return "n/a";
  return value === 0 ? "0" : power(Number(value.toPrecision(4)));
}

/** An integer as it is, another number with four digits. */
function exact(value) {
  if (value === null || value === undefined) return "n/a";
  return String(Number.isInteger(value) ? value : Number(value.toPrecision(4)));
}

/** A large number in few characters, such as "1.2M". */
function compact(value) {
  if (value === null || value === undefined) return "n/a";
  return value.toLocaleString("en", { notation: "compact", maximumSignificantDigits: 3 });
}

/** One noun or many. */
function counted(n, noun, nouns = `${noun}s`) {
  return `${n.toLocaleString("en")} ${n === 1 ? noun : nouns}`;
}

function layerName(layer) {
  return layer === null ? "activations" : `layer ${layer}`;
}

const byLayer = (a, b) => (a.layer ?? -1) - (b.layer ?? -1);

/** The lowest and the highest of many numbers, nulls left out; NaN if there is none. */
function extent(values) {
  let [low, high] = [NaN, NaN];
  for (const value of values) {
    if (value === null || value === undefined) continue;
    if (!(value >= low)) low = value;
    if (!(value <= high)) high = value;
  }
  return [low, high];
}

/** The values of a property, each once, in the order of their first occurrence. */
function distinct(items, value) {
  return [...new Set(items.map(value))];
}

// The tooltip: an element with `data-tip="name"` is described by `describers[name]`, which returns
// a title and rows of [name, value]. One listener for the whole page, however many elements it has.
const describers = {};
const tooltip = { node: byId("tooltip"), anchor: null, shown: null, description: null };

/** Describes an element, below or above it or at the place that `place` returns, `[x, y]`. */
tooltip.show = (anchor, { title, rows }, place = () => []) => {
  tooltip.shown = [anchor, { title, rows }, place];
  if (anchor !== tooltip.anchor) {
    tooltip.release();
    tooltip.anchor = anchor;
    tooltip.description = anchor.getAttribute("aria-describedby");
    anchor.setAttribute("aria-describedby", "tooltip");
  }
  const list = rows.map(([name, value]) => [
    element("dt", {}, name),
    element("dd", {}, value),
  ]);
  tooltip.node.replaceChildren(
    element("div", { class: "title" }, title),
    element("dl", {}, list),
  );
  tooltip.node.hidden = false;
  const box = tooltip.node.getBoundingClientRect();
  const [x, y] = place();
  const around = anchor.getClientRects()[0] ?? anchor.getBoundingClientRect();
  const left = x ?? around.left + around.width / 2 - box.width / 2;
  const below = (y ?? around.bottom) + 10;
  const above = (y ?? around.top) - 10 - box.height;
  const top = below + box.height > innerHeight - 8 && above >= 8 ? above : below;
  const furthest = document.documentElement.clientWidth - box.width - 8;
  tooltip.node.style.transform =
    `translate(${Math.round(Math.max(8, Math.min(left, furthest)))}px, ${Math.round(top)}px)`;
};

/** Gives an element back the description that it has without the tooltip. */
tooltip.release = () => {
  if (!tooltip.anchor) return;
  if (tooltip.description) tooltip.anchor.setAttribute("aria-describedby", tooltip.description);
  else tooltip.anchor.removeAttribute("aria-describedby");
  tooltip.anchor = null;
};

tooltip.hide = () => {
  tooltip.release();
  tooltip.node.hidden = true;
};

tooltip.describe = (target) => {
  const anchor = target instanceof Element ? target.closest("[data-tip]") : null;
  if (anchor) tooltip.show(anchor, describers[anchor.dataset.tip](anchor));
  else if (!tooltip.isFocused()) tooltip.hide();
};

/** What has the focus keeps its numbers, wherever the mouse is and however the page scrolls. */
tooltip.isFocused = () => tooltip.anchor !== null && tooltip.anchor === document.activeElement;

/** Says the same again after numbers have changed. */
tooltip.refresh = () => {
  if (tooltip.anchor?.isConnected && tooltip.anchor.dataset.tip) tooltip.describe(tooltip.anchor);
  else tooltip.hide();
};

document.addEventListener("pointerover", (event) => tooltip.describe(event.target));
document.addEventListener("focusin", (event) => tooltip.describe(event.target));
document.addEventListener("focusout", () => tooltip.hide());
document.addEventListener(
  "scroll",
  () => (tooltip.isFocused() ? tooltip.show(...tooltip.shown) : tooltip.hide()),
  { passive: true },
);
document.documentElement.addEventListener("pointerleave", () => tooltip.hide());
document.addEventListener("keydown", (event) => {
  if (event.key === "Escape") tooltip.hide();
});

// The theme: the system's until somebody chooses, then theirs, for every page that is opened after.
const theme = {
  dark: matchMedia("(prefers-color-scheme: dark)"),
  chosen: null,
};

theme.apply = () => {
  const isDark = theme.chosen ? theme.chosen === "dark" : theme.dark.matches;
  if (theme.chosen) document.documentElement.dataset.theme = theme.chosen;
  byId("theme").textContent = isDark ? "Light theme" : "Dark theme";
  byId("theme").onclick = () => {
    theme.chosen = isDark ? "light" : "dark";
    // Some browsers keep nothing for pages from disk; then the choice lasts as long as the page.
    try { localStorage.setItem("attention-probes-theme", theme.chosen); } catch { /* see above */ }
    theme.apply();
  };
};

try {
  const kept = localStorage.getItem("attention-probes-theme");
  if (kept === "light" || kept === "dark") theme.chosen = kept;
} catch { /* see above */ }
theme.dark.addEventListener("change", theme.apply);
theme.apply();
