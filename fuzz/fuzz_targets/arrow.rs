//! Arrow files of the Python library `datasets`.

#![no_main]

#[path = "../readers/arrow.rs"]
mod arrow;
#[path = "../readers/folder.rs"]
mod folder;

use libfuzzer_sys::fuzz_target;

fuzz_target!(|bytes: &[u8]| {
    arrow::read(bytes);
});
