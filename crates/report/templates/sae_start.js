
// Which feature is shown, and the address that leads to it.

/** Shows a feature and puts it into the address, so that the page can be sent with it. */
function select(feature) {
  if (feature === shown.feature) return;
  shown.feature = feature;
  const address = `#f${feature.feature}`;
  // Some browsers let pages from disk keep their address only; then it stays as it is.
  if (location.hash !== address) {
    try { history.replaceState(null, "", address); } catch { /* see above */ }
  }
  markCurrent();
  keepRowInSight(feature);
  showFeature();
}

/** Scrolls the list, and only the list, to the row of a feature. */
function keepRowInSight(feature) {
  const row = rowOf(feature);
  if (!row) return;
  const host = byId("list");
  const [box, around] = [row.getBoundingClientRect(), host.getBoundingClientRect()];
  const head = host.querySelector("thead").offsetHeight;
  if (box.top < around.top + head) host.scrollTop -= around.top + head - box.top;
  else if (box.bottom > around.bottom) host.scrollTop += box.bottom - around.bottom;
}

/** The feature of the address, `#f123`; null if it names none of this page. */
function addressed() {
  const found = /^#f(\d+)$/.exec(location.hash);
  return found ? BY_NUMBER.get(Number(found[1])) ?? null : null;
}

/** Follows a link or an address that somebody wrote. */
function follow(isFirst) {
  const feature = addressed();
  if (!feature) return;
  // A filter would hide what the address asks for.
  if (!list.features.includes(feature)) {
    shown.search = byId("search").value = "";
    shown.range = byId("range").value = "all";
    showList();
  }
  const missing = list.features.indexOf(feature) + 1 - list.body.children.length;
  if (missing > 0) growList(missing + N_ROWS);
  select(feature);
  const top = byId("detail").getBoundingClientRect().top;
  if (isFirst || top < 0 || top > innerHeight - 160) byId("detail").scrollIntoView();
}

function start() {
  showSummary();
  showTraining();
  showGuidance();
  showDensities();
  const path = JSON.stringify(DATA.file);
  byId("load").hidden = DATA.file === "";
  byId("load-rust").textContent =
    "use attention_probes::sae::read_sae;\n" +
    `let sae = read_sae(${path})?;\n` +
    "let feature_acts = sae.encode(&activations)?.codes;";
  byId("load-python").textContent =
    "from sae_lens import SAE\n" +
    `sae = SAE.load_from_disk(${path})\n` +
    "feature_acts = sae.encode(activations)";
  byId("configuration").hidden = DATA.config === "";
  byId("config").textContent = DATA.config;
  const hasDensities = !byId("density").hidden;
  byId("nothing").hidden = DATA.features.length > 0;
  byId("features").hidden = DATA.features.length === 0 && !hasDensities;
  byId("explorer").hidden = DATA.features.length === 0;
  if (DATA.features.length === 0) return;

  setOptions(byId("range"), Object.entries(RANGES).map(([value, [name]]) => [value, name]));
  byId("search").addEventListener("input", (event) => {
    shown.search = event.target.value;
    showList();
  });
  byId("range").addEventListener("change", (event) => {
    shown.range = event.target.value;
    showList();
  });
  byId("list").addEventListener("keydown", listKeys);
  byId("list").addEventListener("click", (event) => {
    const row = event.target.closest("tbody tr");
    if (row && !event.target.closest("a")) location.hash = `#f${row.dataset.feature}`;
  });
  walkTokens(byId("detail"));
  addEventListener("hashchange", () => follow(false));
  showList();
  if (addressed()) follow(true);
  else {
    shown.feature = DATA.features[0];
    markCurrent();
    showFeature();
  }
}

start();
