//! Why something of the Hub is not there.

use std::path::PathBuf;

use attention_probes_errors::{ErrorKind, did_you_mean, nearest};

use crate::demo::NAMES;
use crate::hub::{HubId, NoDownload, RepoKind};

/// Why a model or a file of the Hub is not in the cache, or could not be downloaded.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum HubError {
    /// A name does not follow the rules of the Hub.
    #[error("`{name}` is no repository on the Hub, expected `org/name` or `org/name@revision`")]
    Name {
        /// What the caller wrote.
        name: String,
    },
    /// A repository, or the revision of it, has not been downloaded, and is not downloaded now.
    #[error(
        "{} in the cache `{}`; {}",
        match id.kind() {
            RepoKind::Model => {
                let near = did_you_mean(nearest(&id.to_string(), NAMES.split(", ")));
                format!("`{id}` is neither an embedded model ({NAMES}{near}), nor a directory, nor")
            }
            RepoKind::DataSet => format!("the data set `{id}` is not"),
        },
        cache.display(),
        reason.remedy(id)
    )]
    NotCached {
        /// The repository and its revision.
        id: HubId,
        /// The folder of the cache.
        cache: PathBuf,
        /// Why it is not downloaded.
        reason: NoDownload,
    },
    /// A snapshot in the cache is not whole, and the rest is not downloaded now.
    #[error("the snapshot `{}` of `{id}` lacks `{file}`; {}", path.display(), reason.remedy(id))]
    PartialSnapshot {
        /// The repository and its revision.
        id: HubId,
        /// The file that is missing.
        file: String,
        /// The folder of the snapshot.
        path: PathBuf,
        /// Why it is not downloaded.
        reason: NoDownload,
    },
    /// A repository is for those only who have accepted its terms.
    #[error(
        "`{repo}` is gated: ask for access at `{page}`, {}",
        if *token_sent {
            "which the account of the token that was sent does not have, or set `HF_TOKEN` to \
             another token"
        } else {
            "then set `HF_TOKEN` to a token of the account that has it; no token was sent"
        }
    )]
    Gated {
        /// The repository.
        repo: String,
        /// Its page.
        page: String,
        /// Whether a token was sent.
        token_sent: bool,
    },
    /// The Hub does not show a repository: it is absent or private, or the token is not accepted.
    #[error(
        "the Hub shows no repository `{repo}`: check the name at `{page}`, {}",
        if *token_sent {
            "and in `HF_TOKEN` a token that is valid and may read it; the one that was sent may not"
        } else {
            "and if it is private, set `HF_TOKEN` to a token that may read it; no token was sent"
        }
    )]
    Repository {
        /// The repository.
        repo: String,
        /// Its page.
        page: String,
        /// Whether a token was sent.
        token_sent: bool,
    },
    /// A repository has no such branch, tag, or commit.
    #[error("`{repo}` has no revision `{revision}`: see which it has at `{page}`")]
    Revision {
        /// The repository.
        repo: String,
        /// The revision.
        revision: String,
        /// Page of the repository.
        page: String,
    },
    /// A repository has no such file.
    #[error("`{id}` has no file `{file}`: see which it has at `{page}`")]
    File {
        /// The repository and its revision.
        id: HubId,
        /// The file.
        file: String,
        /// Page of the repository.
        page: String,
    },
    /// A token cannot be sent.
    #[error(
        "the token of the Hub holds a character that no request may: set `HF_TOKEN` to a valid one"
    )]
    Token,
    /// The address of the Hub is none.
    #[error("`HF_ENDPOINT` is `{endpoint}`, expected an address such as `https://huggingface.co`")]
    Endpoint {
        /// What was given.
        endpoint: String,
    },
    /// The address of a proxy is none, or the proxy is spoken to as is not done here.
    #[error("the proxy `{proxy}` is not used, expected an address such as `http://proxy:3128`")]
    Proxy {
        /// Its address, without name and password.
        proxy: String,
    },
    /// The Hub reports a fault.
    #[error(
        "`{url}` answers with status {status}: try again {}",
        retry_after_s.map_or("later".to_owned(), |seconds| format!("in {seconds} seconds"))
    )]
    Status {
        /// What was asked for.
        url: String,
        /// The status of HTTP.
        status: u16,
        /// How many seconds the server asks to wait.
        retry_after_s: Option<u64>,
    },
    /// The Hub cannot be reached, or a connection was cut.
    #[error(
        "the connection to `{url}` failed: check the network and run it again; what has come is \
         kept"
    )]
    Connection {
        /// What was asked for.
        url: String,
        /// What the network said.
        source: std::io::Error,
    },
    /// A server does not speak as the Hub does.
    #[error("`{url}` {fault}: check `HF_ENDPOINT`, or try again later")]
    Reply {
        /// What was asked for.
        url: String,
        /// What is wrong with the reply.
        fault: &'static str,
    },
    /// A file that was downloaded is not what was announced.
    #[error("the content of `{url}` has SHA-256 `{found}`, expected `{expected}`: run it again")]
    Checksum {
        /// What was asked for.
        url: String,
        /// The hash of what has come.
        found: String,
        /// The hash that was announced.
        expected: String,
    },
}

impl HubError {
    /// What kind of error it is.
    pub fn kind(&self) -> ErrorKind {
        match self {
            Self::Name { .. } | Self::Token | Self::Endpoint { .. } | Self::Proxy { .. } => {
                ErrorKind::Input
            }
            Self::NotCached { .. } | Self::PartialSnapshot { .. } => ErrorKind::File,
            _ => ErrorKind::Network,
        }
    }

    /// Whether a repository, a revision, or a file is not there, in the cache or on the Hub.
    pub fn is_not_found(&self) -> bool {
        let is_absent =
            matches!(self, Self::Repository { .. } | Self::Revision { .. } | Self::File { .. });
        is_absent || self.is_not_cached()
    }

    /// Whether a part of the Hub is missing that a download would bring.
    pub fn is_not_cached(&self) -> bool {
        matches!(self, Self::NotCached { .. } | Self::PartialSnapshot { .. })
    }
}
