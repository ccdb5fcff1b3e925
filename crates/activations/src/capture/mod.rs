//! The one engine that runs a model over sequences of tokens and hands on what its hooks see.

mod batching;
mod engine;
mod hook;
mod options;
mod order;
mod pass;
mod rows;

pub use batching::{Batching, TOKENS_PER_FORWARD};
pub use engine::capture_rows;
pub use hook::{CaptureHook, HookLayout, HookShape, hook_shapes};
pub use options::{CaptureOptions, CaptureOrder, ModelCapture, NonFinitePolicy, Watch};
pub use rows::{CaptureSummary, NonFinite, SequenceRows};
