//! Trials trained together against the same trials trained alone and against plain modules.

mod cross_validation;
mod definitions;
pub(crate) mod full_batch;
mod growing;
pub(crate) mod toy;
mod trials;
