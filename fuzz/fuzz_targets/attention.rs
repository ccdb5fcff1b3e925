//! Files of attention that guides a training run.

#![no_main]

#[path = "../readers/attention.rs"]
mod attention;
#[path = "../readers/folder.rs"]
mod folder;

use libfuzzer_sys::fuzz_target;

fuzz_target!(|bytes: &[u8]| {
    attention::read(bytes);
});
