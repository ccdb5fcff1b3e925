//! Made-up results for the pages of the tests.

mod compare;
mod dice;
mod fra;
mod sae;
mod sweep;
mod token;

pub(crate) use compare::compare_page;
pub(crate) use fra::{
    fra_corpus_page, fra_sample_page, hostile_fra_corpus_page, hostile_fra_sample_page,
};
pub(crate) use sae::{hostile_sae_page, sae_ablation_page, sae_page};
pub(crate) use sweep::{sweep_page, target_page};
pub(crate) use token::{INJECTION, token_page};
