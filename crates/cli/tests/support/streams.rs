//! Standard output and error that nobody can write to.

use std::fs::File;
use std::io::pipe;
use std::process::{Command, Stdio};

/// Asserts that a command ends with an exit code although its stderr is on a full disk.
pub(crate) fn ends_on_a_full_disk(mut command: Command, code: i32) {
    let device = File::options().write(true).open("/dev/full").unwrap();
    let status = command.stdout(Stdio::null()).stderr(device).status().unwrap();
    assert_eq!(status.code(), Some(code), "{command:?} with stderr on a full disk");
}

/// Asserts that a command ends with an exit code although nobody reads its stderr.
pub(crate) fn ends_unread(mut command: Command, code: i32) {
    let (reader, writer) = pipe().unwrap();
    drop(reader);
    let status = command.stdout(Stdio::null()).stderr(writer).status().unwrap();
    assert_eq!(status.code(), Some(code), "{command:?} with nobody who reads stderr");
}
