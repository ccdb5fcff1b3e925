
// One feature: its texts, what it writes, and where it comes from.

/** Texts that are shown before somebody asks for all. */
const N_TEXTS = 6;

const number = (feature) => `Feature ${feature.feature.toLocaleString("en")}`;

describers.source = (node) => describeToken(node, "adds to the activation");

function widePanel(title, colours, ...children) {
  return element(
    "section",
    { class: "card wide" },
    element("div", { class: "panel-head" }, element("h3", {}, title), colours),
    children,
  );
}

function textsPanel(feature, largest) {
  if (feature.texts.length === 0) return null;
  const items = element("ul", { class: "samples" }, feature.texts.slice(0, N_TEXTS).map((text) => sample(text, largest)));
  const rest = feature.texts.slice(N_TEXTS);
  let more = null;
  if (rest.length > 0) {
    more = element("button", { type: "button", id: "more-texts" }, `Show ${rest.length} more`);
    more.addEventListener("click", () => {
      items.append(...rest.map((text) => sample(text, largest)));
      items.children[N_TEXTS].querySelector(".token")?.focus();
      more.remove();
    });
  }
  return widePanel("Strongest texts", scale("sequential", "0", brief(largest)), items, more);
}

function quantilesPanel(feature, largest) {
  const groups = feature.quantiles.filter((quantile) => quantile.texts.length > 0);
  if (groups.length === 0) return null;
  const group = ({ name, texts }) => [
    element("h4", {}, name),
    element("ul", { class: "samples" }, texts.map((text) => sample(text, largest))),
  ];
  return widePanel("Weaker texts", scale("sequential", "0", brief(largest)), ...groups.flatMap(group));
}

function attributionPanel(feature) {
  const { attribution } = feature;
  if (!attribution) return null;
  const [text] = feature.texts;
  const { values, token } = attribution;
  const largest = extent(values.map((value) => Math.abs(value ?? 0)))[1];
  const tokens = colouredTokens(text, values, "source", largest, true);
  const target = tokens.children[token];
  target.classList.add("target");
  const ranked = values
    .map((value, index) => ({ value, index }))
    .filter(({ value }) => value !== null && value !== 0)
    .sort((a, b) => Math.abs(b.value) - Math.abs(a.value));
  const name = (index) => [chip(DATA.vocabulary[text.tokens[index]][0]), ` at ${positionOf(text, index)}`];
  return widePanel(
    "Where the strongest activation comes from",
    scale("diverging", brief(-largest), brief(largest)),
    element("ul", { class: "samples" }, element("li", {}, tokens)),
    barList("Sources that add most", ranked.slice(0, 6).map(({ value, index }) => ({
      name: element("span", {}, name(index)),
      value,
      text: brief(value),
      describe: describeToken(tokens.children[index], "adds to the activation"),
    })), { isSigned: true }),
    element("p", { class: "muted small" }, "Coloured by what attention takes from each token for the outlined one, ", name(token), "."),
  );
}

function activationsPanel(feature) {
  const bins = feature.activations;
  if (bins.length === 0) return null;
  const points = bins.map(({ lower, upper, n }) => ({ x: (lower + upper) / 2, x0: lower, x1: upper, y: n }));
  const range = (x) => bins.find(({ lower, upper }) => (lower + upper) / 2 === x);
  return element("section", { class: "card" }, chart({
    title: "Activations",
    description: "Number of tokens by the activation of the feature on them.",
    x: {
      label: "activation",
      domain: [bins[0].lower, bins.at(-1).upper],
      describe: (x) => `activation ${exact(range(x).lower)} to ${exact(range(x).upper)}`,
    },
    y: { label: "tokens", fromZero: true, format: compact },
    lines: [{ name: "tokens", colour: 3, marks: false, columns: true, points }],
  }));
}

function tokenBars(label, tokens) {
  const row = ({ text, id, value }) => ({
    name: chip(text),
    value,
    text: value === null ? "n/a" : fixed(value, 2).replace("-", "\u2212"),
    describe: { title: legible(text), rows: [["logit", exact(value)], ["token id", exact(id)]] },
  });
  return element("div", {}, element("h4", {}, label), barList(label, tokens.map(row), { isSigned: true }));
}

function logitsPanel(feature) {
  const { raised, lowered } = feature;
  if (raised.length === 0 && lowered.length === 0) return null;
  const sides = [
    raised.length > 0 && tokenBars("raises", raised),
    lowered.length > 0 && tokenBars("lowers", lowered),
  ];
  return widePanel("Logits", null, element("div", { class: "logits" }, sides.filter((side) => side)));
}

function headsPanel(feature) {
  if (feature.head_shares.length === 0) return null;
  const row = (value, head) => ({
    name: `head ${head}`,
    value,
    text: percent(value),
    describe: { title: `Head ${head}`, rows: [["share", exact(value)]] },
  });
  const bars = barList("Share of each head", feature.head_shares.map(row), { isCompact: true });
  return widePanel("Share of each head", null, bars);
}

function neighboursPanel(feature) {
  if (feature.neighbours.length === 0) return null;
  const row = ({ feature: of, cosine }) => {
    const found = BY_NUMBER.get(of);
    const hints = found ? (found.label ? [found.label] : hintsOf(found).slice(0, 3).map(chip)) : [];
    const link = found ? element("a", { href: `#f${of}` }, `#${of}`) : `#${of}`;
    return {
      name: element("span", {}, link, " ", hints),
      value: cosine,
      text: fixed(cosine, 3),
      describe: { title: `#${of}`, rows: [["cosine", exact(cosine)]] },
    };
  };
  const node = panel("Nearest features", barList("Cosine of decoder directions", feature.neighbours.map(row), { isSigned: true }));
  node.classList.add("neighbours");
  return node;
}

function headerPanel(feature) {
  const place = currentPlace();
  const step = (id, text, to) => {
    const isThere = to >= 0 && to < list.features.length;
    const button = element("button", { type: "button", id, disabled: !isThere }, text);
    button.addEventListener("click", () => {
      goToPlace(to);
      const again = byId(id);
      (again.disabled ? byId("detail").querySelector(".steps button:enabled") : again)?.focus();
    });
    return button;
  };
  const words = [
    `fires on ${percent(feature.density)} of tokens`,
    `largest activation ${brief(feature.max_activation)}`,
  ];
  return element(
    "section",
    { class: "card wide", id: "detail-header" },
    element(
      "div",
      { class: "about" },
      element("h3", { id: "detail-heading", tabindex: "-1" }, number(feature)),
      feature.label ? element("p", {}, feature.label) : null,
      element("p", { class: "muted small" }, words.join(" \u00b7 ")),
      element("p", { class: "chips" }, hintsOf(feature).slice(0, 10).flatMap((token) => [chip(token), " "])),
    ),
    element("div", { class: "steps" }, step("previous", "\u2190 Previous", place < 0 ? -1 : place - 1), step("next", "Next \u2192", place + 1)),
  );
}

/** Draws the feature that is shown. */
function showFeature() {
  tooltip.hide();
  const feature = shown.feature;
  const largest = feature.max_activation ?? extent(feature.texts.flatMap((text) => text.activations))[1];
  const panels = [
    headerPanel(feature),
    textsPanel(feature, largest),
    logitsPanel(feature),
    activationsPanel(feature),
    neighboursPanel(feature),
    attributionPanel(feature),
    headsPanel(feature),
    quantilesPanel(feature, largest),
  ];
  byId("detail").replaceChildren(...panels.filter((node) => node));
}
