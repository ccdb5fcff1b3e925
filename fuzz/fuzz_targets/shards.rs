//! Folders of shards: manifest, records, and parts.

#![no_main]

#[path = "../readers/folder.rs"]
mod folder;
#[path = "../readers/shards.rs"]
mod shards;

use libfuzzer_sys::fuzz_target;

fuzz_target!(|bytes: &[u8]| {
    shards::read(bytes);
});
