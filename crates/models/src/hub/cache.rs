//! Hugging Face's cache on this machine: which snapshots it holds, and where their files lie.
//!
//! ```text
//! models--org--name/
//! ├── refs/main                      a commit, as text
//! ├── blobs/<etag>                   content, written once
//! └── snapshots/<commit>/config.json a relative link to its blob
//! ```
//!
//! `hf-hub` names the folders of repositories and snapshots, and finds the token. What it has of
//! the rest is not used:
//!
//! - its cache of the environment knows `HF_HOME` alone, and panics without a home
//! - its reader of a reference takes whatever the file says as a path, and no revision that is a
//!   commit itself
//! - its writer of a reference empties the file before it writes, so that another process may find
//!   it empty
//! - its paths of blobs are built only with its own clients

use std::fs;
use std::path::{Path, PathBuf};

use attention_probes_errors::FileError;
use hf_hub::Cache;

use crate::ModelError;
#[cfg(feature = "hub")]
use crate::files::{Unfinished, temporary_path};
use crate::hub::HubId;
use crate::hub::id::is_commit;

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
    /// use attention_probes::models::HubCache;
    ///
    /// let cache = HubCache::from_vars(|name| (name == "HF_HOME").then(|| "/data/hf".to_owned()));
    /// assert_eq!(cache, Some(HubCache::new("/data/hf/hub")));
    /// ```
    pub fn from_vars(var: impl Fn(&str) -> Option<String>) -> Option<Self> {
        let root = folder("HF_HUB_CACHE", &var)
            .or_else(|| folder("HUGGINGFACE_HUB_CACHE", &var))
            .or_else(|| Some(hf_home(&var)?.join("hub")))?;
        Some(Self { root })
    }

    /// The folder of the cache.
    pub fn root(&self) -> &Path {
        &self.root
    }

    /// The commit that is in the cache for a revision: the one that was downloaded under that name,
    /// or the revision if it is a commit itself.
    pub(crate) fn commit(&self, id: &HubId) -> Result<Option<String>, ModelError> {
        let reference = self.reference(id);
        let commit = if reference.is_file() {
            let text = fs::read_to_string(&reference).map_err(FileError::read(&reference))?;
            text.trim().to_owned()
        } else {
            id.revision().to_owned()
        };
        // What a file says must not lead out of the cache.
        Ok(Some(commit).filter(|commit| is_commit(commit)))
    }

    /// Folder of a snapshot.
    pub(crate) fn snapshot(&self, id: &HubId, commit: &str) -> PathBuf {
        Cache::new(self.root.clone()).repo(id.in_cache()).pointer_path(commit)
    }

    /// What the Hub said about the files of a commit; Hugging Face's programs do not look at it.
    pub(crate) fn listing(&self, id: &HubId, commit: &str) -> PathBuf {
        self.folder(id).join(".listings").join(format!("{commit}.json"))
    }

    /// Folder of a repository.
    fn folder(&self, id: &HubId) -> PathBuf {
        self.root.join(id.in_cache().folder_name())
    }

    fn reference(&self, id: &HubId) -> PathBuf {
        self.folder(id).join("refs").join(id.revision())
    }
}

#[cfg(feature = "hub")]
impl HubCache {
    /// The content that has this etag.
    pub(crate) fn blob(&self, id: &HubId, etag: &str) -> PathBuf {
        self.folder(id).join("blobs").join(etag)
    }

    /// The file that whoever downloads a blob locks, the same as for Hugging Face's programs.
    pub(crate) fn lock(&self, id: &HubId, etag: &str) -> PathBuf {
        self.root.join(".locks").join(id.in_cache().folder_name()).join(format!("{etag}.lock"))
    }

    /// Notes which commit a branch or tag stands for.
    pub(crate) fn write_reference(&self, id: &HubId, commit: &str) -> Result<(), ModelError> {
        if id.revision() == commit {
            return Ok(());
        }
        let reference = self.reference(id);
        make_parent(&reference)?;
        crate::files::write_file(&reference, commit.as_bytes())
    }

    /// Gives a blob the name that it has in a snapshot.
    pub(crate) fn link(
        &self,
        id: &HubId,
        commit: &str,
        file: &str,
        etag: &str,
    ) -> Result<PathBuf, ModelError> {
        let path = self.snapshot(id, commit).join(file);
        make_parent(&path)?;
        let up = Path::new(file).components().count() + 1;
        let relative: PathBuf = std::iter::repeat_n("..", up).chain(["blobs", etag]).collect();
        let make = |temporary: &Path| {
            symlink(&relative, temporary).or_else(|_| {
                let blob = self.blob(id, etag);
                // Where links are not possible, the snapshot holds the content itself.
                fs::hard_link(&blob, temporary).or_else(|_| fs::copy(&blob, temporary).map(|_| ()))
            })
        };
        Unfinished::make(temporary_path(&path), make)
            .and_then(|(link, ())| link.rename(&path))
            .map_err(FileError::write(&path))?;
        Ok(path)
    }
}

