//! Models and files of repositories: out of the cache, and downloaded where something is missing.

use std::path::PathBuf;

use crate::ModelError;
use crate::hub::id::is_inside;
use crate::hub::model::missing_file;
use crate::hub::{HubAccess, HubError, HubId, NoDownload, listing};

impl HubAccess {
    /// The folder of a model that is whole in the cache, downloaded if it was not.
    ///
    /// What is needed are `config.json`, the tokenizer's files, and the weights as safetensors, in
    /// one file or in shards; nothing is sent if they are there. A download that was cut is gone on
    /// with.
    ///
    /// # Errors
    ///
    /// - [`HubError::NotCached`] or [`HubError::PartialSnapshot`] if something is missing, and
    ///   nothing is to be downloaded
    /// - [`HubError::Gated`], [`HubError::Repository`], [`HubError::Revision`], or
    ///   [`HubError::File`] if the Hub does not hand it out
    /// - [`HubError::Token`], [`HubError::Endpoint`], or [`HubError::Proxy`] if no request can be
    ///   made of these
    /// - [`HubError::Status`], [`HubError::Connection`], or [`HubError::Reply`] if
    ///   the server or the network fails, after some repetitions
    /// - [`HubError::Checksum`] if the content is not what was announced
    /// - [`ModelError::UnsupportedArchitecture`] or [`ModelError::ConfigField`] if this version
    ///   cannot run it, which shows before the weights are downloaded
    /// - [`ModelError::File`] if the cache cannot be used
    /// - [`ModelError::Stopped`] if the signal of [`HubAccess::with_stop`] is given
    pub fn model(&self, id: &HubId) -> Result<PathBuf, ModelError> {
        let cached = self.cached_model(id);
        #[cfg(feature = "hub")]
        if self.no_download.is_none() && cached.as_ref().is_err_and(ModelError::is_not_cached) {
            return crate::hub::model::download_model(self, id);
        }
        cached
    }

    pub(crate) fn cached_model(&self, id: &HubId) -> Result<PathBuf, ModelError> {
        let path = self.cached_snapshot(id)?;
        match missing_file(&path)? {
            None => Ok(path),
            Some(file) => Err(self.partial(id, file, path)),
        }
    }

    /// The file of that name, downloaded unless the cache has it.
    ///
    /// # Errors
    ///
    /// As [`HubAccess::model`], whatever the file is.
    pub fn file(&self, id: &HubId, file: &str) -> Result<PathBuf, ModelError> {
        if !is_inside(file) {
            return Err(HubError::Name { name: file.to_owned() }.into());
        }
        let cached = self.cached_snapshot(id).and_then(|snapshot| {
            let path = snapshot.join(file);
            let is_there = path.is_file();
            if is_there { Ok(path) } else { Err(self.partial(id, file.to_owned(), snapshot)) }
        });
        #[cfg(feature = "hub")]
        if self.no_download.is_none() && cached.as_ref().is_err_and(ModelError::is_not_cached) {
            return crate::hub::download::Download::new(self, id)?.file(file);
        }
        cached
    }

    /// Paths of the files that a repository has, sorted.
    ///
    /// Asked for once for each commit. Where nothing may be sent, and it was never asked for, these
    /// are the files in the cache.
    ///
    /// # Errors
    ///
    /// As [`HubAccess::model`], but for those about a file.
    pub fn files(&self, id: &HubId) -> Result<Vec<String>, ModelError> {
        if let Some(commit) = self.cache.commit(id)?
            && let Some(files) = listing::cached(&self.cache, id, &commit)
        {
            return Ok(files);
        }
        #[cfg(feature = "hub")]
        if self.no_download.is_none() {
            return crate::hub::download::Download::new(self, id)?.listing();
        }
        listing::of_folder(&self.cached_snapshot(id)?)
    }

    /// Folder of what the cache has of a repository.
    fn cached_snapshot(&self, id: &HubId) -> Result<PathBuf, ModelError> {
        let snapshot = self.cache.commit(id)?.map(|commit| self.cache.snapshot(id, &commit));
        let missing = || HubError::NotCached {
            id: id.clone(),
            cache: self.cache.root().to_owned(),
            reason: self.no_download.unwrap_or(NoDownload::CacheOnly),
        };
        Ok(snapshot.filter(|snapshot| snapshot.is_dir()).ok_or_else(missing)?)
    }

    fn partial(&self, id: &HubId, file: String, path: PathBuf) -> ModelError {
        let reason = self.no_download.unwrap_or(NoDownload::CacheOnly);
        HubError::PartialSnapshot { id: id.clone(), file, path, reason }.into()
    }
}

#[cfg(test)]
mod tests {
    use std::fs;

    use super::*;
    use crate::HubCache;

    const COMMIT: &str = "0123456789abcdef0123456789abcdef01234567";

    fn id(name: &str) -> HubId {
        name.parse().unwrap()
    }

    #[test]
    fn a_snapshot_is_found_by_branch_and_by_commit() {
        let root = tempfile::tempdir().unwrap();
        let access =
            HubAccess::new(HubCache::new(root.path())).without_downloads(NoDownload::Offline);
        let error = access.model(&id("org/name")).unwrap_err().to_string();
        for words in ["`org/name`", "`HF_HUB_OFFLINE`", "`hf download org/name`"] {
            assert!(error.contains(words) || !cfg!(feature = "hub"), "{error}");
        }

        let folder = root.path().join("models--org--name");
        let snapshot = folder.join("snapshots").join(COMMIT);
        fs::create_dir_all(&snapshot).unwrap();
        fs::create_dir_all(folder.join("refs")).unwrap();
        fs::write(folder.join("refs/main"), COMMIT).unwrap();
        let index = r#"{"weight_map": {"a": "1.safetensors", "b": "2.safetensors"}}"#;
        for (file, content, lacks) in [
            ("config.json", "{}", "model.safetensors"),
            ("model.safetensors.index.json", index, "1.safetensors"),
            ("1.safetensors", "", "2.safetensors"),
            ("2.safetensors", "", "tokenizer.json"),
            ("vocab.json", "", "tokenizer.json"),
        ] {
            fs::write(snapshot.join(file), content).unwrap();
            let error = access.model(&id("org/name")).unwrap_err().to_string();
            assert!(error.contains(&format!("lacks `{lacks}`")), "{error}");
        }
        fs::write(snapshot.join("merges.txt"), "").unwrap();
        assert_eq!(access.model(&id("org/name")).unwrap(), snapshot);
        assert_eq!(access.model(&id(&format!("org/name@{COMMIT}"))).unwrap(), snapshot);
        assert!(access.model(&id("org/name@v2")).is_err());
    }
}
