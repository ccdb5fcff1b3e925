// Tokens of a text, as they are on every page that colours some.

const NEWLINE = "\u23ce";
const TAB = "\u21e5";
const SPACE = "\u2423";
// Control characters, marks of direction, and what has no width: none of them can be seen.
const INVISIBLE =
  /[\u0000-\u001f\u007f-\u009f\u00ad\u034f\u061c\u115f\u1160\u17b4\u17b5\u180b-\u180e\u200b-\u200f\u2028-\u202e\u2060-\u206f\u3164\ufe00-\ufe0f\ufeff\ufff9-\ufffb]/;

/** The name of a character that has no look, such as `\u27e8U+200B\u27e9`. */
const codePoint = (c) => `\u27e8U+${c.codePointAt(0).toString(16).toUpperCase().padStart(4, "0")}\u27e9`;

/** A token for a tooltip: every character of it can be seen. */
function legible(token) {
  const character = (c) => {
    if (c === " ") return SPACE;
    if (c === "\n") return NEWLINE;
    if (c === "\t") return TAB;
    return INVISIBLE.test(c) || c === "\u00a0" ? codePoint(c) : c;
  };
  return token === "" ? "(empty)" : [...token].map(character).join("");
}

/** A token in its text: as it is, but for what could not be seen, which is named. */
function tokenContent(token) {
  if (token === "") return [element("span", { class: "mark" }, "\u2205")];
  if (!INVISIBLE.test(token)) return [token];
  return [...token].map((c) => {
    if (c === "\n") return element("span", { class: "mark" }, `${NEWLINE}\n`);
    if (c === "\t") return element("span", { class: "mark" }, `${TAB}\t`);
    return INVISIBLE.test(c) ? element("span", { class: "mark" }, codePoint(c)) : c;
  });
}

/** The tokens of a text, of which one is in the order of the tabulator key; `tip` describes them. */
function tokenList(text, tip, label) {
  const token = (id, index) =>
    element(
      "span",
      { class: "token", role: "listitem", tabindex: index === 0 ? "0" : "-1", "data-tip": tip, "data-index": index },
      tokenContent(DATA.vocabulary[id][0]),
    );
  const list = element("div", { class: "tokens", role: "list", "aria-label": label }, text.tokens.map(token));
  if (text.tokens.length === 0) list.append(element("span", { class: "muted" }, "No tokens."));
  return list;
}

/** Where a token stands in the sequence that the model read. */
function positionOf(text, index) {
  return Array.isArray(text.positions) ? text.positions[index] : text.positions + index;
}

/** Colours a token by a share from -1 to 1, with two hues if it can be negative; null takes it off. */
function shadeToken(token, share, isDiverging) {
  if (share === null) {
    delete token.dataset.sign;
    token.style.removeProperty("--shade");
    return;
  }
  const shade = Math.max(-1, Math.min(1, share));
  token.dataset.sign = isDiverging ? (shade < 0 ? "-" : "+") : "w";
  token.style.setProperty("--shade", `${(Math.abs(shade) * 100).toFixed(1)}%`);
}

const hasModifier = (event) => event.ctrlKey || event.metaKey || event.altKey;

/**
 * Left, right, Home, and End walk through the tokens of the texts in an element.
 *
 * One token of a text is in the order of the tabulator key: the last that had the focus.
 */
function walkTokens(host) {
  host.addEventListener("keydown", (event) => {
    const token = event.target.closest?.(".token");
    if (!token || hasModifier(event)) return;
    const tokens = token.parentElement.children;
    const index = Number(token.dataset.index);
    const targets = { ArrowLeft: index - 1, ArrowRight: index + 1, Home: 0, End: tokens.length - 1 };
    if (!(event.key in targets)) return;
    event.preventDefault();
    tokens[targets[event.key]]?.focus();
  });
  host.addEventListener("focusin", ({ target }) => {
    if (!target.matches(".token")) return;
    for (const other of target.parentElement.querySelectorAll('[tabindex="0"]')) other.tabIndex = -1;
    target.tabIndex = 0;
  });
}
