//! Files of autoencoders in the forms of five libraries.

#![no_main]

#[path = "../readers/folder.rs"]
mod folder;
#[path = "../readers/sae.rs"]
mod sae;

use libfuzzer_sys::fuzz_target;

fuzz_target!(|bytes: &[u8]| {
    sae::read(bytes);
});
