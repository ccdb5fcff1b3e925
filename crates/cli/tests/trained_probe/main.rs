//! `probe eval` and `probe score` as a person calls them, on probes that are trained here.

#![expect(clippy::unwrap_used, reason = "a test fails by panicking")]

mod activations;
#[path = "../common/call.rs"]
mod call;
mod eval;
mod fixture;
#[path = "../common/page_data.rs"]
mod page_data;
mod ranking;
mod refused;
mod score;
mod stream;
mod view;
