//! Feature-resolved attention: everything adds up, and every fast form equals a slow one.

#![expect(clippy::unwrap_used, reason = "a test fails by panicking")]

mod identity;
mod nulls;
mod output;
mod published;
mod statistics;
mod subjects;
