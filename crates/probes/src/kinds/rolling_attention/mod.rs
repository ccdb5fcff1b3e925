//! Rolling attention probe: attention within a window that slides over the text, then the maximum.

mod kernel;
mod kind;
mod stream;
#[cfg(test)]
mod tests;

pub use kind::RollingAttention;
