//! Curves of a run for `TensorBoard`.

mod events;
mod tracker;

pub use tracker::{TensorBoardTracker, write_tensorboard};
