//! Names of repositories on the Hub.

use std::fmt;
use std::path::{Component, Path};
use std::str::FromStr;

use hf_hub::{Repo, RepoType};

use crate::ModelError;
use crate::hub::HubError;

/// Revision that is meant when none is given.
const MAIN: &str = "main";

/// A repository of the Hub and a revision of it, written `org/name` or `org/name@revision`.
///
/// What is parsed is the name of a model; [`HubId::data_set`] makes that of a data set.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct HubId {
    kind: RepoKind,
    repo: String,
    revision: String,
}

/// What a repository holds.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum RepoKind {
    Model,
    DataSet,
}

impl HubId {
    /// The data set of this name.
    #[must_use]
    pub fn data_set(self) -> Self {
        Self { kind: RepoKind::DataSet, ..self }
    }

    /// Whether it is a data set.
    pub fn is_data_set(&self) -> bool {
        self.kind == RepoKind::DataSet
    }

    pub(crate) fn kind(&self) -> RepoKind {
        self.kind
    }

    /// The repository, such as `google/gemma-3-270m`.
    pub fn repo(&self) -> &str {
        &self.repo
    }

    /// A branch, a tag, or a commit; `main` by default.
    pub fn revision(&self) -> &str {
        &self.revision
    }

    /// The same in the words of Hugging Face's library, which knows its folder in a cache.
    pub(crate) fn in_cache(&self) -> Repo {
        let kind = match self.kind {
            RepoKind::Model => RepoType::Model,
            RepoKind::DataSet => RepoType::Dataset,
        };
        Repo::with_revision(self.repo.clone(), kind, self.revision.clone())
    }

    /// The command of Hugging Face that downloads it.
    pub(crate) fn download_command(&self) -> String {
        let kind = match self.kind {
            RepoKind::Model => "",
            RepoKind::DataSet => " --repo-type dataset",
        };
        let revision = match self.revision.as_str() {
            MAIN => String::new(),
            revision => format!(" --revision {revision}"),
        };
        format!("hf download {}{kind}{revision}", self.repo)
    }
}

impl RepoKind {
    /// The word in folders and addresses.
    #[cfg(feature = "hub")]
    pub(crate) fn plural(self) -> &'static str {
        match self {
            Self::Model => "models",
            Self::DataSet => "datasets",
        }
    }
}

impl FromStr for HubId {
    type Err = ModelError;

    /// Follows the Hub's own rules: one or two parts of letters, digits, `-`, `_`, and `.`, neither
    /// `--` nor `..` in them.
    fn from_str(name: &str) -> Result<Self, ModelError> {
        let (repo, revision) = name.split_once('@').unwrap_or((name, MAIN));
        if !is_repo(repo) || !is_inside(revision) {
            return Err(HubError::Name { name: name.to_owned() }.into());
        }
        let (repo, revision) = (repo.to_owned(), revision.to_owned());
        Ok(Self { kind: RepoKind::Model, repo, revision })
    }
}

impl fmt::Display for HubId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.repo)?;
        if self.revision == MAIN { Ok(()) } else { write!(f, "@{}", self.revision) }
    }
}

fn is_repo(repo: &str) -> bool {
    let parts: Vec<&str> = repo.split('/').collect();
    let plain = |c: char| c.is_ascii_alphanumeric() || "-_.".contains(c);
    let is_part = |part: &&str| {
        !part.is_empty()
            && part.chars().all(plain)
            && !part.starts_with(['-', '.'])
            && !part.ends_with(['-', '.'])
    };
    let is_short = parts.len() <= 2 && repo.len() <= 96;
    is_short && parts.iter().all(is_part) && !repo.contains("--") && !repo.contains("..")
}

/// Whether a path of somebody else's, joined to a folder, stays inside it.
pub(crate) fn is_inside(path: &str) -> bool {
    let is_plain = |part: Component<'_>| matches!(part, Component::Normal(_));
    !path.is_empty()
        && !path.contains(['\\', ':', '\0'])
        && Path::new(path).components().all(is_plain)
}

/// Whether a text is the name of a commit.
pub(crate) fn is_commit(text: &str) -> bool {
    text.len() == 40 && text.chars().all(|c| c.is_ascii_hexdigit())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_are_those_that_the_hub_gives() {
        let id = |name: &str| name.parse::<HubId>().unwrap();
        for name in ["gpt2", "openai-community/gpt2", "google/gemma-3-270m", "a/b_c.d"] {
            assert_eq!(id(name).to_string(), name);
            assert_eq!(id(name).revision(), "main");
        }
        assert_eq!(id("a/b@refs/pr/1").revision(), "refs/pr/1");
        assert_eq!(id("a/b@v2").download_command(), "hf download a/b --revision v2");
        let data = id("a/b").data_set();
        assert_eq!(data.download_command(), "hf download a/b --repo-type dataset");
        assert_eq!(
            (id("a/b").in_cache().folder_name(), data.in_cache().folder_name()),
            ("models--a--b".into(), "datasets--a--b".into())
        );
        for name in [
            "", "a/b/c", "../b", "a/..", "a--b/c", "a b", "a/b@", "a/b@../x", "a/b@/etc", "/a",
            "-a",
        ] {
            assert!(name.parse::<HubId>().is_err(), "{name}");
        }
    }
}
