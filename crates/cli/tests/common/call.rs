//! `probe` as a person calls it.

use std::path::Path;
use std::process::{Command, Output, Stdio};

/// `probe` with arguments, to be run in a folder.
pub(crate) fn command(folder: &Path, args: &[&str]) -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_probe"));
    command.args(args).current_dir(folder).stdin(Stdio::null());
    command.env_remove("RUST_LOG").env("HF_HUB_OFFLINE", "1");
    command
}

/// Standard output and error of a command that must succeed.
pub(crate) fn succeed(command: &mut Command) -> (String, String) {
    let Output { status, stdout, stderr } = command.output().unwrap();
    let stderr = String::from_utf8(stderr).unwrap();
    assert!(status.success(), "{command:?}: {stderr}");
    (String::from_utf8(stdout).unwrap(), stderr)
}

/// Standard error of a command that must end with exit code 2 and print nothing else.
pub(crate) fn refused(command: &mut Command) -> String {
    let Output { status, stdout, stderr } = command.output().unwrap();
    let stderr = String::from_utf8(stderr).unwrap();
    assert_eq!(status.code(), Some(2), "{command:?}: {stderr}");
    assert!(stdout.is_empty(), "{command:?}");
    stderr
}
