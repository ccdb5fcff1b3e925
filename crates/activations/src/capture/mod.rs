//! The one engine that runs a model over sequences of tokens and hands on what its hooks see.

mod batching;
mod engine;
mod hook;
mod order;
mod pass;

pub use batching::Batching;
pub use engine::{
    CaptureOptions, CaptureOrder, CaptureSummary, ModelCapture, NonFinite, NonFinitePolicy,
    SequenceRows, capture_rows,
};
pub use hook::{CaptureHook, HookLayout, HookShape, hook_shapes};
