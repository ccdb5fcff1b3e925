//! Trials trained together against the same trials trained alone and against plain modules.

mod cross_validation;
mod full_batch;
mod growing;
mod modules;
mod toy;
mod trials;
