//! Token probe: score every token with one linear readout, then make one score of many.

mod aggregation;
mod kernel;
mod kind;
mod stream;
#[cfg(test)]
mod tests;

pub use aggregation::Aggregation;
pub use kind::TokenScores;
