//! Saved probes.

#![no_main]

#[path = "../readers/folder.rs"]
mod folder;
#[path = "../readers/probe.rs"]
mod probe;

use libfuzzer_sys::fuzz_target;

fuzz_target!(|bytes: &[u8]| {
    probe::read(bytes);
});
