//! Downloads files of a repository into the cache: whole, checked, or not at all.

use std::fmt::Write as _;
use std::fs::{self, File, OpenOptions};
use std::io::{self, Read, Seek, SeekFrom, Write};
use std::path::{Path, PathBuf};
use std::thread::sleep;

use attention_probes_errors::FileError;
use ring::digest;

use crate::ModelError;
use crate::files::{FileLock, write_file};
use crate::hub::cache::make_parent;
use crate::hub::client::{ATTEMPTS, Client, READ_TIMEOUT, STOP_INTERVAL, connection, is_passing};
use crate::hub::pace::Paced;
use crate::hub::reply::{FileHead, content_range, refusal, text};
use crate::hub::{HubAccess, HubError, HubId, url};

/// Bytes that a connection must bring before it is cut, not to count as a failure.
const PROGRESS_BYTES: u64 = 1 << 20;

/// Bytes that are read or hashed at a time.
const BUFFER_BYTES: usize = 1 << 16;

/// Length of a SHA-256 in hexadecimal.
const SHA256_LENGTH: usize = 64;

/// Files of one snapshot, downloaded as they are asked for.
#[derive(Debug)]
pub(crate) struct Download<'a> {
    client: Client<'a>,
    id: &'a HubId,
    /// The commit of the snapshot, as soon as it is known.
    commit: Option<String>,
}

/// One file that is to come.
struct Wanted<'a> {
    file: &'a str,
    url: String,
    head: &'a FileHead,
    /// Where it grows.
    part: PathBuf,
}

impl<'a> Download<'a> {
    /// Prepares downloads; sends nothing.
    ///
    /// A snapshot that the cache holds a part of is completed, whatever the branch has become.
    ///
    /// # Errors
    ///
    /// - [`HubError::Endpoint`] or [`HubError::Token`] if no request can be made
    /// - [`ModelError::File`] if the cache cannot be read
    pub(crate) fn new(access: &'a HubAccess, id: &'a HubId) -> Result<Self, ModelError> {
        Ok(Self { client: Client::new(access)?, id, commit: access.cache.commit(id)? })
    }

    /// A file of the snapshot, downloaded unless it is there.
    ///
    /// # Errors
    ///
    /// As [`HubAccess::model`].
    pub(crate) fn file(&mut self, file: &str) -> Result<PathBuf, ModelError> {
        let cache = &self.client.access.cache;
        if let Some(commit) = &self.commit {
            let path = cache.snapshot(self.id, commit).join(file);
            if path.is_file() {
                return Ok(path);
            }
        }
        let revision = self.commit.as_deref().unwrap_or(self.id.revision());
        let head = self.client.head(self.id, revision, file)?;
        if self.commit.is_none() {
            cache.write_reference(self.id, &head.commit)?;
        }
        let commit = self.commit.get_or_insert_with(|| head.commit.clone()).clone();
        let url = url::file(&self.client.access.endpoint, self.id, &commit, file);
        self.blob(file, url, &head)?;
        cache.link(self.id, &commit, file, &head.etag)
    }

    /// Paths of the files that the repository has, which are noted for later.
    ///
    /// # Errors
    ///
    /// As [`HubAccess::files`].
    pub(crate) fn listing(&mut self) -> Result<Vec<String>, ModelError> {
        let cache = &self.client.access.cache;
        let revision = self.commit.as_deref().unwrap_or(self.id.revision());
        let (commit, files) = self.client.listing(self.id, revision)?;
        let path = cache.listing(self.id, &commit);
        make_parent(&path)?;
        write_file(&path, serde_json::json!(files).to_string().as_bytes())?;
        if self.commit.is_none() {
            cache.write_reference(self.id, &commit)?;
        }
        self.commit = Some(commit);
        Ok(files)
    }

    /// A file that a repository need not have.
    ///
    /// # Errors
    ///
    /// As [`Download::file`], but for [`HubError::File`].
    pub(crate) fn file_if_there(&mut self, file: &str) -> Result<Option<PathBuf>, ModelError> {
        match self.file(file) {
            Err(ModelError::Hub(HubError::File { .. })) => Ok(None),
            found => found.map(Some),
        }
    }

