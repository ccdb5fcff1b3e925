//! Statistics of feature-resolved attention that a run goes on with.

#![no_main]

#[path = "../readers/folder.rs"]
mod folder;
#[path = "../readers/fra.rs"]
mod fra;
#[path = "../readers/hashed.rs"]
mod hashed;
#[path = "../readers/tiny.rs"]
mod tiny;

use libfuzzer_sys::fuzz_target;

fuzz_target!(|bytes: &[u8]| {
    fra::read(bytes);
});
