//! Lines of `probe score --stream`.

#![no_main]

#[path = "../readers/stream.rs"]
mod stream;

use libfuzzer_sys::fuzz_target;

fuzz_target!(|bytes: &[u8]| {
    stream::read(bytes);
});
