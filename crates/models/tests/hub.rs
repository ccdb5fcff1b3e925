//! Downloads from a server on this machine that plays the Hub.

#![expect(clippy::unwrap_used, reason = "a test fails by panicking")]

mod hub_server;

use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use attention_probes_models::{
    DownloadProgress, HubAccess, HubCache, HubId, ModelError, NoDownload, Token, open_model,
};
use burn::tensor::Device;
use hub_server::{COMMIT, FakeHub, Reply, Repository, Seen, TOKEN, sha};

/// A tiny Gemma 3 with its tokenizer.
fn golden() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/golden/gemma3-base")
}

fn repository() -> Repository {
    let read = |file: &str| fs::read(golden().join(file)).unwrap();
    let [config, weights, tokenizer] =
        ["config.json", "model.safetensors", "tokenizer.json"].map(read);
    Repository::new(
        "org/tiny",
        [
            ("config.json", &*config),
            ("model.safetensors", &*weights),
            ("tokenizer.json", &*tokenizer),
            ("README.md", b"not needed"),
            ("pytorch_model.bin", b"not needed"),
        ],
    )
}

fn access(folder: &Path, hub: &FakeHub) -> HubAccess {
    HubAccess::new(HubCache::new(folder.join("hub")))
        .with_endpoint(&hub.endpoint)
        .with_backoff(Duration::from_millis(1))
}

fn download(access: &HubAccess) -> Result<PathBuf, ModelError> {
    access.model(&"org/tiny".parse().unwrap())
}

fn refused(access: &HubAccess) -> String {
    download(access).unwrap_err().to_string()
}

fn has(text: &str, words: &[&str]) {
    assert!(words.iter().all(|word| text.contains(word)), "{text}");
}

/// Every file and link below a folder, with its content or target.
fn tree(folder: &Path) -> BTreeMap<String, String> {
    let mut found = BTreeMap::new();
    let mut folders = vec![folder.to_owned()];
    while let Some(next) = folders.pop() {
        for entry in fs::read_dir(next).unwrap() {
            let path = entry.unwrap().path();
            let name = path.strip_prefix(folder).unwrap().to_str().unwrap().to_owned();
            if path.is_symlink() {
                found.insert(name, format!("-> {}", fs::read_link(&path).unwrap().display()));
            } else if path.is_dir() {
                folders.push(path);
            } else {
                let content = fs::read(&path).unwrap();
                let text = if content.len() > 64 { sha(&content) } else { lossy(&content) };
                found.insert(name, text);
            }
        }
    }
    found
}

fn lossy(bytes: &[u8]) -> String {
    String::from_utf8_lossy(bytes).into_owned()
}

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
    assert!(matches!(error, ModelError::HubConnection { .. }), "{error}");
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