    /// The files of the first choice that the repository has all of.
    ///
    /// # Errors
    ///
    /// [`HubError::File`] of the first choice if there is none; else as [`Download::file`].
    pub(crate) fn first_of(&mut self, choices: &[&[&str]]) -> Result<(), ModelError> {
        let mut absent = None;
        for files in choices {
            let got = files.iter().try_for_each(|file| self.file(file).map(|_| ()));
            match got {
                Err(error @ ModelError::Hub(HubError::File { .. })) => absent.get_or_insert(error),
                result => return result,
            };
        }
        absent.map_or(Ok(()), Err)
    }

    /// Makes sure that the cache holds some content.
    fn blob(&self, file: &str, url: String, head: &FileHead) -> Result<(), ModelError> {
        let cache = &self.client.access.cache;
        let blob = cache.blob(self.id, &head.etag);
        let is_there = || blob.metadata().is_ok_and(|found| found.len() == head.size_bytes);
        if is_there() {
            return Ok(());
        }
        make_parent(&blob)?;
        let lock = cache.lock(self.id, &head.etag);
        make_parent(&lock)?;
        // Whoever comes second waits, and then finds the blob.
        let _locked = self.wait_for(&lock)?;
        if is_there() {
            return Ok(());
        }
        let wanted = Wanted { file, url, head, part: blob.with_added_extension("incomplete") };
        let result = self.fetch_checked(&wanted);
        if let Some(progress) = &self.client.access.progress {
            progress.end();
        }
        result?;
        Ok(fs::rename(&wanted.part, &blob).map_err(FileError::write(&blob))?)
    }

    /// Takes a lock as soon as nobody holds it, unless a signal to stop is given meanwhile.
    fn wait_for(&self, lock: &Path) -> Result<FileLock, ModelError> {
        loop {
            if let Some(locked) = FileLock::claim(lock).map_err(FileError::write(lock))? {
                return Ok(locked);
            }
            self.client.access.stop.check()?;
            sleep(STOP_INTERVAL);
        }
    }

    /// Downloads some content and compares it with what was announced.
    fn fetch_checked(&self, wanted: &Wanted<'_>) -> Result<(), ModelError> {
        let was_there = wanted.part.metadata().map_or(0, |part| part.len());
        self.fetch(wanted)?;
        match check(wanted) {
            // The beginning came with another run, and perhaps from another program.
            Err(ModelError::Hub(HubError::Checksum { .. })) if was_there > 0 => {
                remove(&wanted.part)?;
                self.fetch(wanted)?;
                check(wanted)
            }
            result => result,
        }
        .inspect_err(|_| {
            let _ = fs::remove_file(&wanted.part); // the error that led here says more
        })
    }

    /// Downloads some content, beginning anew whenever the connection is cut.
    fn fetch(&self, wanted: &Wanted<'_>) -> Result<(), ModelError> {
        let length = || wanted.part.metadata().map_or(0, |part| part.len());
        let mut n_failed = 0;
        loop {
            let before = length();
            match self.fetch_once(wanted) {
                Err(error) if is_passing(&error) => {
                    let has_come = length().saturating_sub(before) >= PROGRESS_BYTES;
                    n_failed = if has_come { 1 } else { n_failed + 1 };
                    if n_failed == ATTEMPTS {
                        return Err(error);
                    }
                    self.client.pause(n_failed, &error)?;
                }
                result => return result,
            }
        }
    }

