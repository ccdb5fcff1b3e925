//! Token caches.

#![no_main]

#[path = "../readers/folder.rs"]
mod folder;
#[path = "../readers/hashed.rs"]
mod hashed;
#[path = "../readers/tokens.rs"]
mod tokens;

use libfuzzer_sys::fuzz_target;

fuzz_target!(|bytes: &[u8]| {
    tokens::read(bytes);
});
