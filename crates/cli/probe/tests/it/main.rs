//! `probe` as a person calls it: what it writes, what it prints, and what it refuses.

#![expect(clippy::unwrap_used, reason = "a test fails by panicking")]

#[path = "../../../tests/support/call.rs"]
mod call;
mod extract;
#[cfg(target_os = "linux")]
mod faults;
#[cfg(target_os = "linux")]
#[path = "../../../tests/support/folder.rs"]
mod folder;
#[cfg(feature = "hub")]
mod hub;
#[cfg(feature = "hub")]
#[path = "../../../../models/tests/it/hub/server.rs"]
mod hub_server;
#[path = "../../../tests/support/page_data.rs"]
mod page_data;
#[cfg(target_os = "linux")]
#[path = "../../../tests/support/pipe.rs"]
mod pipe;
#[path = "../../../tests/support/running.rs"]
mod running;
#[path = "../../../../report/tests/support/skip.rs"]
mod skip;
#[cfg(target_os = "linux")]
#[path = "../../../tests/support/streams.rs"]
mod streams;
mod sweep;
#[cfg(target_os = "linux")]
#[path = "../../../tests/support/temporaries.rs"]
mod temporaries;
mod trained_probe;
#[path = "../../../tests/support/version.rs"]
mod version;
#[cfg(all(feature = "flex", feature = "wgpu"))]
mod wgpu;

/// The program that these tests call.
const PROGRAM: &str = env!("CARGO_BIN_EXE_probe");
