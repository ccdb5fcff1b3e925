//! A server on this machine that plays the Hub.

use std::collections::BTreeMap;
use std::fmt::Write as _;
use std::io::{BufRead, BufReader, Write};
use std::net::{TcpListener, TcpStream};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex};

/// The commit of every repository.
pub(crate) const COMMIT: &str = "89abcdef0123456789abcdef0123456789abcdef";

/// A token that must be seen nowhere but in a header.
pub(crate) const TOKEN: &str = "hf_thisIsVerySecret";

/// A request as it came.
#[derive(Clone, Debug)]
pub(crate) struct Seen {
    pub(crate) method: String,
    /// Path and query.
    pub(crate) path: String,
    /// By lowercase name.
    pub(crate) headers: BTreeMap<String, String>,
}

/// What is answered.
#[derive(Clone, Debug)]
pub(crate) struct Reply {
    pub(crate) status: u16,
    pub(crate) headers: Vec<(String, String)>,
    pub(crate) body: Vec<u8>,
    /// Bytes of the body after which the connection is cut.
    pub(crate) cut: Option<usize>,
}

/// A repository, and how its files are handed out.
#[derive(Clone, Debug)]
pub(crate) struct Repository {
    /// `org/name`, behind `datasets/` if it is one of data.
    pub(crate) name: String,
    /// Content by path.
    pub(crate) files: BTreeMap<String, Vec<u8>>,
    /// Another server that hands out what is large.
    pub(crate) cdn: Option<String>,
    /// Whether parts of files are handed out.
    pub(crate) knows_ranges: bool,
}

/// A server that plays the Hub until it goes out of scope.
pub(crate) struct FakeHub {
    pub(crate) endpoint: String,
    seen: Arc<Mutex<Vec<Seen>>>,
    stops: Arc<AtomicBool>,
}

impl FakeHub {
    /// Answers every request by a function.
    pub(crate) fn start(answer: impl Fn(&Seen) -> Reply + Send + Sync + 'static) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let address = listener.local_addr().unwrap();
        let (seen, stops) = (Arc::default(), Arc::new(AtomicBool::new(false)));
        let hub = Self { endpoint: format!("http://{address}"), seen, stops };
        let (seen, stops) = (hub.seen.clone(), hub.stops.clone());
        let answer = Arc::new(answer);
        std::thread::spawn(move || {
            for stream in listener.incoming() {
                if stops.load(Ordering::Relaxed) {
                    break;
                }
                let (seen, answer) = (seen.clone(), answer.clone());
                std::thread::spawn(move || {
                    if let Some(request) = read(&stream.unwrap()) {
                        let (request, stream) = request;
                        seen.lock().unwrap().push(request.clone());
                        send(stream, &request, &answer(&request));
                    }
                });
            }
        });
        hub
    }

    /// Hands out a repository.
    pub(crate) fn of(repository: Repository) -> Self {
        Self::start(move |seen| repository.reply(seen))
    }

    /// The requests since the last call.
    pub(crate) fn take(&self) -> Vec<Seen> {
        std::mem::take(&mut self.seen.lock().unwrap())
    }

    /// Method, path, and range of the requests since the last call.
    pub(crate) fn take_lines(&self) -> Vec<String> {
        let line = |seen: Seen| {
            let range = seen.headers.get("range").map(|range| format!(" {range}"));
            format!("{} {}{}", seen.method, seen.path, range.unwrap_or_default())
        };
        self.take().into_iter().map(line).collect()
    }
}

impl Drop for FakeHub {
    fn drop(&mut self) {
        self.stops.store(true, Ordering::Relaxed);
        let _ = TcpStream::connect(self.endpoint.trim_start_matches("http://"));
    }
}

impl Reply {
    pub(crate) fn new(status: u16, headers: &[(&str, &str)], body: &[u8]) -> Self {
        let own = |(name, value): &(&str, &str)| ((*name).to_owned(), (*value).to_owned());
        let headers = headers.iter().map(own).collect();
        Self { status, headers, body: body.to_vec(), cut: None }
    }

    /// A connection that is closed without a word.
    pub(crate) fn silence() -> Self {
        Self::new(0, &[], b"")
    }

    /// A refusal with the Hub's word for it.
    pub(crate) fn refusal(status: u16, code: &str) -> Self {
        Self::new(status, &[("X-Error-Code", code)], b"")
    }
}

