//! Seeds that this project writes itself.

use std::fs;

use crate::corpus::folder;

/// Writes a seed of a target.
pub(crate) fn put(target: &str, name: &str, bytes: &[u8]) {
    fs::create_dir_all(folder(target)).expect("the folder can be made");
    fs::write(folder(target).join(name), bytes).expect("the seed can be written");
}
