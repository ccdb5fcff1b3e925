//! `probe sweep` as a person calls it: what it writes, that it writes the same every time,
//! and what it refuses.

#![expect(clippy::unwrap_used, reason = "a test fails by panicking")]

mod arrays;
mod bad_input;
#[path = "../common/call.rs"]
mod call;
mod data;
mod defaults;
mod evaluation;
mod folder;
mod folds;
mod haystack;
mod leaks;
mod page;
#[path = "../common/page_data.rs"]
mod page_data;
mod places;
mod ranking;
mod results;
mod resume;
#[path = "../common/running.rs"]
mod running;
#[path = "../../../report/tests/support/skip.rs"]
mod skip;
mod standing;
mod targets;
mod tasks;
mod tracking;
mod transfer;
