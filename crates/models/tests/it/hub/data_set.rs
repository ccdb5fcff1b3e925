//! Data sets, whose files are listed first.

use std::collections::BTreeMap;
use std::fs;
use std::path::Path;

use attention_probes_models::{HubError, HubId, ModelError, NoDownload, Token};

use crate::hub::fixture::{access, has, tree};
use crate::hub::server::{COMMIT, FakeHub, Reply, Repository, TOKEN, sha};

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
    assert!(matches!(error, ModelError::Hub(HubError::Name { .. })), "{error}");
    assert_eq!(tree(folder.path()), BTreeMap::new());
}
