//! Trials trained together against the same trials trained alone and against plain modules.

#![expect(clippy::unwrap_used, reason = "a test fails by panicking")]

mod cross_validation;
mod full_batch;
mod growing;
mod modules;
mod toy;
mod trials;
