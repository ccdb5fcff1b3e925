//! Models that come as they should.

use std::collections::BTreeMap;
use std::fs;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};

use attention_probes_errors::{ErrorKind, Stop};
use attention_probes_models::{DownloadProgress, HubError, ModelError, open_model};
use burn::tensor::Device;

use crate::hub::fixture::{access, download, golden, has, refused, repository, tree};
use crate::hub::server::{COMMIT, FakeHub, Repository, sha};

#[test]
fn a_model_is_downloaded_once_into_the_layout_of_hugging_face() {
    let (hub, folder) = (FakeHub::of(repository()), tempfile::tempdir().unwrap());
    let access = access(folder.path(), &hub);
    let model = open_model("org/tiny", Some(&access), &Device::flex()).unwrap();
    assert_eq!(model.model.shape().n_layers, 5);
    let local = open_model(golden().to_str().unwrap(), None, &Device::flex()).unwrap();
    assert_eq!(model.revision, local.revision);
    let lines = hub.take_lines();
    assert!(!lines.iter().any(|line| line.contains("README") || line.contains("pytorch")));
    // The branch is asked for once, and the commit from then on.
    assert!(lines[0].starts_with("HEAD /org/tiny/resolve/main/config.json"), "{lines:?}");
    assert_eq!(lines.iter().filter(|line| line.contains("/main/")).count(), 1, "{lines:?}");

    let mut expected = BTreeMap::from([("refs/main".to_owned(), COMMIT.to_owned())]);
    for (file, content) in &repository().files {
        if file.ends_with("json") || file.ends_with("safetensors") {
            let etag = if file.ends_with("json") { &sha(content)[..40] } else { &sha(content) };
            expected.insert(format!("blobs/{etag}"), sha(content));
            let link = format!("-> ../../blobs/{etag}");
            expected.insert(format!("snapshots/{COMMIT}/{file}"), link);
        }
    }
    assert_eq!(tree(&folder.path().join("hub/models--org--tiny")), expected);

    // The second time, nothing is sent.
    let snapshot = download(&access).unwrap();
    assert!(snapshot.ends_with(format!("snapshots/{COMMIT}")), "{}", snapshot.display());
    assert_eq!(hub.take_lines(), [""; 0]);
    // Only what is missing is sent for.
    fs::remove_file(snapshot.join("tokenizer.json")).unwrap();
    download(&access).unwrap();
    let lines = hub.take_lines();
    assert!(lines.iter().all(|line| line.starts_with("HEAD")), "the blob is there: {lines:?}");
}

#[test]
fn a_cut_download_goes_on_where_it_stopped() {
    let repository = repository();
    let weights = repository.files["model.safetensors"].clone();
    let n_asked = AtomicUsize::new(0);
    let hub = FakeHub::start(move |seen| {
        let mut reply = repository.reply(seen);
        if seen.method == "GET" && seen.path.ends_with("model.safetensors") {
            // First within one run, then over several.
            let limits = [1000, 500, 0, 0, 0];
            reply.cut = limits.get(n_asked.fetch_add(1, Ordering::Relaxed)).copied();
        }
        reply
    });
    let folder = tempfile::tempdir().unwrap();
    let access = access(folder.path(), &hub);
    let error = download(&access).unwrap_err();
    assert!(matches!(error, ModelError::Hub(HubError::Connection { .. })), "{error}");
    has(&error.to_string(), &["model.safetensors", "what has come is kept"]);
    let blobs = folder.path().join("hub/models--org--tiny/blobs");
    let (blob, part) =
        (blobs.join(sha(&weights)), blobs.join(format!("{}.incomplete", sha(&weights))));
    assert!(!blob.exists());
    assert_eq!(fs::read(&part).unwrap(), weights[..1500]);

    let snapshot = download(&access).unwrap();
    assert_eq!(fs::read(snapshot.join("model.safetensors")).unwrap(), weights);
    assert!(!part.exists());
    let ranges: Vec<String> =
        hub.take().iter().filter_map(|seen| seen.headers.get("range").cloned()).collect();
    assert_eq!(ranges[..2], ["bytes=1000-", "bytes=1500-"]);
}

#[test]
fn a_server_that_knows_no_ranges_begins_anew() {
    let repository = Repository { knows_ranges: false, ..repository() };
    let weights = repository.files["model.safetensors"].clone();
    let n_asked = AtomicUsize::new(0);
    let hub = FakeHub::start(move |seen| {
        let mut reply = repository.reply(seen);
        if seen.method == "GET" && seen.path.ends_with("model.safetensors") {
            reply.cut = (n_asked.fetch_add(1, Ordering::Relaxed) == 0).then_some(1000);
        }
        reply
    });
    let folder = tempfile::tempdir().unwrap();
    let snapshot = download(&access(folder.path(), &hub)).unwrap();
    assert_eq!(fs::read(snapshot.join("model.safetensors")).unwrap(), weights);
    assert!(hub.take_lines().iter().any(|line| line.ends_with("bytes=1000-")));
}

#[test]
fn a_beginning_of_other_content_is_thrown_away() {
    let (hub, folder) = (FakeHub::of(repository()), tempfile::tempdir().unwrap());
    let weights = repository().files["model.safetensors"].clone();
    let blobs = folder.path().join("hub/models--org--tiny/blobs");
    fs::create_dir_all(&blobs).unwrap();
    for beginning in
        [&b"of something else"[..], &vec![7; weights.len() + 1], &vec![7; weights.len()]]
    {
        let _ = fs::remove_file(blobs.join(sha(&weights)));
        fs::write(blobs.join(format!("{}.incomplete", sha(&weights))), beginning).unwrap();
        let snapshot = download(&access(folder.path(), &hub)).unwrap();
        assert_eq!(fs::read(snapshot.join("model.safetensors")).unwrap(), weights);
    }
}