/// Makes the folder that a file is to lie in.
#[cfg(feature = "hub")]
pub(crate) fn make_parent(path: &Path) -> Result<(), ModelError> {
    let Some(folder) = path.parent() else { return Ok(()) };
    Ok(fs::create_dir_all(folder).map_err(FileError::write(folder))?)
}

#[cfg(all(feature = "hub", unix))]
fn symlink(target: &Path, link: &Path) -> std::io::Result<()> {
    std::os::unix::fs::symlink(target, link)
}

#[cfg(all(feature = "hub", not(unix)))]
fn symlink(_: &Path, _: &Path) -> std::io::Result<()> {
    Err(std::io::ErrorKind::Unsupported.into())
}

/// The token in `$HF_HOME/token`, where Hugging Face's programs keep it.
pub(super) fn kept_token(var: impl Fn(&str) -> Option<String>) -> Option<String> {
    Cache::new(hf_home(var)?.join("hub")).token()
}

/// The folder of everything that Hugging Face's programs keep: `HF_HOME`,
/// `$XDG_CACHE_HOME/huggingface`, `~/.cache/huggingface`.
fn hf_home(var: impl Fn(&str) -> Option<String>) -> Option<PathBuf> {
    folder("HF_HOME", &var)
        .or_else(|| Some(folder("XDG_CACHE_HOME", &var)?.join("huggingface")))
        .or_else(|| Some(home(&var)?.join(".cache/huggingface")))
}

/// The path that a variable holds, `~` at its beginning and `$NAME` or `${NAME}` in it replaced, as
/// `huggingface_hub` does.
pub(super) fn folder(name: &str, var: impl Fn(&str) -> Option<String>) -> Option<PathBuf> {
    let value = var(name).filter(|value| !value.is_empty())?;
    let value = match (value.strip_prefix('~'), home(&var)) {
        (Some(rest), Some(home)) => {
            let path = home.join(rest.trim_start_matches('/'));
            path.to_str().map_or(value.clone(), str::to_owned)
        }
        _ => value,
    };
    Some(PathBuf::from(with_variables(&value, &var)))
}

/// A text with the values of the variables that it names; those that are not set stay as they are.
fn with_variables(text: &str, var: impl Fn(&str) -> Option<String>) -> String {
    let (mut out, mut rest) = (String::new(), text);
    while let Some((before, after)) = rest.split_once('$') {
        out.push_str(before);
        let in_braces = after.strip_prefix('{').and_then(|inner| inner.split_once('}'));
        let (name, end) = if let Some((name, _)) = in_braces {
            (name, name.len() + 2)
        } else {
            let is_name = |c: char| c.is_ascii_alphanumeric() || c == '_';
            let end = after.find(|c| !is_name(c)).unwrap_or(after.len());
            (&after[..end], end)
        };
        if let Some(value) = var(name).filter(|_| !name.is_empty()) {
            out.push_str(&value);
        } else {
            out.push('$');
            out.push_str(&after[..end]);
        }
        rest = &after[end..];
    }
    out + rest
}

fn home(var: impl Fn(&str) -> Option<String>) -> Option<PathBuf> {
    ["HOME", "USERPROFILE"].iter().find_map(|name| var(name)).map(PathBuf::from)
}

#[cfg(test)]
mod tests {
    use super::*;

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
    fn variables_in_a_path_are_replaced() {
        let set = [("HOME", "/home/me"), ("DATA", "/data")];
        let var = |name: &str| {
            set.iter().find(|(known, _)| *known == name).map(|(_, value)| (*value).to_owned())
        };
        for (path, expected) in [
            ("$HOME/.hf", "/home/me/.hf"),
            ("${DATA}/hf", "/data/hf"),
            ("~/x$DATA", "/home/me/x/data"),
            ("/a$b/${c}/$", "/a$b/${c}/$"),
            ("/$HOMEx", "/$HOMEx"),
        ] {
            let of_path =
                |name: &str| if name == "HF_HOME" { Some(path.to_owned()) } else { var(name) };
            assert_eq!(folder("HF_HOME", of_path), Some(PathBuf::from(expected)), "{path}");
        }
    }

    #[test]
    fn a_reference_cannot_lead_out_of_the_cache() {
        let root = tempfile::tempdir().unwrap();
        let folder = root.path().join("models--gpt2");
        fs::create_dir_all(folder.join("refs")).unwrap();
        fs::write(folder.join("refs/main"), "../../..").unwrap();
        let cache = HubCache::new(root.path());
        assert_eq!(cache.commit(&"gpt2".parse().unwrap()).unwrap(), None);
    }
}
