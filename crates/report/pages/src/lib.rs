//! Pages of results: what sweeps, saved probes, autoencoders, and feature-resolved attention return,
//! made into the structs of [`attention_probes_report`] and written as self-contained HTML; and as
//! tables of plain text, [`text`].

mod error;
#[cfg(feature = "sae")]
pub mod fra;
#[cfg(feature = "sae")]
mod guidance;
#[cfg(feature = "probes")]
pub mod probes;
#[cfg(feature = "sae")]
mod sae_ablation_page;
#[cfg(feature = "sae")]
mod sae_page;
#[cfg(feature = "probes")]
pub mod sweep;
pub mod text;

pub use error::PageError;
#[cfg(feature = "sae")]
pub use sae_ablation_page::sae_ablation_page;
#[cfg(feature = "sae")]
pub use sae_page::{SaePageConfig, sae_page};