#[test]
fn shards_are_downloaded_and_none_may_leave_the_folder() {
    let mut sharded = repository();
    let weights = sharded.files.remove("model.safetensors").unwrap();
    // One file under two names would not load, but this is about what is downloaded.
    sharded.files.insert("a-1.safetensors".to_owned(), weights.clone());
    sharded.files.insert("a-2.safetensors".to_owned(), b"2".to_vec());
    let index = r#"{"weight_map": {"x": "a-1.safetensors", "y": "a-2.safetensors"}}"#;
    sharded.files.insert("model.safetensors.index.json".to_owned(), index.into());
    let (hub, folder) = (FakeHub::of(sharded.clone()), tempfile::tempdir().unwrap());
    let snapshot = download(&access(folder.path(), &hub)).unwrap();
    assert_eq!(fs::read(snapshot.join("a-1.safetensors")).unwrap(), weights);
    assert_eq!(fs::read(snapshot.join("a-2.safetensors")).unwrap(), b"2");
    fs::remove_file(snapshot.join("a-2.safetensors")).unwrap();
    hub.take();
    download(&access(folder.path(), &hub)).unwrap();
    assert_eq!(hub.take_lines().len(), 1, "the second shard is linked again");

    for name in ["../../../evil.safetensors", "/tmp/evil.safetensors", "a/b.safetensors", ".."] {
        let index = format!(r#"{{"weight_map": {{"x": "{name}"}}}}"#);
        sharded.files.insert("model.safetensors.index.json".to_owned(), index.into());
        let (hub, folder) = (FakeHub::of(sharded.clone()), tempfile::tempdir().unwrap());
        let message = refused(&access(folder.path(), &hub));
        has(&message, &["weight_map", name, "without a folder"]);
        assert!(!hub.take_lines().iter().any(|line| line.contains("evil")), "{name}");
    }
}

#[test]
fn a_tokenizer_of_two_files_will_do() {
    let mut repository = repository();
    repository.files.remove("tokenizer.json");
    let hub = FakeHub::of(repository.clone());
    let folder = tempfile::tempdir().unwrap();
    has(&refused(&access(folder.path(), &hub)), &["`org/tiny` has no file `tokenizer.json`"]);
    assert!(!hub.take_lines().iter().any(|line| line.contains("model.safetensors")));
    for file in ["vocab.json", "merges.txt"] {
        repository.files.insert(file.to_owned(), b"{}".to_vec());
    }
    let hub = FakeHub::of(repository);
    let snapshot = download(&access(folder.path(), &hub)).unwrap();
    assert!(snapshot.join("merges.txt").is_file());
}

/// Gives a signal as soon as a part of the weights has come.
#[derive(Debug)]
struct StopsAtWeights(Stop);

impl DownloadProgress for StopsAtWeights {
    fn advance(&self, file: &str, done: u64, total: u64) {
        if file == "model.safetensors" && done < total {
            self.0.stop();
        }
    }

    fn end(&self) {}
}

#[test]
fn a_download_that_is_stopped_keeps_what_has_come() {
    let (hub, folder) = (FakeHub::of(repository()), tempfile::tempdir().unwrap());
    let access = access(folder.path(), &hub);
    let stop = Stop::new();
    let progress = Arc::new(StopsAtWeights(stop.clone()));
    let stopped = access.clone().with_stop(stop).with_progress(progress);
    let error = download(&stopped).unwrap_err();
    assert!(matches!(error, ModelError::Stopped(_)), "{error}");
    assert_eq!((error.kind(), error.is_not_found()), (ErrorKind::Stopped, false));
    hub.take();
    let snapshot = download(&access).unwrap();
    let weights = &repository().files["model.safetensors"];
    assert_eq!(fs::read(snapshot.join("model.safetensors")).unwrap(), *weights);
    let has_range = |line: &String| line.starts_with("GET") && line.contains("bytes=");
    assert!(hub.take_lines().iter().any(has_range));
}

/// Notes what it is told.
#[derive(Debug, Default)]
struct Notes(Mutex<Vec<String>>);

impl DownloadProgress for Notes {
    fn advance(&self, file: &str, done: u64, total: u64) {
        self.0.lock().unwrap().push(format!("{file} {}", if done == total { "all" } else { "" }));
    }

    fn end(&self) {
        self.0.lock().unwrap().push("end".to_owned());
    }
}

#[test]
fn progress_is_told_file_by_file() {
    let (hub, folder) = (FakeHub::of(repository()), tempfile::tempdir().unwrap());
    let notes = Arc::new(Notes::default());
    download(&access(folder.path(), &hub).with_progress(notes.clone())).unwrap();
    let notes: Vec<String> = notes.0.lock().unwrap().clone();
    let ends: Vec<&String> = notes
        .iter()
        .enumerate()
        .filter(|(i, _)| notes.get(i + 1) == Some(&"end".to_owned()))
        .map(|(_, note)| note)
        .collect();
    assert_eq!(ends, ["config.json all", "tokenizer.json all", "model.safetensors all"]);
}

#[test]
fn embedded_models_need_no_hub_and_a_misspelt_one_is_not_asked_for() {
    let (hub, folder) = (FakeHub::of(repository()), tempfile::tempdir().unwrap());
    let access = access(folder.path(), &hub);
    open_model("demo-gpt2", Some(&access), &Device::flex()).unwrap();
    let error = open_model("demo-gpt3", Some(&access), &Device::flex()).err().unwrap();
    has(&error.to_string(), &["`demo-gpt3` is neither an embedded model", "demo-gpt2"]);
    assert_eq!(hub.take_lines(), [""; 0]);
}
