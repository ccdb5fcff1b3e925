//! A program as a person calls it, `crate::PROGRAM` from the folder of a test.

use std::path::Path;
use std::process::{Command, Output, Stdio};

/// The program with arguments, to be run in a folder.
pub(crate) fn command(folder: &Path, args: &[&str]) -> Command {
    let mut command = Command::new(crate::PROGRAM);
    command.args(args).current_dir(folder).stdin(Stdio::null());
    command.env_remove("RUST_LOG").env_remove("RUST_BACKTRACE").env("HF_HUB_OFFLINE", "1");
    command
}

/// Standard output and error of a command that must succeed.
pub(crate) fn succeed(command: &mut Command) -> (String, String) {
    let (code, stdout, stderr) = end(command);
    assert_eq!(code, Some(0), "{command:?}: {stderr}");
    (stdout, stderr)
}

/// Standard error, with one error in it, of a command that must end with exit code 2 and print
/// nothing else.
pub(crate) fn refused(command: &mut Command) -> String {
    let (code, stdout, stderr) = end(command);
    assert_eq!(code, Some(2), "{command:?}: {stderr}");
    assert!(stdout.is_empty(), "{command:?}");
    let errors = stderr.lines().filter(|line| line.starts_with("error"));
    assert_eq!(errors.count(), 1, "{command:?}: {stderr}");
    stderr
}

/// The one `error:` line of a command that must end with exit code 2, and after which nothing comes.
pub(crate) fn refused_in_a_line(command: &mut Command) -> String {
    let stderr = refused(command);
    let last = stderr.lines().last().unwrap_or_default();
    assert!(last.starts_with("error: "), "nothing comes after the error: {stderr}");
    last.to_owned()
}

/// How a command ended: its exit code, standard output, and standard error.
fn end(command: &mut Command) -> (Option<i32>, String, String) {
    let Output { status, stdout, stderr } = command.output().unwrap();
    let text = |bytes| String::from_utf8(bytes).unwrap();
    (status.code(), text(stdout), text(stderr))
}
