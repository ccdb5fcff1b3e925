//! Hugging Face's cache on this machine: from a repository's name to the folder of a snapshot.
//!
//! Nothing here touches the network, and nothing reads the environment: the caller hands the
//! variables over.

use std::fmt;
use std::fs;
use std::path::{Component, Path, PathBuf};
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
}

impl FromStr for HubId {
    type Err = ModelError;

    /// Follows the Hub's own rules: one or two parts of letters, digits, `-`, `_`, and `.`, neither
    /// `--` nor `..` in them.
    fn from_str(name: &str) -> Result<Self, ModelError> {
        let refuse = || ModelError::HubName { name: name.to_owned() };
        let (repo, revision) = name.split_once('@').unwrap_or((name, MAIN));
        let parts: Vec<&str> = repo.split('/').collect();
        let plain = |c: char| c.is_ascii_alphanumeric() || "-_.".contains(c);
        let is_part = |part: &&str| {
            !part.is_empty()
                && part.chars().all(plain)
                && !part.starts_with(['-', '.'])
                && !part.ends_with(['-', '.'])
        };
        let fits = parts.len() <= 2 && parts.iter().all(is_part) && repo.len() <= 96;
        if !fits || repo.contains("--") || repo.contains("..") || !is_revision(revision) {
            return Err(refuse());
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

/// Whether a revision stays inside the folder of references.
fn is_revision(revision: &str) -> bool {
    let is_plain = |part: Component<'_>| matches!(part, Component::Normal(_));
    !revision.is_empty()
        && !revision.contains(['\\', ':'])
        && Path::new(revision).components().all(is_plain)
}

/// The folder in which Hugging Face's programs keep what they have downloaded.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct HubCache {
    root: PathBuf,
}

impl HubCache {
    /// A cache at a folder that need not be there.
    pub fn new(root: impl Into<PathBuf>) -> Self {
        Self { root: root.into() }
    }

    /// The cache that the variables of the environment name, as `huggingface_hub` finds it:
    /// `HF_HUB_CACHE`, `HUGGINGFACE_HUB_CACHE`, `$HF_HOME/hub`,
    /// `$XDG_CACHE_HOME/huggingface/hub`, `~/.cache/huggingface/hub`.
    ///
    /// `None` if none of them is set, and no home either.
    ///
    /// # Examples
    ///
    /// ```
    /// use attention_probes_models::HubCache;
    ///
    /// let cache = HubCache::from_vars(|name| (name == "HF_HOME").then(|| "/data/hf".to_owned()));
    /// assert_eq!(cache, Some(HubCache::new("/data/hf/hub")));
    /// ```
    pub fn from_vars(var: impl Fn(&str) -> Option<String>) -> Option<Self> {
        let home = ["HOME", "USERPROFILE"].iter().find_map(|name| var(name)).map(PathBuf::from);
        let folder = |name: &str| {
            let value = var(name).filter(|value| !value.is_empty())?;
            match (value.strip_prefix('~'), &home) {
                (Some(rest), Some(home)) => Some(home.join(rest.trim_start_matches('/'))),
                _ => Some(PathBuf::from(value)),
            }
        };
        let root = folder("HF_HUB_CACHE")
            .or_else(|| folder("HUGGINGFACE_HUB_CACHE"))
            .or_else(|| Some(folder("HF_HOME")?.join("hub")))
            .or_else(|| Some(folder("XDG_CACHE_HOME")?.join("huggingface/hub")))
            .or_else(|| Some(home.as_ref()?.join(".cache/huggingface/hub")))?;
        Some(Self { root })
    }

    /// The folder of the cache.
    pub fn root(&self) -> &Path {
        &self.root
    }

    /// The folder of a snapshot that is in the cache, whole: configuration and weights.
    ///
    /// A revision is looked up among the references that were downloaded, or is a commit itself.
    ///
    /// # Errors
    ///
    /// - [`ModelError::NotCached`] if the repository or the revision is not there
    /// - [`ModelError::PartialSnapshot`] if a file of it is not, by name
    /// - [`ModelError::Read`] if a reference cannot be read
    pub fn snapshot(&self, id: &HubId) -> Result<PathBuf, ModelError> {
        let folder = self.root.join(format!("models--{}", id.repo.replace('/', "--")));
        let not_cached = || ModelError::NotCached {
            id: id.to_string(),
            repo: id.repo.clone(),
            cache: self.root.clone(),
            embedded: crate::demo::NAMES,
        };
        let reference = folder.join("refs").join(&id.revision);
        let commit = if reference.is_file() {
            let text = fs::read_to_string(&reference)
                .map_err(|source| ModelError::Read { path: reference.clone(), source })?;
            text.trim().to_owned()
        } else {
            id.revision.clone()
        };
        // What a file says must not lead out of the cache.
        if !is_commit(&commit) {
            return Err(not_cached());
        }
        let snapshot = folder.join("snapshots").join(&commit);
        if !snapshot.is_dir() {
            return Err(not_cached());
        }
        match missing_file(&snapshot) {
            None => Ok(snapshot),
            Some(file) => {
                Err(ModelError::PartialSnapshot { id: id.to_string(), file, path: snapshot })
            }
        }
    }
}

fn is_commit(text: &str) -> bool {
    text.len() == 40 && text.chars().all(|c| c.is_ascii_hexdigit())
}

/// The first file that a model needs and a snapshot lacks.
fn missing_file(snapshot: &Path) -> Option<String> {
    let lacks = |name: &&str| !snapshot.join(name).is_file();
    let index = "model.safetensors.index.json";
    if snapshot.join(index).is_file() {
        // Its shards are named by the loader, which reads the index.
        return ["config.json"].iter().find(|name| lacks(name)).map(|name| (*name).to_owned());
    }
    let missing = ["config.json", "model.safetensors"].into_iter().find(lacks);
    missing.map(str::to_owned)
}

#[cfg(test)]
mod tests {
    use super::*;

    const COMMIT: &str = "0123456789abcdef0123456789abcdef01234567";

    fn id(name: &str) -> HubId {
        name.parse().unwrap()
    }

    #[test]
    fn names_are_those_that_the_hub_gives() {
        for name in ["gpt2", "openai-community/gpt2", "google/gemma-3-270m", "a/b_c.d"] {
            assert_eq!(id(name).to_string(), name);
            assert_eq!(id(name).revision(), "main");
        }
        assert_eq!(id("a/b@refs/pr/1").revision(), "refs/pr/1");
        for name in [
            "", "a/b/c", "../b", "a/..", "a--b/c", "a b", "a/b@", "a/b@../x", "a/b@/etc", "/a",
            "-a",
        ] {
            assert!(name.parse::<HubId>().is_err(), "{name}");
        }
    }

    #[test]
    fn the_variables_count_in_their_order() {
        let all = [
            ("HF_HUB_CACHE", "/hub", "/hub"),
            ("HUGGINGFACE_HUB_CACHE", "/old", "/old"),
            ("HF_HOME", "~/hf", "/home/me/hf/hub"),
            ("XDG_CACHE_HOME", "/xdg", "/xdg/huggingface/hub"),
            ("HOME", "/home/me", "/home/me/.cache/huggingface/hub"),
        ];
        for from in 0..all.len() {
            let var = |name: &str| {
                let found = all[from..].iter().find(|(known, ..)| *known == name);
                found.map(|(_, value, _)| (*value).to_owned())
            };
            assert_eq!(HubCache::from_vars(var), Some(HubCache::new(all[from].2)));
        }
        assert_eq!(HubCache::from_vars(|_| None), None);
    }

    #[test]
    fn a_snapshot_is_found_by_branch_and_by_commit() {
        let root = tempfile::tempdir().unwrap();
        let cache = HubCache::new(root.path());
        let error = cache.snapshot(&id("org/name")).unwrap_err().to_string();
        assert!(error.contains("hf download org/name"), "{error}");

        let folder = root.path().join("models--org--name");
        let snapshot = folder.join("snapshots").join(COMMIT);
        fs::create_dir_all(&snapshot).unwrap();
        fs::create_dir_all(folder.join("refs")).unwrap();
        fs::write(folder.join("refs/main"), COMMIT).unwrap();
        fs::write(snapshot.join("config.json"), "{}").unwrap();
        let error = cache.snapshot(&id("org/name")).unwrap_err().to_string();
        assert!(error.contains("lacks `model.safetensors`"), "{error}");

        fs::write(snapshot.join("model.safetensors"), "").unwrap();
        assert_eq!(cache.snapshot(&id("org/name")).unwrap(), snapshot);
        assert_eq!(cache.snapshot(&id(&format!("org/name@{COMMIT}"))).unwrap(), snapshot);
        assert!(cache.snapshot(&id("org/name@v2")).is_err());
    }

    #[test]
    fn a_reference_cannot_lead_out_of_the_cache() {
        let root = tempfile::tempdir().unwrap();
        let folder = root.path().join("models--gpt2");
        fs::create_dir_all(folder.join("refs")).unwrap();
        fs::write(folder.join("refs/main"), "../../..").unwrap();
        let error = HubCache::new(root.path()).snapshot(&id("gpt2")).unwrap_err();
        assert!(matches!(error, ModelError::NotCached { .. }), "{error}");
    }
}
