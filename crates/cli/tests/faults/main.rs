//! What ended a run, lost something, or was read wrongly once: exit code, one line, nothing lost.

#![expect(clippy::unwrap_used, reason = "a test fails by panicking")]
#![cfg(target_os = "linux")]

mod autoencoders;
mod call;
mod data;
mod outputs;
mod runs;
mod streams;
