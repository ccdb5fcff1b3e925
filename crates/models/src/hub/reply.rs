//! What the Hub says in status and headers.

use ureq::http::{HeaderMap, StatusCode};

use crate::ModelError;
use crate::hub::id::is_commit;
use crate::hub::{HubAccess, HubError, HubId, url};

/// Longest name of content; a hash has 64 letters.
const MAX_ETAG: usize = 128;

/// What the Hub says about a file before it hands it out.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct FileHead {
    /// The commit that the revision stands for.
    pub(super) commit: String,
    /// Name of the content: its SHA-256 where it is large.
    pub(super) etag: String,
    /// Length of the content.
    pub(super) size_bytes: u64,
}

/// The headers about a file, collected over the replies to one question.
#[derive(Debug, Default)]
pub(super) struct HeadParts {
    commit: Option<String>,
    etag: Option<String>,
    size: Option<String>,
    linked_etag: Option<String>,
    linked_size: Option<String>,
}

impl HeadParts {
    /// Takes over what a reply says; later ones count.
    pub(super) fn add(&mut self, status: StatusCode, headers: &HeaderMap) {
        for (part, name, is_of_content) in [
            (&mut self.commit, "x-repo-commit", true),
            (&mut self.linked_etag, "x-linked-etag", true),
            (&mut self.linked_size, "x-linked-size", true),
            // Of a redirect, these are about the redirect itself.
            (&mut self.etag, "etag", status.is_success()),
            (&mut self.size, "content-length", status.is_success()),
        ] {
            if let (true, Some(value)) = (is_of_content, text(headers, name)) {
                *part = Some(value.to_owned());
            }
        }
    }

    /// What the replies say together.
    ///
    /// # Errors
    ///
    /// [`HubError::Reply`] if something is missing, or would not do as the name of a file.
    pub(super) fn finish(self, url: &str) -> Result<FileHead, ModelError> {
        let refuse = |fault| HubError::Reply { url: url.to_owned(), fault };
        let commit = self
            .commit
            .filter(|commit| is_commit(commit))
            .ok_or_else(|| refuse("does not name a commit"))?;
        let etag = self.linked_etag.or(self.etag).unwrap_or_default();
        let etag = etag.trim_start_matches("W/").trim_matches('"').to_owned();
        let is_plain = etag.chars().all(|c| c.is_ascii_alphanumeric() || c == '-');
        if etag.is_empty() || etag.len() > MAX_ETAG || !is_plain {
            return Err(refuse("does not name its content by a plain etag").into());
        }
        let size = self.linked_size.or(self.size).and_then(|size| size.parse().ok());
        let size_bytes = size.ok_or_else(|| refuse("does not say how long the file is"))?;
        Ok(FileHead { commit, etag, size_bytes })
    }
}

/// A header as text.
pub(super) fn text<'a>(headers: &'a HeaderMap, name: &str) -> Option<&'a str> {
    headers.get(name).and_then(|value| value.to_str().ok())
}

/// First byte and whole length of the part that a reply holds.
pub(super) fn content_range(headers: &HeaderMap) -> Option<(u64, u64)> {
    let range = text(headers, "content-range")?.strip_prefix("bytes ")?;
    let (part, total) = range.split_once('/')?;
    let (first, _) = part.split_once('-')?;
    Some((first.parse().ok()?, total.parse().ok()?))
}

/// Why the Hub does not hand out a file of a repository, or, without `file`, its list of files.
pub(super) fn refusal(
    access: &HubAccess,
    id: &HubId,
    file: Option<&str>,
    url: &str,
    status: StatusCode,
    headers: &HeaderMap,
) -> HubError {
    let (repo, page) = (id.repo().to_owned(), url::page(&access.endpoint, id));
    let token_sent = access.token.is_some();
    match (status.as_u16(), text(headers, "x-error-code")) {
        (401 | 403, Some("GatedRepo")) => HubError::Gated { repo, page, token_sent },
        (401 | 403, _) | (404, Some("RepoNotFound")) => {
            HubError::Repository { repo, page, token_sent }
        }
        (404, code) => match file {
            Some(file) if code != Some("RevisionNotFound") => {
                HubError::File { id: id.clone(), file: file.to_owned(), page }
            }
            _ => HubError::Revision { repo, revision: id.revision().to_owned(), page },
        },
        (status, _) => {
            let retry_after_s = text(headers, "retry-after").and_then(|text| text.parse().ok());
            HubError::Status { url: url.to_owned(), status, retry_after_s }
        }
    }
}
