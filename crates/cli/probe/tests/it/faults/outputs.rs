//! What `--output` names, and what is left of a run that was stopped.

use std::fs;
use std::os::unix::fs::symlink;
use std::process::{Command, Stdio};

use super::folder;
use crate::call::{command, refused_in_a_line, succeed};
use crate::pipe::is_no_output;
use crate::temporaries::temporaries;

const HOOK: &str = "blocks.0.hook_resid_post";

fn extract(output: &str) -> Vec<&str> {
    let args = ["extract", "--model", "demo-gpt2", "--data", "texts.csv", "--hooks", HOOK];
    [&args[..], &["--output", output]].concat()
}

#[test]
fn a_pipe_a_device_and_a_folder_are_no_output() {
    let folder = folder();
    let path = folder.path();
    fs::create_dir(path.join("folder.html")).unwrap();
    for (args, name) in
        [(extract("pipe.npz"), "pipe.npz"), (vec!["compare", "a", "b", "--output", "pipe"], "pipe")]
    {
        is_no_output(path, name, &args);
    }
    let compare = |output| command(path, &["compare", "a", "b", "--output", output]);
    let error = refused_in_a_line(&mut compare("/dev/null"));
    assert!(error.contains("it is a device, not a regular file"), "{error}");
    let error = refused_in_a_line(&mut compare("folder.html"));
    assert!(error.contains("`folder.html` is a folder, name a file in it"), "{error}");
}

#[test]
fn a_link_is_followed_and_a_name_may_be_as_long_as_names_are() {
    let folder = folder();
    let path = folder.path();
    fs::create_dir(path.join("data")).unwrap();
    fs::write(path.join("data/old.npz"), "old").unwrap();
    symlink("data/old.npz", path.join("link.npz")).unwrap();
    let error = refused_in_a_line(&mut command(path, &extract("link.npz")));
    assert!(error.contains("`link.npz` exists; give another `--output`"), "{error}");
    assert_eq!(fs::read(path.join("data/old.npz")).unwrap(), b"old");
    succeed(&mut command(path, &[extract("link.npz"), vec!["--overwrite"]].concat()));
    assert!(path.join("link.npz").is_symlink());
    assert_eq!(fs::read(path.join("data/old.npz")).unwrap()[..2], *b"PK");
    // As a process that was killed leaves it, and one of another output.
    let long = format!("{}.npz", "x".repeat(251));
    for name in [".out.npz.7-0.tmp", ".other.npz.7-0.tmp"] {
        fs::write(path.join(name), "half").unwrap();
    }
    succeed(&mut command(path, &extract(&long)));
    assert_eq!(fs::read(path.join(&long)).unwrap(), fs::read(path.join("link.npz")).unwrap());
    succeed(&mut command(path, &extract("out.npz")));
    assert_eq!(temporaries(path), [".other.npz.7-0.tmp"]);
}

#[test]
fn a_file_beyond_the_limit_is_an_error_and_leaves_nothing() {
    let folder = folder();
    let mut shell = Command::new("sh");
    shell.args(["-c", "ulimit -f 8; exec \"$0\" \"$@\"", crate::PROGRAM]).args(extract("x.npz"));
    shell.current_dir(folder.path()).env_remove("RUST_LOG").env("HF_HUB_OFFLINE", "1");
    let error = refused_in_a_line(&mut shell);
    assert!(error.contains("cannot write `x.npz`"), "{error}");
    assert!(!folder.path().join("x.npz").exists() && temporaries(folder.path()).is_empty());
}

#[test]
fn a_command_that_is_stopped_before_it_reads_anything_says_so() {
    let folder = folder();
    let pipe = folder.path().join("config");
    assert!(Command::new("mkfifo").arg(&pipe).status().unwrap().success());
    // It waits for a configuration that never comes.
    let mut waiting = command(folder.path(), &["sweep", "config"]);
    let run = waiting.stdout(Stdio::null()).stderr(Stdio::piped()).spawn().unwrap();
    // Opening one end of a pipe waits for the other.
    let _writer = fs::File::options().write(true).open(&pipe).unwrap();
    let status = Command::new("kill").args(["-TERM", &run.id().to_string()]).status().unwrap();
    assert!(status.success());
    let output = run.wait_with_output().unwrap();
    assert_eq!(output.status.code(), Some(143));
    let stderr = String::from_utf8(output.stderr).unwrap();
    assert_eq!(stderr, "stopped; go on with `--resume`\n");
    let (help, _) = succeed(&mut command(folder.path(), &["sweep", "--help"]));
    assert!(help.contains("--resume"));
}
