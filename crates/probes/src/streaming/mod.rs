//! A probe beside a running model: one activation in, the class scores so far out.

mod attention;
mod extremes;
mod pooled;
mod probe;
mod rows;
mod token;

pub use probe::StreamingProbe;
