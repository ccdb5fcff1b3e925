//! The pages in a browser, with a real mouse and real keys.
//!
//! Tests print that they were skipped where there is no Chromium.

mod devtools;
mod look;
#[path = "../support/sample.rs"]
mod sample;

use std::path::{Path, PathBuf};

/// Writes a page where the browser can read it.
fn write_page(folder: &Path, name: &str, html: &str) -> PathBuf {
    let file = folder.join(name);
    std::fs::write(&file, html).expect("the page is written");
    file
}
