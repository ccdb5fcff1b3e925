//! Standard output and error that nobody can write to.

use std::fs::File;
use std::io::pipe;
use std::path::Path;
use std::process::{Command, Stdio};

use super::call::{command, folder};

/// A run, the folder that it writes, and what it ends with.
fn runs(folder: &Path) -> Vec<(Command, i32)> {
    let hook = "blocks.0.hook_resid_post";
    let extract = ["extract", "--model", "demo-gpt2", "--data", "texts.csv", "--hooks", hook];
    let extract = [&extract[..], &["--output", "x.npz"]].concat();
    vec![
        (command("probe", folder, &["sweep", "sweep.toml"]), 0),
        (command("sae", folder, &["train", "train.toml"]), 0),
        (command("probe", folder, &extract), 0),
        (command("probe", folder, &["sweep", "missing.toml"]), 2),
        (command("fra", folder, &["sample", "--sae", "missing", "--text", "a"]), 2),
    ]
}

#[test]
fn a_log_that_cannot_be_written_is_no_reason_to_stop() {
    let (full, closed) = (folder(), folder());
    for (mut command, code) in runs(full.path()) {
        let device = File::options().write(true).open("/dev/full").unwrap();
        let status = command.stdout(Stdio::null()).stderr(device).status().unwrap();
        assert_eq!(status.code(), Some(code), "{command:?} with stderr on a full disk");
    }
    for (mut command, code) in runs(closed.path()) {
        let (reader, writer) = pipe().unwrap();
        drop(reader);
        let status = command.stdout(Stdio::null()).stderr(writer).status().unwrap();
        assert_eq!(status.code(), Some(code), "{command:?} with nobody who reads stderr");
    }
    for folder in [&full, &closed] {
        for result in ["out/s/report.html", "out/plain/sae/a/sae_weights.safetensors", "x.npz"] {
            assert!(folder.path().join(result).is_file(), "{result} is complete");
        }
    }
}

#[test]
fn a_reader_of_stdout_that_is_gone_ends_a_command_quietly() {
    let folder = folder();
    for flags in [&["--dry-run"][..], &["--dry-run", "--json"]] {
        let mut command =
            command("probe", folder.path(), &[&["sweep", "sweep.toml"][..], flags].concat());
        let (reader, writer) = pipe().unwrap();
        drop(reader);
        let output = command.stdout(writer).output().unwrap();
        assert_eq!(output.status.code(), Some(0), "{output:?}");
    }
}
