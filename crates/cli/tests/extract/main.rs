//! `probe extract` as a person calls it, on the embedded model.

#![expect(clippy::unwrap_used, reason = "a test fails by panicking")]

#[path = "../common/call.rs"]
mod call;
mod fixture;
mod folder;
mod refused;
#[path = "../common/running.rs"]
mod running;
mod values;
