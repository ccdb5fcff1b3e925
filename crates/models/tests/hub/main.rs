//! Downloads from a server on this machine that plays the Hub.

#![expect(clippy::unwrap_used, reason = "a test fails by panicking")]

mod data_set;
mod download;
mod faults;
mod fixture;
mod proxy;
mod refused;
mod server;
