
// One text: its heading, its tokens, and their colours. A card has content only while it is near
// the window, so that a page with thousands of texts has as few elements as one with ten.

/** Makes the card of a text, without content. */
function emptyCard(text) {
  const card = element("article", { class: "text card", "aria-label": `Row ${text.row}` });
  card.text = text;
  text.card = card;
  reserve(card);
  return card;
}

/** Gives a card without content about the height that it will have with it. */
function reserve(card) {
  const n = card.text.tokens.length;
  const perLine = Math.max(6, (byId("texts").clientWidth - 40) / 38); // tokens of 38 px each
  card.style.minHeight = `${card.height ?? Math.round(90 + 30 * Math.ceil(n / perLine))}px`;
}

function fill(card) {
  if (card.tokens) return;
  const { text } = card;
  card.header = element("header");
  card.tokens = tokenList(text, "token", `Tokens of row ${text.row}`);
  card.replaceChildren(card.header, card.tokens);
  card.style.minHeight = "";
  paint(card);
}

function empty(card) {
  // What has the focus stays, else a person at the keyboard would lose their place.
  if (!card.tokens || card.contains(document.activeElement)) return;
  card.height = Math.round(card.getBoundingClientRect().height) || card.height;
  card.tokens = null;
  card.replaceChildren();
  reserve(card);
}

/** Writes the numbers and colours of the current probe into a card that has content. */
function paint(card) {
  if (!card.tokens) return;
  const { text } = card;
  const probe = currentProbe();
  const reading = readingOf(text, probe);
  card.header.replaceChildren(...heading(text, probe, reading));

  const colour = COLOURS[shown.colour];
  const values = colour.values(reading);
  const scale = values ? colour.scale(values, probe) : null;
  const diverging = colour.isDiverging(probe);
  for (const token of card.tokens.querySelectorAll(".token")) {
    const value = values ? values[Number(token.dataset.index)] : null;
    shadeToken(token, value === null || value === undefined ? null : scale(value), diverging);
  }
}

function heading(text, probe, reading) {
  const of = verdict(text, probe);
  const words = { right: "\u2713 right", wrong: "\u2717 wrong", unknown: null }[of];
  const sure = confidence(text, probe);
  const predicted = said(reading, probe) ?? "n/a";
  const label = text.label === null ? "no label" : `label ${text.label}`;
  const probability = () => {
    if (isBinary(probe)) return `P(${probe.classes[1]}) ${fixed(reading.probabilities[1])}`;
    if (areLabels(probe)) return `P(${probe.classes[reading.predicted]}) ${fixed(sure)}`;
    return isNumber(probe) ? probe.classes[0] : `P ${fixed(sure)}`;
  };
  return [
    element("h3", {}, `Row ${text.row}`),
    words && element("span", { class: `verdict ${of}` }, words),
    element("span", {}, "says ", element("span", { class: "class" }, predicted), `, ${label}`),
    element(
      "span",
      { class: "numbers tabular", "data-tip": "text", tabindex: "0" },
      probability(),
    ),
    isNumber(probe)
      ? null
      : isBinary(probe)
        ? meter(reading.probabilities[1], probe.threshold)
        : meter(sure, areLabels(probe) ? 0.5 : null),
  ].filter((part) => part !== null);
}

/** A probability as a bar, with the decision threshold across it. */
function meter(probability, threshold) {
  const fill = element("span", { class: "fill" });
  fill.style.width = `${(probability ?? 0) * 100}%`;
  const bar = element("span", { class: "meter", "aria-hidden": "true" }, fill);
  if (threshold !== null) {
    const line = element("span", { class: "threshold" });
    line.style.left = `${Math.max(0, Math.min(1, threshold)) * 100}%`;
    bar.append(line);
  }
  return bar;
}

describers.text = (node) => {
  const { text } = node.closest(".text");
  const probe = currentProbe();
  const reading = readingOf(text, probe);
  const logit = (value, index) => [
    isNumber(probe) ? probe.classes[0] : reading.logits.length > 1 ? `logit of ${probe.classes[index]}` : "logit",
    exact(value),
  ];
  const classes = isNumber(probe) ? [] : probe.classes;
  return {
    title: `Row ${text.row}`,
    rows: [
      ...classes.map((name, index) => [`P(${name})`, exact(reading.probabilities[index])]),
      ...reading.logits.map(logit),
      ...(isBinary(probe) ? [["threshold", exact(probe.threshold)]] : []),
      ["tokens", String(text.tokens.length)],
    ],
  };
};

describers.token = (node) => {
  const { text } = node.closest(".text");
  const index = Number(node.dataset.index);
  const probe = currentProbe();
  const reading = readingOf(text, probe);
  const [token, id] = DATA.vocabulary[text.tokens[index]];
  const rows = [
    ["position", String(positionOf(text, index))],
    ["token id", exact(id)],
  ];
  const named = isBinary(probe) ? probe.classes[1] : probe.classes[reading.predicted];
  if (reading.prefix_probabilities) {
    rows.push([isNumber(probe) ? `${named} so far` : `P(${named}) so far`, exact(reading.prefix_probabilities[index])]);
  }
  if (reading.contributions) rows.push([isNumber(probe) ? "adds to the number" : "adds to the logit", exact(reading.contributions[index])]);
  if (reading.pattern.length === 1) rows.push(["weight", exact(reading.pattern[0][index])]);
  if (reading.pattern.length > 1) {
    const mean = shown.head === "mean" ? weights(reading)[index] : null;
    if (mean !== null) rows.push(["mean weight", String(Number(mean.toPrecision(4)))]);
    reading.pattern.slice(0, 8).forEach((head, h) => {
      rows.push([`weight of head ${h}`, exact(head[index])]);
    });
    if (reading.pattern.length > 8) rows.push(["further heads", String(reading.pattern.length - 8)]);
  }
  return { title: legible(token), rows };
};
