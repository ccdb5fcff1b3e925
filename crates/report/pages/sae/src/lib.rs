//! Pages of autoencoders and of feature-resolved attention: what those return, made into the structs
//! of [`attention_probes_report`] and written as self-contained HTML; and as tables of plain text,
//! [`text`].

pub mod fra;
mod guidance;
mod sae_ablation_page;
mod sae_page;
pub mod text;

pub use sae_ablation_page::sae_ablation_page;
pub use sae_page::{SaePageConfig, sae_page};
