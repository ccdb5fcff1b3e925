//! Results as tables of plain text, for a terminal, a log, or a notebook.
//!
//! Each function takes what a library returned and gives text that ends with a line break; what a
//! terminal would obey is escaped.

mod fra;
mod sae;

pub use fra::{fra_arms_text, fra_demo_text, fra_heads_text, fra_pairs_text, fra_sample_text};
pub use sae::{ablation_text, arms_text, sae_evaluation_text, trained_saes_text};