    /// Downloads what is missing of some content over one connection.
    fn fetch_once(&self, wanted: &Wanted<'_>) -> Result<(), ModelError> {
        let size = wanted.head.size_bytes;
        let write = |source| ModelError::from(FileError::write(&wanted.part)(source));
        let refuse = |fault| ModelError::from(HubError::Reply { url: wanted.url.clone(), fault });
        // What lies there under that name may be a link to a file that is none of ours.
        if wanted.part.symlink_metadata().is_ok_and(|found| !found.is_file()) {
            fs::remove_file(&wanted.part).map_err(write)?;
        }
        let mut file = OpenOptions::new()
            .create(true)
            .truncate(false)
            .write(true)
            .open(&wanted.part)
            .map_err(write)?;
        let mut done = file.metadata().map_err(write)?.len();
        if done > size {
            file.set_len(0).map_err(write)?;
            done = 0;
        }
        if done == size {
            return Ok(());
        }
        let reply = self.client.get(&wanted.url, done)?;
        match reply.status().as_u16() {
            206 if content_range(reply.headers()) == Some((done, size)) => {}
            200 => {
                file.set_len(0).map_err(write)?;
                done = 0;
                let length = text(reply.headers(), "content-length");
                if length.is_some_and(|length| length.parse() != Ok(size)) {
                    return Err(refuse("is of another length than was announced"));
                }
            }
            206 => {
                file.set_len(0).map_err(write)?;
                return Err(refuse("sends another part of the file than was asked for"));
            }
            _ => {
                file.set_len(if reply.status() == 416 { 0 } else { done }).map_err(write)?;
                let (status, headers) = (reply.status(), reply.headers());
                let (access, file) = (self.client.access, Some(wanted.file));
                return Err(refusal(access, self.id, file, &wanted.url, status, headers).into());
            }
        }
        file.seek(SeekFrom::Start(done)).map_err(write)?;
        let cut = |error: io::Error| connection(&wanted.url, ureq::Error::from(error));
        let mut body = Paced::new(reply.into_body().into_reader(), READ_TIMEOUT);
        let mut buffer = vec![0; BUFFER_BYTES];
        while done < size {
            self.client.access.stop.check()?;
            let left = usize::try_from(size - done).unwrap_or(BUFFER_BYTES).min(BUFFER_BYTES);
            let n_read = body.read(&mut buffer[..left]).map_err(cut)?;
            if n_read == 0 {
                return Err(cut(io::ErrorKind::UnexpectedEof.into()));
            }
            file.write_all(&buffer[..n_read]).map_err(write)?;
            done += n_read as u64;
            if let Some(progress) = &self.client.access.progress {
                progress.advance(wanted.file, done, size);
            }
        }
        // An end that does not come is no fault: everything is there.
        if body.read(&mut buffer[..1]).is_ok_and(|n_read| n_read > 0) {
            file.set_len(0).map_err(write)?;
            return Err(refuse("sends more than was announced"));
        }
        file.sync_all().map_err(write)
    }
}

/// Compares content with its etag, where that is a SHA-256.
fn check(wanted: &Wanted<'_>) -> Result<(), ModelError> {
    let expected = wanted.head.etag.to_ascii_lowercase();
    let is_sha256 =
        expected.len() == SHA256_LENGTH && expected.chars().all(|c| c.is_ascii_hexdigit());
    if !is_sha256 {
        return Ok(());
    }
    let found = sha256(&wanted.part).map_err(FileError::read(&wanted.part))?;
    if found == expected {
        return Ok(());
    }
    Err(HubError::Checksum { url: wanted.url.clone(), found, expected }.into())
}

fn sha256(path: &Path) -> io::Result<String> {
    let mut file = File::open(path)?;
    let mut context = digest::Context::new(&digest::SHA256);
    let mut buffer = vec![0; BUFFER_BYTES];
    loop {
        match file.read(&mut buffer)? {
            0 => break,
            n_read => context.update(&buffer[..n_read]),
        }
    }
    let mut text = String::with_capacity(SHA256_LENGTH);
    for byte in context.finish().as_ref() {
        let _ = write!(text, "{byte:02x}"); // a string takes whatever is written
    }
    Ok(text)
}

fn remove(path: &Path) -> Result<(), ModelError> {
    Ok(fs::remove_file(path).map_err(FileError::write(path))?)
}
