//! MLP probe: pool a text, then one hidden layer.

mod kernel;
mod kind;
mod stream;
#[cfg(test)]
mod tests;

pub use kind::Mlp;
