//! Trials trained together against the same trials trained alone and against plain modules.

mod cross_validation;
pub(crate) mod full_batch;
mod growing;
mod modules;
pub(crate) mod toy;
mod trials;
