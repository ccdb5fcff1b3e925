//! `fra` as a person calls it: one text, many texts, what was published, and what is refused.

#![expect(clippy::unwrap_used, reason = "a test fails by panicking")]

mod accumulate;
mod demo;
mod fixture;
mod published;
mod refused;
mod sample;
