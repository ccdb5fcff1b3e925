//! Linear probe: pool a text, then one linear readout.

mod contributions;
mod kernel;
mod kind;
mod stream;
#[cfg(test)]
mod tests;

pub use kind::Linear;
