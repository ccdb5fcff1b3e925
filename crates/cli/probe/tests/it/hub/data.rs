//! Labelled text that is a data set of the Hub.

use std::process::{Command, Output};

use crate::call;
use crate::hub_server::{FakeHub, Reply, Repository};
use crate::sweep::folder::{Folder, reviews};

/// Three splits, the first in two files.
fn repository() -> Repository {
    let csv = reviews();
    let rows: Vec<&str> = csv.lines().skip(1).collect();
    let part = |rows: &[&str]| format!("text,label\n{}\n", rows.join("\n")).into_bytes();
    let parts = [
        ("data/train-00000-of-00002.csv", part(&rows[..20])),
        ("data/train-00001-of-00002.csv", part(&rows[20..40])),
        ("data/validation-00000-of-00001.csv", part(&rows[40..50])),
        ("data/test-00000-of-00001.csv", part(&rows[50..])),
        ("README.md", b"about".to_vec()),
    ];
    Repository::new("datasets/org/reviews", parts.iter().map(|(name, part)| (*name, &**part)))
}

/// A command that may use a Hub, and keeps a cache in the folder.
fn on_hub<'a>(command: &'a mut Command, folder: &Folder, hub: &FakeHub) -> &'a mut Command {
    command.env("HF_HUB_OFFLINE", "0").env("HF_ENDPOINT", &hub.endpoint);
    command.env("no_proxy", "127.0.0.1");
    command.env("HF_HOME", folder.path("hf")).env_remove("HF_HUB_CACHE").env_remove("HF_TOKEN")
}

/// Activations of one split.
fn extract(folder: &Folder, path: &str, split: &str) -> Command {
    let args = ["extract", "--model", "demo-gpt2", "--output", "out.npz", "--data", path];
    let more = ["--split", split, "--hooks", "hook_embed", "--overwrite"];
    call::command(&folder.path(""), &[&args[..], &more].concat())
}

fn stderr(output: &Output) -> String {
    String::from_utf8_lossy(&output.stderr).into_owned()
}

#[test]
fn a_sweep_divides_one_split_and_holds_out_the_others() {
    let hub = FakeHub::of(repository());
    let folder = Folder::with(&[
        ("\"data.csv\"", "\"hf://datasets/org/reviews\""),
        ("0.2", "\"hf://datasets/org/reviews/data\"\ntest = \"hf://datasets/org/reviews\""),
    ]);
    let output = on_hub(&mut folder.command(&["--dry-run"]), &folder, &hub).output().unwrap();
    assert!(output.status.success(), "{}", stderr(&output));
    assert!(stderr(&output).contains("the data set `org/reviews` is not in the cache"));
    assert_eq!(hub.take_lines(), [""; 0], "a dry run sends nothing");

    let output = on_hub(&mut folder.command(&["--json"]), &folder, &hub).output().unwrap();
    assert!(output.status.success(), "{}", stderr(&output));
    let json = String::from_utf8(output.stdout).unwrap();
    for counted in ["\"n_train\": 40", "\"n_validation\": 10", "\"n_test\": 10"] {
        assert!(json.contains(counted), "{json}");
    }
    let tree = folder.tree("results");
    let name = tree.keys().find(|name| name.ends_with("reviews-L01-resid_post/config.toml"));
    let config = String::from_utf8_lossy(&tree[name.unwrap()]);
    assert!(config.contains("path = \"hf://datasets/org/reviews\""), "{config}");

    // All of it is in the cache now.
    hub.take();
    let mut again = folder.command(&["--resume"]);
    let output = on_hub(&mut again, &folder, &hub).env("HF_HUB_OFFLINE", "1").output().unwrap();
    assert!(output.status.success(), "{}", stderr(&output));
    assert!(stderr(&output).contains("complete already"), "{}", stderr(&output));
    assert_eq!(hub.take_lines(), [""; 0]);
}

