//! The one engine that runs a model over sequences of tokens and hands on what its hooks see.

mod batch;
mod batching;
mod engine;
mod hook;
mod options;
mod order;
mod pass;
mod rows;
mod site;
pub(crate) mod stream;

pub use batch::length_buckets;
pub use batching::{Batching, TOKENS_PER_FORWARD};
pub use engine::capture_rows;
pub use hook::{CaptureHook, HookLayout, HookShape, hook_shapes};
pub use options::{CaptureOptions, CaptureOrder, ModelCapture, NonFinitePolicy, Watch};
pub use rows::{CaptureSummary, NonFinite, SequenceRows};
pub use site::{Component, Site};
pub use stream::{Capture, StreamReport, stream_activations};
