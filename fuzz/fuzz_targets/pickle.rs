//! The pickle of a file of `torch.save`.

#![no_main]

#[path = "../readers/folder.rs"]
mod folder;
#[path = "../readers/pickle.rs"]
mod pickle;

use libfuzzer_sys::fuzz_target;

fuzz_target!(|bytes: &[u8]| {
    pickle::read(bytes);
});
