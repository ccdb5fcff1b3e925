//! `sae` as a person calls it: what it writes, what it prints, and what it refuses.

#![expect(clippy::unwrap_used, reason = "a test fails by panicking")]

mod ablate;
#[cfg(target_os = "linux")]
#[path = "../../../tests/support/along_the_mean.rs"]
mod along_the_mean;
#[path = "../../../tests/support/call.rs"]
mod call;
mod eval;
#[cfg(target_os = "linux")]
mod faults;
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
#[cfg(target_os = "linux")]
#[path = "../../../tests/support/pipe.rs"]
mod pipe;
mod sae;
#[cfg(target_os = "linux")]
#[path = "../../../tests/support/streams.rs"]
mod streams;
#[cfg(target_os = "linux")]
#[path = "../../../tests/support/temporaries.rs"]
mod temporaries;
#[path = "../../../tests/support/version.rs"]
mod version;

/// The program that these tests call.
const PROGRAM: &str = env!("CARGO_BIN_EXE_sae");