#[test]
fn a_split_that_is_not_clear_is_refused_with_what_there_is() {
    let mut both = repository();
    both.files.insert("other/train.csv".to_owned(), b"text,label\n".to_vec());
    let hub = FakeHub::of(both);
    let folder = Folder::new();
    let refused = |path: &str, split: &str, words: &[&str]| {
        let mut command = extract(&folder, path, split);
        let output = on_hub(&mut command, &folder, &hub).output().unwrap();
        let stderr = stderr(&output);
        assert_eq!(output.status.code(), Some(2), "{stderr}");
        assert!(words.iter().all(|word| stderr.contains(word)), "{stderr}");
        assert_eq!(stderr.lines().count(), 1, "{stderr}");
    };
    let all = "hf://datasets/org/reviews";
    refused(
        all,
        "train",
        &["belong together", "`other/train.csv`", "`data/train-00000-of-00002.csv`"],
    );
    refused(
        all,
        "dev2",
        &["split `dev2`", "no file of that split", "`data/test-00000-of-00001.csv`"],
    );
    refused("hf://datasets/org/none", "train", &["no repository `org/none`", "HF_TOKEN"]);
    refused("hf://datasets/org/reviews@v9", "train", &["no revision `v9`"]);
    refused("hf://datasets/org/reviews/x.csv", "train", &["no file `x.csv`"]);
    refused("hf://spaces/org/reviews", "train", &["is no data set", "hf://datasets/org/name"]);
    assert!(!folder.path("hf/hub/datasets--org--reviews/snapshots").exists());
    let hub = FakeHub::start(|_| Reply::refusal(401, "GatedRepo"));
    let folder = Folder::with(&[("\"data.csv\"", "\"hf://datasets/org/gated\"")]);
    let output = on_hub(&mut folder.command(&[]), &folder, &hub).output().unwrap();
    assert_eq!(output.status.code(), Some(2));
    assert!(stderr(&output).contains("/datasets/org/gated`"), "{}", stderr(&output));
}

#[test]
fn a_file_and_a_split_are_read_alone() {
    let hub = FakeHub::of(repository());
    let folder = Folder::new();
    for (path, split, n_rows) in [
        ("hf://datasets/org/reviews", "train", 40),
        ("hf://datasets/org/reviews", "val", 10),
        ("hf://datasets/org/reviews@main/data/train-00001-of-00002.csv", "train", 20),
    ] {
        let mut command = extract(&folder, path, split);
        let output = on_hub(&mut command, &folder, &hub).output().unwrap();
        let stdout = String::from_utf8_lossy(&output.stdout).into_owned();
        assert!(stdout.contains(&format!("[{n_rows}, ")), "{stdout} {}", stderr(&output));
    }
}

#[test]
#[cfg(feature = "parquet")]
fn a_parquet_file_is_read_from_the_hub_and_from_here() {
    let golden =
        concat!(env!("CARGO_MANIFEST_DIR"), "/../../activations/tests/golden/reviews.parquet");
    let content = std::fs::read(golden).unwrap();
    let hub = FakeHub::of(Repository::new("datasets/org/films", [("films.parquet", &content[..])]));
    let folder = Folder::with(&[("\"data.csv\"", "\"hf://datasets/org/films\"")]);
    let output = on_hub(&mut folder.command(&["--json"]), &folder, &hub).output().unwrap();
    assert!(output.status.success(), "{}", stderr(&output));
    let of_hub = String::from_utf8(output.stdout).unwrap();
    folder.write("films.parquet", &content);
    folder.write("sweep.toml", crate::sweep::folder::CONFIG.replace("data.csv", "films.parquet"));
    let (here, _) = folder.succeed(&["--json", "--run-name", "here"]);
    assert_eq!(here.replace("results/here", "results/small"), of_hub);
}

#[test]
#[cfg(not(feature = "parquet"))]
fn a_parquet_file_is_refused_with_the_feature_that_reads_it() {
    let folder = Folder::with(&[("data.csv", "data.parquet")]);
    folder.write("data.parquet", b"PAR1");
    let output = folder.command(&[]).output().unwrap();
    assert_eq!(output.status.code(), Some(2));
    assert!(stderr(&output).contains("build with feature `parquet`"), "{}", stderr(&output));
}
