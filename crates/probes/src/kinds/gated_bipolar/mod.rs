//! Gated bipolar probe: gated features of every token, of which the highest and the lowest count.

mod kernel;
mod kind;
mod stream;
#[cfg(test)]
mod tests;

pub use kind::GatedBipolar;