#[test]
fn a_model_that_is_not_supported_is_refused_before_its_weights_come() {
    let mut repository = repository();
    repository.files.insert("config.json".to_owned(), br#"{"model_type": "mamba"}"#.to_vec());
    let (hub, folder) = (FakeHub::of(repository), tempfile::tempdir().unwrap());
    has(&refused(&access(folder.path(), &hub)), &["`mamba` is not supported"]);
    assert!(hub.take_lines().iter().all(|line| line.ends_with("config.json")));
}

#[test]
fn every_refusal_names_the_repository_the_page_and_the_remedy() {
    let token = Token::new(TOKEN);
    let folder = tempfile::tempdir().unwrap();
    for (status, code, token, words) in [
        (401, "GatedRepo", &None, &["`org/tiny` is gated", "no token was sent", "`HF_TOKEN`"]),
        (403, "GatedRepo", &token, &["`org/tiny` is gated", "ask for access", "the token that"]),
        (401, "RepoNotFound", &None, &["no repository `org/tiny`", "no token was sent", "private"]),
        (401, "", &token, &["no repository `org/tiny`", "`HF_TOKEN`", "that was sent"]),
        (403, "", &token, &["no repository `org/tiny`", "may read it", "that was sent"]),
        (404, "RepoNotFound", &token, &["no repository `org/tiny`", "check the name", "token"]),
        (404, "RevisionNotFound", &None, &["`org/tiny` has no revision `main`", "see", "which"]),
        (404, "EntryNotFound", &None, &["`org/tiny` has no file `config.json`", "see", "which"]),
    ] {
        let hub = FakeHub::start(move |_| Reply::refusal(status, code));
        let mut access = access(folder.path(), &hub);
        access = token.iter().cloned().fold(access, HubAccess::with_token);
        let message = refused(&access);
        has(&message, words);
        has(&message, &[&format!("`{}/org/tiny`", hub.endpoint)]);
        let requests = hub.take();
        assert_eq!(requests.len(), 1, "{status} {code}: a refusal is not asked for again");
        let sent = requests[0].headers.get("authorization");
        assert_eq!(sent.cloned(), token.as_ref().map(|_| format!("Bearer {TOKEN}")));
    }
    assert_eq!(tree(folder.path()), BTreeMap::new(), "nothing was written");
}

#[test]
fn a_revision_is_asked_for_by_its_name() {
    let (hub, folder) = (FakeHub::of(repository()), tempfile::tempdir().unwrap());
    let access = access(folder.path(), &hub);
    let error = access.model(&"org/tiny@v/2".parse().unwrap()).unwrap_err();
    has(&error.to_string(), &["`org/tiny` has no revision `v/2`"]);
    assert_eq!(hub.take_lines(), ["HEAD /org/tiny/resolve/v%2F2/config.json"]);
    access.model(&format!("org/tiny@{COMMIT}").parse().unwrap()).unwrap();
    assert!(!folder.path().join("hub/models--org--tiny/refs").exists(), "a commit has no name");
}

#[test]
fn nothing_is_sent_where_nothing_may_be_downloaded() {
    let (hub, folder) = (FakeHub::of(repository()), tempfile::tempdir().unwrap());
    let online = access(folder.path(), &hub);
    let offline = online.clone().without_downloads(NoDownload::Offline);
    has(&refused(&offline), &["`org/tiny`", "`HF_HUB_OFFLINE`", "unset it", "hf download"]);
    assert_eq!(hub.take_lines(), [""; 0]);
    let snapshot = download(&online).unwrap();
    assert_eq!(download(&offline).unwrap(), snapshot);
    fs::remove_file(snapshot.join("config.json")).unwrap();
    hub.take();
    has(&refused(&offline), &["lacks `config.json`", "`TRANSFORMERS_OFFLINE`"]);
    assert_eq!(hub.take_lines(), [""; 0]);
}

#[test]
fn what_is_not_what_was_announced_gets_no_name() {
    type Change = fn(&Seen, &mut Reply);
    let is_weights = |seen: &Seen| seen.method == "GET" && seen.path.ends_with(".safetensors");
    let cases: [(Change, &str); 4] = [
        (|_, reply| reply.body[100] ^= 1, "SHA-256"),
        (|_, reply| reply.body.push(0), "another length"),
        (
            |_, reply| {
                // No length, so that only the end of the connection says where the file ends.
                let length = ("Transfer-Encoding".to_owned(), "chunked".to_owned());
                let mut body = format!("{:x}\r\n", reply.body.len() + 3).into_bytes();
                body.extend(&reply.body);
                body.extend(b"abc\r\n0\r\n\r\n");
                reply.body = body;
                reply.headers.push(length);
            },
            "sends more than was announced",
        ),
        (|_, reply| reply.status = 204, "answers with status 204"),
    ];
    for (change, word) in cases {
        let repository = repository();
        let hub = FakeHub::start(move |seen| {
            let mut reply = repository.reply(seen);
            if is_weights(seen) {
                change(seen, &mut reply);
            }
            reply
        });
        let folder = tempfile::tempdir().unwrap();
        has(&refused(&access(folder.path(), &hub)), &[word, "model.safetensors"]);
        let left = tree(&folder.path().join("hub/models--org--tiny"));
        let n_weights = left.keys().filter(|name| name.contains(".safetensors")).count();
        assert_eq!(n_weights, 0, "{word}: {left:?}");
        let size = repository_size();
        let blobs = folder.path().join("hub/models--org--tiny/blobs");
        for entry in fs::read_dir(blobs).unwrap() {
            let entry = entry.unwrap();
            assert!(entry.metadata().unwrap().len() <= size, "{word}: {entry:?}");
            let is_part = entry.path().extension().is_some();
            assert!(!is_part || entry.metadata().unwrap().len() < size, "{word}: {entry:?}");
        }
    }
}

fn repository_size() -> u64 {
    repository().files["model.safetensors"].len() as u64
}

#[test]
fn a_hostile_head_is_refused() {
    let folder = tempfile::tempdir().unwrap();
    let commit = ("X-Repo-Commit", COMMIT);
    let size = ("X-Linked-Size", "3");
    for (headers, word) in [
        (vec![size, ("ETag", "a")], "does not name a commit"),
        (vec![size, ("ETag", "a"), ("X-Repo-Commit", "../../evil")], "does not name a commit"),
        (vec![size, commit], "plain etag"),
        (vec![size, commit, ("ETag", "\"../../../evil\"")], "plain etag"),
        (vec![size, commit, ("ETag", "..")], "plain etag"),
        (vec![commit, ("ETag", "a"), ("X-Linked-Size", "-1")], "how long"),
        (vec![commit, ("ETag", "a"), ("X-Linked-Size", "99999999999999999999999")], "how long"),
    ] {
        let hub = FakeHub::start(move |_| Reply::new(200, &headers, b"{}\n"));
        has(&refused(&access(folder.path(), &hub)), &[word, "config.json", "`HF_ENDPOINT`"]);
    }
    for location in ["file:///etc/passwd", "not an address", ""] {
        let hub = FakeHub::start(move |_| Reply::new(302, &[("Location", location)], b""));
        has(&refused(&access(folder.path(), &hub)), &["redirects to an address"]);
    }
    let hub = FakeHub::start(|seen| Reply::new(302, &[("Location", &seen.path)], b""));
    has(&refused(&access(folder.path(), &hub)), &["redirects too often"]);
    assert_eq!(tree(folder.path()), BTreeMap::new());
}

#[test]
fn failures_that_pass_are_waited_for_and_others_are_not() {
    let repository = repository();
    let n_asked = Arc::new(AtomicUsize::new(0));
    let n = n_asked.clone();
    let hub = FakeHub::start(move |seen| {
        if seen.path.starts_with("/api/") {
            return repository.reply(seen); // the second half of a question
        }
        match n.fetch_add(1, Ordering::Relaxed) % 4 {
            0 => Reply::new(503, &[], b""),
            1 => Reply::silence(),
            2 => Reply::new(429, &[], b""),
            _ => repository.reply(seen),
        }
    });
    let folder = tempfile::tempdir().unwrap();
    download(&access(folder.path(), &hub)).unwrap();

    for (status, n_requests) in [(500, 4), (418, 1)] {
        let hub = FakeHub::start(move |_| Reply::new(status, &[], b""));
        let folder = tempfile::tempdir().unwrap();
        has(&refused(&access(folder.path(), &hub)), &[&format!("status {status}"), "later"]);
        assert_eq!(hub.take().len(), n_requests);
    }
    let gone = FakeHub::start(|_| Reply::new(200, &[], b""));
    let nowhere = access(tempfile::tempdir().unwrap().path(), &gone);
    drop(gone);
    has(&refused(&nowhere), &["the connection to", "check the network"]);
    for endpoint in ["", "huggingface.co", "ftp://huggingface.co"] {
        let message = refused(&nowhere.clone().with_endpoint(endpoint));
        has(&message, &[&format!("`HF_ENDPOINT` is `{endpoint}`")]);
    }
}

#[test]
fn the_token_is_seen_by_the_hub_alone() {
    let cdn = FakeHub::of(repository());
    let hub = FakeHub::of(Repository { cdn: Some(cdn.endpoint.clone()), ..repository() });
    let folder = tempfile::tempdir().unwrap();
    let token = Token::new(TOKEN).unwrap();
    let access = access(folder.path(), &hub).with_token(token);
    download(&access).unwrap();
    assert!(
        hub.take().iter().all(|seen| seen.headers["authorization"] == format!("Bearer {TOKEN}"))
    );
    let requests = cdn.take();
    assert_eq!(requests.len(), 1, "{requests:?}");
    assert!(!format!("{requests:?}").contains(TOKEN), "{requests:?}");
    assert!(!format!("{access:?}").contains(TOKEN), "{access:?}");
    for (name, content) in tree(folder.path()) {
        assert!(!name.contains(TOKEN) && !content.contains(TOKEN), "{name}");
    }

    let bad = access.with_token(Token::new(&format!("{TOKEN}\r\nX-Evil: 1")).unwrap());
    let error = bad.model(&"org/other".parse().unwrap()).unwrap_err();
    assert!(matches!(error, ModelError::HubToken), "{error}");
    assert!(!format!("{error} {error:?}").contains(TOKEN), "{error:?}");
    assert_eq!(hub.take_lines(), [""; 0]);
}

#[test]
fn several_downloads_of_one_model_do_not_get_in_each_others_way() {
    let (hub, folder) = (FakeHub::of(repository()), tempfile::tempdir().unwrap());
    let access = access(folder.path(), &hub);
    std::thread::scope(|scope| {
        for _ in 0..8 {
            scope.spawn(|| download(&access).unwrap());
        }
    });
    let weights = hub.take_lines();
    let n_weights = weights
        .iter()
        .filter(|line| line.starts_with("GET"))
        .filter(|line| line.contains("model.safetensors"));
    assert_eq!(n_weights.count(), 1, "who comes second waits: {weights:?}");
    let snapshot = download(&access).unwrap();
    for file in ["config.json", "model.safetensors", "tokenizer.json"] {
        assert_eq!(fs::read(snapshot.join(file)).unwrap(), repository().files[file]);
    }
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

/// A data set of three files.
fn reviews() -> Repository {
    Repository::new(
        "datasets/org/reviews",
        [
            ("README.md", &b"about"[..]),
            ("data/test-00000-of-00001.parquet", b"PAR1 test"),
            ("data/train 1.csv", b"text,label\n"),
        ],
    )
}

#[test]
fn a_data_set_is_listed_once_and_its_files_are_downloaded_one_by_one() {
    let cdn = FakeHub::of(reviews());
    let hub = FakeHub::of(Repository { cdn: Some(cdn.endpoint.clone()), ..reviews() });
    let folder = tempfile::tempdir().unwrap();
    let access = access(folder.path(), &hub).with_token(Token::new(TOKEN).unwrap());
    let id: HubId = "org/reviews".parse().unwrap();
    let id = id.data_set();
    let names: Vec<String> = reviews().files.into_keys().collect();
    assert_eq!(access.files(&id).unwrap(), names);
    assert_eq!(hub.take_lines(), ["GET /api/datasets/org/reviews/revision/main"]);
    let path = access.file(&id, &names[1]).unwrap();
    assert_eq!(fs::read(&path).unwrap(), b"PAR1 test");
    let repo = folder.path().join("hub/datasets--org--reviews");
    assert_eq!(path, repo.join("snapshots").join(COMMIT).join(&names[1]));
    let target = format!("../../../blobs/{}", sha(b"PAR1 test"));
    assert_eq!(fs::read_link(&path).unwrap(), Path::new(&target));
    assert!(!format!("{:?}", cdn.take()).contains(TOKEN));

    // From here on, what is there is not asked for.
    hub.take();
    assert_eq!(access.files(&id).unwrap(), names);
    assert_eq!(access.file(&id, &names[1]).unwrap(), path);
    assert_eq!(hub.take_lines(), [""; 0]);
    let offline = access.clone().without_downloads(NoDownload::Offline);
    assert_eq!(offline.files(&id).unwrap(), names);
    assert_eq!(offline.file(&id, &names[1]).unwrap(), path);
    let error = offline.file(&id, &names[2]).unwrap_err().to_string();
    has(&error, &["lacks `data/train 1.csv`", "HF_HUB_OFFLINE", "--repo-type dataset"]);
    // Without the list, what is in the cache counts, as another program may have put it there.
    fs::remove_dir_all(repo.join(".listings")).unwrap();
    assert_eq!(offline.files(&id).unwrap(), names[1..2]);
    assert_eq!(access.file(&id, &names[2]).unwrap().file_name().unwrap(), "train 1.csv");
    let other: HubId = "org/other".parse().unwrap();
    let error = offline.files(&other.data_set()).unwrap_err().to_string();
    has(&error, &["the data set `org/other` is not in the cache", "hf download org/other"]);
}

#[test]
fn a_list_of_files_that_is_none_or_leads_elsewhere_is_refused() {
    let folder = tempfile::tempdir().unwrap();
    let id: HubId = "org/reviews".parse().unwrap();
    let id = id.data_set();
    let listing = |names: &str| format!(r#"{{"sha": "{COMMIT}", "siblings": [{names}]}}"#);
    for body in [
        "no JSON".to_owned(),
        "{}".to_owned(),
        r#"{"sha": "../evil", "siblings": []}"#.to_owned(),
        listing(r#"{"rfilename": "../../../evil.csv"}"#),
        listing(r#"{"rfilename": "/etc/passwd"}"#),
        listing(r#"{"rfilename": ""}"#),
    ] {
        let shown = body.clone();
        let hub = FakeHub::start(move |_| Reply::new(200, &[], body.as_bytes()));
        let error = access(folder.path(), &hub).files(&id).unwrap_err().to_string();
        assert!(error.contains("is no list of files"), "{shown}: {error}");
    }
    let hub = FakeHub::start(|_| Reply::refusal(404, "RevisionNotFound"));
    let error = access(folder.path(), &hub).files(&id).unwrap_err().to_string();
    has(&error, &["no revision `main`", "/datasets/org/reviews`"]);
    let error = access(folder.path(), &hub).file(&id, "../x.csv").unwrap_err();
    assert!(matches!(error, ModelError::HubName { .. }), "{error}");
    assert_eq!(tree(folder.path()), BTreeMap::new());
}
