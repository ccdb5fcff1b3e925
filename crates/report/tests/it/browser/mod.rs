//! The pages in a browser, with a real mouse and real keys.
//!
//! Tests print that they were skipped where there is no Chromium, and fail where `CI` is set.

mod compare;
mod devtools;
mod fra_corpus;
mod fra_sample;
mod look;
mod numbers;
mod sae;
mod sae_ablation;
mod sweep;
mod sweep_targets;
mod token;
mod token_outputs;

use std::path::{Path, PathBuf};

use attention_probes_report::ReportError;
use tempfile::TempDir;

use crate::browser::devtools::Browser;

/// Labels of charts that overlap.
const TOUCHING: &str = "[...document.querySelectorAll('.plot svg')].flatMap((svg) => { \
    const boxes = [...svg.querySelectorAll('text')].map((t) => [t.textContent, t.getBoundingClientRect()]); \
    return boxes.flatMap(([a, p], i) => boxes.slice(i + 1).filter(([, q]) => \
    p.left < q.right && q.left < p.right && p.top < q.bottom - 3 && q.top < p.bottom - 3)\
    .map(([b]) => `${a} ${b}`)); })";

/// Whether what scrolls below the last card is no more than the margin.
const ENDS_WITH_ITS_CARDS: &str = "document.documentElement.scrollHeight <= \
    Math.max(innerHeight, document.querySelector('main').getBoundingClientRect().bottom + scrollY + 1)";

/// Opens a page in a window of a width; the folder it lies in is removed when it is dropped.
fn open(browser: &mut Browser, html: Result<String, ReportError>, width: u32) -> TempDir {
    open_at(browser, html, "", width)
}

/// Opens a page at an address within it, such as `#f12`.
fn open_at(
    browser: &mut Browser,
    html: Result<String, ReportError>,
    fragment: &str,
    width: u32,
) -> TempDir {
    let folder = tempfile::tempdir().expect("a folder for the page");
    let file = write_page(folder.path(), "page.html", &html.expect("the page is made"));
    let mut address = file.into_os_string();
    address.push(fragment);
    browser.open(Path::new(&address), width, 900);
    folder
}

/// Writes a page where the browser can read it.
fn write_page(folder: &Path, name: &str, html: &str) -> PathBuf {
    let file = folder.join(name);
    std::fs::write(&file, html).expect("the page is written");
    file
}
