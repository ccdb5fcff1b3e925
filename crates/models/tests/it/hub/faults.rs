//! Servers and networks that fail, and servers that lie.

use std::collections::BTreeMap;
use std::fs;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use attention_probes_models::{HubError, ModelError, Token};

use crate::hub::fixture::{access, download, has, refused, repository, tree};
use crate::hub::server::{COMMIT, FakeHub, Reply, Repository, Seen, TOKEN};

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
    assert!(matches!(error, ModelError::Hub(HubError::Token)), "{error}");
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

#[test]
fn a_server_that_asks_to_wait_is_waited_for_if_it_is_not_long() {
    let repository = repository();
    let n_asked = Arc::new(AtomicUsize::new(0));
    let n = n_asked.clone();
    let hub = FakeHub::start(move |seen| match n.fetch_add(1, Ordering::Relaxed) {
        0 => Reply::new(429, &[("Retry-After", "1")], b""),
        _ => repository.reply(seen),
    });
    let folder = tempfile::tempdir().unwrap();
    let began = std::time::Instant::now();
    download(&access(folder.path(), &hub)).unwrap();
    assert!(began.elapsed().as_secs() >= 1);

    let n_asked = Arc::new(AtomicUsize::new(0));
    let n = n_asked.clone();
    let hub = FakeHub::start(move |_| {
        n.fetch_add(1, Ordering::Relaxed);
        Reply::new(429, &[("Retry-After", "3600")], b"")
    });
    let folder = tempfile::tempdir().unwrap();
    has(&refused(&access(folder.path(), &hub)), &["status 429: try again in 3600 seconds"]);
    assert_eq!(n_asked.load(Ordering::Relaxed), 1);
}

#[test]
fn a_password_in_the_address_is_sent_and_never_shown() {
    let repository = repository();
    let hub = FakeHub::start(move |seen| match seen.headers.get("authorization") {
        // `me:secret` in base64, as browsers send it.
        Some(sent) if sent == "Basic bWU6c2VjcmV0" => repository.reply(seen),
        _ => Reply::new(401, &[], b""),
    });
    let folder = tempfile::tempdir().unwrap();
    let with = |credentials: &str| {
        let endpoint = hub.endpoint.replace("://", &format!("://{credentials}@"));
        access(folder.path(), &hub).with_endpoint(&endpoint)
    };
    let message = refused(&with("me:wrong"));
    assert!(!message.contains("wrong") && message.contains(&hub.endpoint), "{message}");
    download(&with("me:secret")).unwrap();
}

#[cfg(unix)]
#[test]
fn a_link_in_the_place_of_a_part_is_not_written_through() {
    let repository = repository();
    let etag = crate::hub::server::sha(&repository.files["model.safetensors"]);
    let hub = FakeHub::start(move |seen| repository.reply(seen));
    let folder = tempfile::tempdir().unwrap();
    let blobs = folder.path().join("hub/models--org--tiny/blobs");
    fs::create_dir_all(&blobs).unwrap();
    let mine = folder.path().join("mine");
    fs::write(&mine, "kept").unwrap();
    std::os::unix::fs::symlink(&mine, blobs.join(format!("{etag}.incomplete"))).unwrap();
    download(&access(folder.path(), &hub)).unwrap();
    assert_eq!(fs::read(&mine).unwrap(), b"kept");
}
