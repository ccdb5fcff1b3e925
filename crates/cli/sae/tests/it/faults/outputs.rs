//! What `--output` names, and what is left of a run that was stopped.

use std::fs;
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::thread::sleep;
use std::time::{Duration, Instant};

use super::{TRAIN, folder};
use crate::call::{command, refused_in_a_line};
use crate::pipe::is_no_output;
use crate::temporaries::temporaries;

#[test]
fn a_pipe_is_no_output() {
    let folder = folder();
    let of_texts = ["--sae", "missing", "--data", "texts.csv"];
    let encode = ["encode", "--sae", "missing", "--activations", "x.npz"];
    for (args, name) in [
        (&encode[..], "encoded"),
        (&[&["view"][..], &of_texts].concat(), "page"),
        (&[&["eval", "core"][..], &of_texts].concat(), "report"),
    ] {
        is_no_output(folder.path(), name, &[args, &["--output", name]].concat());
    }
}

/// Starts a run that would take long, and waits until it has written a file.
fn started(folder: &Path, file: &str) -> Child {
    let mut command = command(folder, &["train", "train.toml", "--output", "stopped"]);
    let mut run = command.stdout(Stdio::null()).stderr(Stdio::piped()).spawn().unwrap();
    let since = Instant::now();
    while !folder.join("stopped/plain/sae").join(file).exists() {
        assert!(run.try_wait().unwrap().is_none(), "the run goes on");
        assert!(since.elapsed() < Duration::from_mins(5), "no `{file}` after five minutes");
        sleep(Duration::from_millis(20));
    }
    run
}

fn signal(name: &str, run: &Child) {
    let status = Command::new("kill").args([name, &run.id().to_string()]).status().unwrap();
    assert!(status.success());
}

#[test]
fn a_signal_ends_a_run_with_a_line_and_no_temporary_file() {
    let folder = folder();
    let path = folder.path();
    let long = TRAIN.replace("tokens = 2000", "tokens = 2000000000");
    fs::write(path.join("train.toml"), long).unwrap();
    for (name, code) in [("-INT", 130), ("-TERM", 143)] {
        let run = started(path, "checkpoint.safetensors");
        // Another process has to wait.
        let again = ["train", "train.toml", "--output", "stopped", "--resume"];
        let error = refused_in_a_line(&mut command(path, &again));
        assert!(error.contains("is in use by another process"), "{error}");
        signal(name, &run);
        let output = run.wait_with_output().unwrap();
        let stderr = String::from_utf8(output.stderr).unwrap();
        assert_eq!(output.status.code(), Some(code), "{stderr}");
        assert_eq!(stderr.lines().last(), Some("stopped; go on with `--resume`"), "{stderr}");
        assert_eq!(temporaries(path), Vec::<String>::new());
        fs::remove_dir_all(path.join("stopped")).unwrap();
    }
    // What `kill -9` leaves is removed by the run that goes on.
    let mut run = started(path, "checkpoint.safetensors");
    run.kill().unwrap();
    run.wait().unwrap();
    let sae = path.join("stopped/plain/sae");
    fs::write(sae.join(".checkpoint.safetensors.7-0.tmp"), "half").unwrap();
    fs::write(sae.join("a/.history.jsonl.7-1.tmp"), "half").unwrap();
    let mut command = command(path, &["train", "train.toml", "--output", "stopped", "--resume"]);
    let mut run = command.stdout(Stdio::null()).stderr(Stdio::null()).spawn().unwrap();
    let since = Instant::now();
    let is_left = || {
        let left = temporaries(path);
        left.iter().any(|name| name.contains(".7-"))
    };
    while is_left() {
        assert!(run.try_wait().unwrap().is_none() && since.elapsed() < Duration::from_mins(5));
        sleep(Duration::from_millis(20));
    }
    signal("-TERM", &run);
    assert_eq!(run.wait().unwrap().code(), Some(143));
}
