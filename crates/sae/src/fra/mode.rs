//! Whether numbers are a decomposition, or those of the first FRA code.

use serde::Serialize;

use super::layer::FraLayer;

/// Occurrences without a value that the shrunk mean of pairs adds.
pub(super) const SHRUNK_MEAN_PRIOR: f64 = 20.0;

/// Whether numbers are a decomposition of scores.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum FraMode {
    /// Everything adds up to the scores.
    Exact,
    /// The numbers are those of the first FRA code ([`FraLayer::published`]).
    Published,
}

impl FraLayer<'_> {
    /// Whether its numbers are a decomposition.
    pub fn mode(&self) -> FraMode {
        if self.is_published() { FraMode::Published } else { FraMode::Exact }
    }

    /// What the shrunk mean of its pairs adds to the count; the first FRA code had none.
    pub(super) fn prior(&self) -> f64 {
        if self.is_published() { 0.0 } else { SHRUNK_MEAN_PRIOR }
    }
}
