//! Results as tables of plain text, for a terminal, a log, or a notebook.
//!
//! Each function takes what a library returned and gives text that ends with a line break; what a
//! terminal would obey is escaped.

#[cfg(feature = "probes")]
mod cells;
#[cfg(feature = "probes")]
mod compare;
#[cfg(feature = "probes")]
mod decisions;
#[cfg(feature = "probes")]
mod evaluation;
#[cfg(feature = "probes")]
mod extract;
#[cfg(feature = "sae")]
mod fra;
#[cfg(feature = "probes")]
mod plan;
#[cfg(feature = "sae")]
mod sae;
#[cfg(feature = "probes")]
mod sweep;
#[cfg(feature = "probes")]
mod targets;

#[cfg(feature = "probes")]
pub use compare::comparison_text;
#[cfg(feature = "probes")]
pub use evaluation::evaluation_text;
#[cfg(feature = "probes")]
pub use extract::extract_text;
#[cfg(feature = "sae")]
pub use fra::{fra_arms_text, fra_demo_text, fra_heads_text, fra_pairs_text, fra_sample_text};
#[cfg(feature = "probes")]
pub use plan::plan_text;
#[cfg(feature = "sae")]
pub use sae::{ablation_text, arms_text, sae_evaluation_text, trained_saes_text};
#[cfg(feature = "probes")]
pub use sweep::sweep_text;
