//! The pages in a browser, with a real mouse and real keys.
//!
//! Tests print that they were skipped where there is no Chromium.

mod compare;
mod devtools;
mod look;
#[path = "../support/sample/mod.rs"]
mod sample;
mod sweep;
mod token;

use std::path::{Path, PathBuf};

use attention_probes_report::ReportError;
use tempfile::TempDir;

use crate::devtools::Browser;

/// Opens a page in a window of a width; the folder it lies in is removed when it is dropped.
fn open(browser: &mut Browser, html: Result<String, ReportError>, width: u32) -> TempDir {
    let folder = tempfile::tempdir().expect("a folder for the page");
    let file = write_page(folder.path(), "page.html", &html.expect("the page is made"));
    browser.open(&file, width, 900);
    folder
}

/// Writes a page where the browser can read it.
fn write_page(folder: &Path, name: &str, html: &str) -> PathBuf {
    let file = folder.join(name);
    std::fs::write(&file, html).expect("the page is written");
    file
}