impl Repository {
    pub(crate) fn new<'a>(
        name: &str,
        files: impl IntoIterator<Item = (&'a str, &'a [u8])>,
    ) -> Self {
        let files = files.into_iter();
        let files = files.map(|(path, content)| (path.to_owned(), content.to_vec())).collect();
        Self { name: name.to_owned(), files, cdn: None, knows_ranges: true }
    }

    /// Answers as the Hub does.
    pub(crate) fn reply(&self, seen: &Seen) -> Reply {
        let not_found = |code| Reply::refusal(404, code);
        let path = seen.path.replace("%20", " ").replace("%2B", "+");
        if let Some(file) = path.strip_prefix("/cdn/") {
            return self.content(seen, file);
        }
        let kind = if self.name.starts_with("datasets/") { "" } else { "models/" };
        let name = &self.name;
        if let Some(path) = path.strip_prefix(&format!("/api/resolve-cache/{kind}{name}/")) {
            let file = path.split_once('/').map_or("", |(_, file)| file);
            return self.content(seen, file);
        }
        if let Some(revision) = seen.path.strip_prefix(&format!("/api/{kind}{name}/revision/")) {
            return match revision {
                "main" | COMMIT => self.listing(),
                _ => not_found("RevisionNotFound"),
            };
        }
        let Some(rest) = path.strip_prefix(&format!("/{name}/resolve/")) else {
            return not_found("RepoNotFound");
        };
        let (revision, file) = rest.split_once('/').unwrap();
        if !["main", COMMIT].contains(&revision) {
            return not_found("RevisionNotFound");
        }
        let Some(content) = self.files.get(file) else { return not_found("EntryNotFound") };
        let size = content.len().to_string();
        let commit = ("X-Repo-Commit", COMMIT);
        match (is_large(file), &self.cdn) {
            (true, Some(cdn)) => {
                let (location, etag) =
                    (format!("{cdn}/cdn/{file}"), format!("\"{}\"", sha(content)));
                let linked = [("X-Linked-Size", &*size), ("X-Linked-Etag", &*etag)];
                let location = ("Location", &*location);
                Reply::new(302, &[commit, location, linked[0], linked[1]], b"elsewhere")
            }
            (true, None) => self.content(seen, file),
            // The Hub hands out what is small under another path.
            (false, _) => {
                let file = file.replace(' ', "%20").replace('+', "%2B");
                let location = format!("/api/resolve-cache/{kind}{name}/{COMMIT}/{file}");
                Reply::new(307, &[commit, ("Location", &location)], b"elsewhere")
            }
        }
    }

    fn content(&self, seen: &Seen, file: &str) -> Reply {
        let content = &self.files[file];
        let etag = if is_large(file) { sha(content) } else { sha(content)[..40].to_owned() };
        let etag = format!("W/\"{etag}\"");
        let headers = [("ETag", &*etag), ("X-Repo-Commit", COMMIT)];
        let range = seen.headers.get("range").filter(|_| self.knows_ranges);
        let Some(first) = range.map(|range| {
            range.strip_prefix("bytes=").unwrap().strip_suffix('-').unwrap().parse().unwrap()
        }) else {
            return Reply::new(200, &headers, content);
        };
        let total = content.len();
        let range: &str = &format!("bytes {first}-{}/{total}", total - 1);
        Reply::new(206, &[headers[0], headers[1], ("Content-Range", range)], &content[first..])
    }

    fn listing(&self) -> Reply {
        let file = |path: &String| format!(r#"{{"rfilename": "{path}"}}"#);
        let files: Vec<String> = self.files.keys().map(file).collect();
        let body = format!(r#"{{"sha": "{COMMIT}", "siblings": [{}]}}"#, files.join(", "));
        Reply::new(200, &[], body.as_bytes())
    }
}

/// Whether a file is one of those that the Hub keeps elsewhere.
fn is_large(file: &str) -> bool {
    [".safetensors", ".parquet"].iter().any(|extension| file.ends_with(extension))
}

/// SHA-256 in hexadecimal.
pub(crate) fn sha(content: &[u8]) -> String {
    let digest = ring::digest::digest(&ring::digest::SHA256, content);
    digest.as_ref().iter().fold(String::new(), |mut text, byte| {
        write!(text, "{byte:02x}").unwrap();
        text
    })
}

fn read(stream: &TcpStream) -> Option<(Seen, TcpStream)> {
    let mut lines = BufReader::new(stream.try_clone().ok()?).lines();
    let first = lines.next()?.ok()?;
    let mut words = first.split(' ');
    let (method, path) = (words.next()?.to_owned(), words.next()?.to_owned());
    let mut headers = BTreeMap::new();
    for line in lines {
        let line = line.ok()?;
        let Some((name, value)) = line.split_once(':') else { break };
        headers.insert(name.to_lowercase(), value.trim().to_owned());
    }
    Some((Seen { method, path, headers }, stream.try_clone().ok()?))
}

fn send(mut stream: TcpStream, request: &Seen, reply: &Reply) {
    if reply.status == 0 {
        return;
    }
    let mut head = format!("HTTP/1.1 {} Because\r\nConnection: close\r\n", reply.status);
    for (name, value) in &reply.headers {
        write!(head, "{name}: {value}\r\n").unwrap();
    }
    if !reply.headers.iter().any(|(name, _)| name == "Transfer-Encoding") {
        write!(head, "Content-Length: {}\r\n", reply.body.len()).unwrap();
    }
    let _ = stream.write_all(format!("{head}\r\n").as_bytes()); // the client may have gone
    if request.method != "HEAD" {
        let end = reply.cut.unwrap_or(reply.body.len()).min(reply.body.len());
        let _ = stream.write_all(&reply.body[..end]);
    }
    let _ = stream.shutdown(std::net::Shutdown::Both);
}
