//! What the Hub or the caller does not want.

use std::collections::BTreeMap;
use std::fs;

use attention_probes_models::{HubAccess, NoDownload, Token};

use crate::hub::fixture::{access, download, has, refused, repository, tree};
use crate::hub::server::{COMMIT, FakeHub, Reply, Repository, TOKEN};

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
        // Without a configuration, a second question is whether it is an adapter.
        let n = if code == "EntryNotFound" { 2 } else { 1 };
        assert_eq!(requests.len(), n, "{status} {code}: a refusal is not asked for again");
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
fn an_adapter_is_told_from_a_model() {
    let adapter = Repository::new("org/tiny", [("adapter_config.json", &b"{}"[..])]);
    let hub = FakeHub::of(adapter);
    let folder = tempfile::tempdir().unwrap();
    has(&refused(&access(folder.path(), &hub)), &["adapter_config.json`", "`merge_and_unload()`"]);
}
