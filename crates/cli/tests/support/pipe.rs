//! A named pipe that a command is to write to.

use std::fs;
use std::os::unix::fs::FileTypeExt as _;
use std::path::Path;
use std::process::Command;

use crate::call::{command, refused_in_a_line};

/// Asserts that a command does not write to `name`, a pipe that is made here.
pub(crate) fn is_no_output(folder: &Path, name: &str, args: &[&str]) {
    let pipe = folder.join(name);
    assert!(Command::new("mkfifo").arg(&pipe).status().unwrap().success());
    let error = refused_in_a_line(&mut command(folder, args));
    assert!(error.contains(&format!("`{name}`: it is a named pipe")), "{error}");
    assert!(fs::symlink_metadata(&pipe).unwrap().file_type().is_fifo(), "{name} is as it was");
}
