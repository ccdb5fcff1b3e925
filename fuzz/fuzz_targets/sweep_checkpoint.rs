//! Checkpoints of a sweep.

#![no_main]

#[path = "../readers/folder.rs"]
mod folder;
#[path = "../readers/hashed.rs"]
mod hashed;
#[path = "../readers/sweep_checkpoint.rs"]
mod sweep_checkpoint;

use libfuzzer_sys::fuzz_target;

fuzz_target!(|bytes: &[u8]| {
    sweep_checkpoint::read(bytes);
});
