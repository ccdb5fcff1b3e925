//! `probe sweep` as a person calls it: what it writes, that it writes the same every time,
//! and what it refuses.

mod arrays;
mod bad_input;
mod data;
mod defaults;
mod evaluation;
pub(crate) mod folder;
mod folds;
mod haystack;
mod leaks;
mod page;
mod places;
mod ranking;
mod results;
mod resume;
mod standing;
mod targets;
mod tasks;
mod tracking;
mod transfer;
