//! `sae` as a person calls it.

use std::path::Path;
use std::process::{Command, Output, Stdio};

fn sae(folder: &Path, args: &[&str]) -> Output {
    let mut command = Command::new(env!("CARGO_BIN_EXE_sae"));
    command.args(args).current_dir(folder).stdin(Stdio::null());
    command.env_remove("RUST_LOG").env("HF_HUB_OFFLINE", "1").output().unwrap()
}

/// Standard output of a command that must succeed.
pub(crate) fn succeed(folder: &Path, args: &[&str]) -> String {
    let Output { status, stdout, stderr } = sae(folder, args);
    assert!(status.success(), "{args:?}: {}", String::from_utf8_lossy(&stderr));
    String::from_utf8(stdout).unwrap()
}

/// Standard error of a command that must end with exit code 2 and print nothing else.
pub(crate) fn refused(folder: &Path, args: &[&str]) -> String {
    let Output { status, stdout, stderr } = sae(folder, args);
    let stderr = String::from_utf8(stderr).unwrap();
    assert_eq!(status.code(), Some(2), "{args:?}: {stderr}");
    assert!(stdout.is_empty(), "{args:?}");
    stderr
}
