//! A probe beside a running model: one activation in, the class scores so far out.

mod kept;
mod probe;
mod rows;
mod stream_kind;

pub use probe::StreamingProbe;
pub use rows::{Ring, Rows};
pub use stream_kind::StreamKind;
