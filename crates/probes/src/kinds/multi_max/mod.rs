//! `MultiMax` probe: of each head, the token that speaks loudest.

mod kernel;
mod kind;
mod stream;
#[cfg(test)]
mod tests;

pub use kind::MultiMax;
