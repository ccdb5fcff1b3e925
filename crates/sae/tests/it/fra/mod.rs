//! Feature-resolved attention: everything adds up, and every fast form equals a slow one.

mod identity;
mod nulls;
mod output;
mod published;
mod statistics;
mod subjects;

use attention_probes_sae::fra::{FraActivations, FraInput};

/// A text, and what was kept of it.
fn input<'a>(ids: &'a [u32], activations: &'a FraActivations, n_before: usize) -> FraInput<'a> {
    FraInput { ids, activations, n_before }
}
