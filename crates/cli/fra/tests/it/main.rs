//! `fra` as a person calls it: one text, many texts, what was published, and what is refused.

#![expect(clippy::unwrap_used, reason = "a test fails by panicking")]

mod accumulate;
#[cfg(target_os = "linux")]
#[path = "../../../tests/support/along_the_mean.rs"]
mod along_the_mean;
#[path = "../../../tests/support/call.rs"]
mod call;
mod demo;
#[cfg(target_os = "linux")]
mod faults;
mod fixture;
#[cfg(target_os = "linux")]
#[path = "../../../tests/support/folder.rs"]
mod folder;
#[cfg(feature = "hub")]
mod hub;
#[cfg(feature = "hub")]
#[path = "../../../../models/tests/it/hub/server.rs"]
#[expect(dead_code, reason = "the tests of models use the rest")]
mod hub_server;
#[cfg(feature = "hub")]
#[path = "../../../tests/support/on_hub.rs"]
mod on_hub;
#[path = "../../../tests/support/page_data.rs"]
mod page_data;
#[cfg(target_os = "linux")]
#[path = "../../../tests/support/pipe.rs"]
mod pipe;
mod published;
mod refused;
mod sample;
#[cfg(target_os = "linux")]
#[path = "../../../tests/support/streams.rs"]
mod streams;
#[path = "../../../tests/support/version.rs"]
mod version;

/// The program that these tests call.
const PROGRAM: &str = env!("CARGO_BIN_EXE_fra");
