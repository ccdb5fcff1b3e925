//! Pages as files and in a browser.

mod browser;
mod pages;
#[path = "../support/sample/mod.rs"]
mod sample;
#[path = "../support/skip.rs"]
mod skip;
