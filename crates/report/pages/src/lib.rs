//! Pages of results: what sweeps, saved probes, autoencoders, and feature-resolved attention return,
//! made into the structs of [`attention_probes_report`] and written as self-contained HTML.

#[cfg(feature = "sae")]
pub mod fra;
