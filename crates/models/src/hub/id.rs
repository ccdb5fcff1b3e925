//! Names of repositories on the Hub.

use std::fmt;
use std::path::{Component, Path};
use std::str::FromStr;

use crate::ModelError;

/// Revision that is meant when none is given.
const MAIN: &str = "main";

/// A model repository of the Hub and a revision of it, written `org/name` or `org/name@revision`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct HubId {
    repo: String,
    revision: String,
}

impl HubId {
    /// The repository, such as `google/gemma-3-270m`.
    pub fn repo(&self) -> &str {
        &self.repo
    }

    /// A branch, a tag, or a commit; `main` by default.
    pub fn revision(&self) -> &str {
        &self.revision
    }

    /// Its folder in a cache.
    pub(crate) fn folder(&self) -> String {
        format!("models--{}", self.repo.replace('/', "--"))
    }

    /// The command of Hugging Face that downloads it.
    pub(crate) fn download_command(&self) -> String {
        let revision = match self.revision.as_str() {
            MAIN => String::new(),
            revision => format!(" --revision {revision}"),
        };
        format!("hf download {}{revision}", self.repo)
    }
}

impl FromStr for HubId {
    type Err = ModelError;

    /// Follows the Hub's own rules: one or two parts of letters, digits, `-`, `_`, and `.`, neither
    /// `--` nor `..` in them.
    fn from_str(name: &str) -> Result<Self, ModelError> {
        let (repo, revision) = name.split_once('@').unwrap_or((name, MAIN));
        if !is_repo(repo) || !is_inside(revision) {
            return Err(ModelError::HubName { name: name.to_owned() });
        }
        Ok(Self { repo: repo.to_owned(), revision: revision.to_owned() })
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
        for name in [
            "", "a/b/c", "../b", "a/..", "a--b/c", "a b", "a/b@", "a/b@../x", "a/b@/etc", "/a",
            "-a",
        ] {
            assert!(name.parse::<HubId>().is_err(), "{name}");
        }
    }
}
