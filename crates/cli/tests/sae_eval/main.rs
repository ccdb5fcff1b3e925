//! `sae eval` as a person calls it: every evaluation, and what is refused.

#![expect(clippy::unwrap_used, reason = "a test fails by panicking")]

#[path = "../common/sae_call.rs"]
mod call;

mod fixture;
mod letters;
mod measured;
mod refused;
