//! Checkpoints of the training of autoencoders.

#![no_main]

#[path = "../readers/folder.rs"]
mod folder;
#[path = "../readers/sae_checkpoint.rs"]
mod sae_checkpoint;
#[path = "../readers/tiny.rs"]
mod tiny;

use libfuzzer_sys::fuzz_target;

fuzz_target!(|bytes: &[u8]| {
    sae_checkpoint::read(bytes);
});
