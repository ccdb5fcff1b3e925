//! What `--output` names, and what is left of a run that was stopped.

use std::fs;
use std::os::unix::fs::{FileTypeExt as _, symlink};
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::thread::sleep;
use std::time::{Duration, Instant};

use super::call::{TRAIN, command, end, folder, refused, refused_by, succeed, temporaries};

const HOOK: &str = "blocks.0.hook_resid_post";

fn extract(output: &str) -> Vec<&str> {
    let args = ["extract", "--model", "demo-gpt2", "--data", "texts.csv", "--hooks", HOOK];
    [&args[..], &["--output", output]].concat()
}

#[test]
fn a_pipe_a_device_and_a_folder_are_no_output() {
    let folder = folder();
    let path = folder.path();
    for name in ["pipe", "pipe.npz", "pipe.html"] {
        assert!(Command::new("mkfifo").arg(path.join(name)).status().unwrap().success());
    }
    fs::create_dir(path.join("folder.html")).unwrap();
    let of_texts = ["--sae", "missing", "--data", "texts.csv"];
    let encode = ["encode", "--sae", "missing", "--activations", "x.npz"];
    let commands: [(&str, Vec<&str>, &str); 6] = [
        ("probe", extract("pipe.npz"), "pipe.npz"),
        ("probe", vec!["compare", "a", "b", "--output", "pipe"], "pipe"),
        ("sae", [&encode[..], &["--output", "pipe"]].concat(), "pipe"),
        ("sae", [&["view"][..], &of_texts, &["--output", "pipe"]].concat(), "pipe"),
        ("sae", [&["eval", "core"][..], &of_texts, &["--output", "pipe"]].concat(), "pipe"),
        ("fra", [&["sample"][..], &of_texts, &["--output", "pipe.html"]].concat(), "pipe.html"),
    ];
    for (program, args, name) in commands {
        let error = refused(program, path, &args);
        assert!(error.contains(&format!("`{name}`: it is a named pipe")), "{error}");
        let kind = fs::symlink_metadata(path.join(name)).unwrap().file_type();
        assert!(kind.is_fifo(), "{name} is as it was");
    }
    let error = refused("probe", path, &["compare", "a", "b", "--output", "/dev/null"]);
    assert!(error.contains("it is a device, not a regular file"), "{error}");
    let error = refused("probe", path, &["compare", "a", "b", "--output", "folder.html"]);
    assert!(error.contains("`folder.html` is a folder, name a file in it"), "{error}");
}

#[test]
fn a_link_is_followed_and_a_name_may_be_as_long_as_names_are() {
    let folder = folder();
    let path = folder.path();
    fs::create_dir(path.join("data")).unwrap();
    fs::write(path.join("data/old.npz"), "old").unwrap();
    symlink("data/old.npz", path.join("link.npz")).unwrap();
    let error = refused("probe", path, &extract("link.npz"));
    assert!(error.contains("`link.npz` exists; give another `--output`"), "{error}");
    assert_eq!(fs::read(path.join("data/old.npz")).unwrap(), b"old");
    succeed("probe", path, &[extract("link.npz"), vec!["--overwrite"]].concat());
    assert!(path.join("link.npz").is_symlink());
    assert_eq!(fs::read(path.join("data/old.npz")).unwrap()[..2], *b"PK");
    // As a process that was killed leaves it, and one of another output.
    let long = format!("{}.npz", "x".repeat(251));
    for name in [".out.npz.7-0.tmp", ".other.npz.7-0.tmp"] {
        fs::write(path.join(name), "half").unwrap();
    }
    succeed("probe", path, &extract(&long));
    assert_eq!(fs::read(path.join(&long)).unwrap(), fs::read(path.join("link.npz")).unwrap());
    succeed("probe", path, &extract("out.npz"));
    assert_eq!(temporaries(path), [".other.npz.7-0.tmp"]);
}

#[test]
fn a_file_beyond_the_limit_is_an_error_and_leaves_nothing() {
    let folder = folder();
    let mut shell = Command::new("sh");
    let program = env!("CARGO_BIN_EXE_probe");
    shell.args(["-c", "ulimit -f 8; exec \"$0\" \"$@\"", program]).args(extract("x.npz"));
    shell.current_dir(folder.path()).env_remove("RUST_LOG").env("HF_HUB_OFFLINE", "1");
    let error = refused_by(&mut shell);
    assert!(error.contains("cannot write `x.npz`"), "{error}");
    assert!(!folder.path().join("x.npz").exists() && temporaries(folder.path()).is_empty());
}

/// Starts a run that would take long, and waits until it has written a file.
fn started(folder: &Path, file: &str) -> Child {
    let mut command = command("sae", folder, &["train", "train.toml", "--output", "stopped"]);
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
        let error = refused("sae", path, &again);
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
    let mut command =
        command("sae", path, &["train", "train.toml", "--output", "stopped", "--resume"]);
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

#[test]
fn a_command_that_is_stopped_before_it_reads_anything_says_so() {
    let folder = folder();
    let pipe = folder.path().join("config");
    assert!(Command::new("mkfifo").arg(&pipe).status().unwrap().success());
    // It waits for a configuration that never comes.
    let mut command = command("probe", folder.path(), &["sweep", "config"]);
    let run = command.stdout(Stdio::null()).stderr(Stdio::piped()).spawn().unwrap();
    // Opening one end of a pipe waits for the other.
    let _writer = fs::File::options().write(true).open(&pipe).unwrap();
    signal("-TERM", &run);
    let output = run.wait_with_output().unwrap();
    assert_eq!(output.status.code(), Some(143));
    let stderr = String::from_utf8(output.stderr).unwrap();
    assert_eq!(stderr, "stopped; go on with `--resume`\n");
    let help = end(&mut super::call::command("probe", folder.path(), &["sweep", "--help"]));
    assert!(help.code == Some(0) && help.stdout.contains("--resume"));
}
