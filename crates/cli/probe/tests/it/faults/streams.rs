//! Standard output and error that nobody can write to.

use std::io::pipe;
use std::path::Path;
use std::process::Command;

use super::folder;
use crate::call::command;
use crate::streams::{ends_on_a_full_disk, ends_unread};

/// Runs, and what they end with.
fn runs(folder: &Path) -> [(Command, i32); 3] {
    let hook = "blocks.0.hook_resid_post";
    let extract = ["extract", "--model", "demo-gpt2", "--data", "texts.csv", "--hooks", hook];
    let extract = [&extract[..], &["--output", "x.npz"]].concat();
    [
        (command(folder, &["sweep", "sweep.toml"]), 0),
        (command(folder, &extract), 0),
        (command(folder, &["sweep", "missing.toml"]), 2),
    ]
}

#[test]
fn a_log_that_cannot_be_written_is_no_reason_to_stop() {
    let (full, closed) = (folder(), folder());
    for (command, code) in runs(full.path()) {
        ends_on_a_full_disk(command, code);
    }
    for (command, code) in runs(closed.path()) {
        ends_unread(command, code);
    }
    for folder in [&full, &closed] {
        for result in ["out/s/report.html", "x.npz"] {
            assert!(folder.path().join(result).is_file(), "{result} is complete");
        }
    }
}

#[test]
fn a_reader_of_stdout_that_is_gone_ends_a_command_quietly() {
    let folder = folder();
    for flags in [&["--dry-run"][..], &["--dry-run", "--json"]] {
        let mut command = command(folder.path(), &[&["sweep", "sweep.toml"][..], flags].concat());
        let (reader, writer) = pipe().unwrap();
        drop(reader);
        let output = command.stdout(writer).output().unwrap();
        assert_eq!(output.status.code(), Some(0), "{output:?}");
    }
}
