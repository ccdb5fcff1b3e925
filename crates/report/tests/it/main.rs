//! Pages as files and in a browser.

#![expect(clippy::unwrap_used, reason = "a test fails by panicking")]

mod browser;
mod pages;
#[path = "../support/sample/mod.rs"]
mod sample;
#[path = "../support/skip.rs"]
mod skip;
