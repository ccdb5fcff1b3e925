//! A file or folder of activations, looked into before any of them is read.

use std::path::{Path, PathBuf};
use std::sync::OnceLock;

use super::array_file::ArrayFile;
use super::array_sites::{ArraySites, array_sites};
use super::arrays::{SiteArray, read_arrays};
use super::mosaic::{is_mosaic_folder, table_names};
use super::shards::read_shards;
use super::site::{ActivationOrigin, ExternalSite, Sites};
use crate::{
    ActivationError, ExternalActivations, ExternalConfig, ExternalError, HookLayout, ShardError,
    ShardFolder, ShardHook, TableError, hash_file, is_datasets_folder, is_shard_folder,
};

/// A file or folder of activations: where in a model they were taken, and which model it was.
///
/// Activations are read site by site, so that those of all layers need not fit into memory.
///
/// # Examples
///
/// ```
/// use attention_probes::activations::{
///     ExternalConfig, ExternalStore, NpzArray, write_npz,
/// };
///
/// let folder = tempfile::tempdir()?;
/// let path = folder.path().join("a.npz");
/// let x = NpzArray::new(vec![2, 3], vec![0.5_f32; 6]);
/// write_npz(&path, &[("x.0", x.clone()), ("x.7", x)])?;
/// let store = ExternalStore::open(&path)?;
/// let names: Vec<&str> = store.sites().iter().map(|site| site.name.as_str()).collect();
/// assert_eq!(names, ["blocks.0.hook_resid_post", "blocks.7.hook_resid_post"]);
/// let last = store.read(&[1], &ExternalConfig::default())?;
/// assert_eq!((last.n_examples(), last.d_model), (2, 3));
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
#[derive(Debug)]
pub struct ExternalStore {
    path: PathBuf,
    form: Form,
    sites: Vec<ExternalSite>,
    origin: ActivationOrigin,
    /// Hash of the file, once somebody has asked for it.
    hash: OnceLock<String>,
}

#[derive(Debug)]
enum Form {
    /// An npz or a safetensors file.
    Arrays {
        file: ArrayFile,
        arrays: Vec<SiteArray>,
        class_names: Option<Vec<String>>,
    },
    Shards(Box<ShardFolder>),
    Mosaic,
}

impl ExternalStore {
    /// Looks into an `.npz`, a `.safetensors`, a folder of shards, or a MOSAIC folder.
    ///
    /// # Errors
    ///
    /// - what [`read_npz_arrays`](crate::read_npz_arrays) returns for a damaged file
    /// - [`ExternalError`](crate::ExternalError) if a file has no activations, its activations are
    ///   no floats, or what it says about itself makes no sense
    /// - [`ActivationError::ArrayShape`] if `x` has a shape that is none of activations
    /// - what [`ShardFolder`] returns for a folder that is damaged or not complete
    ///
    /// # Memory
    ///
    /// Names and shapes; no activation is read.
    pub fn open(path: impl AsRef<Path>) -> Result<Self, ActivationError> {
        let path = path.as_ref().to_owned();
        let hash = OnceLock::new();
        if !path.is_dir() {
            let file = ArrayFile::open(&path)?;
            let ArraySites { sites, arrays, origin, class_names } = array_sites(&file)?;
            let form = Form::Arrays { file, arrays, class_names };
            return Ok(Self { path, form, sites, origin, hash });
        }
        if !is_shard_folder(&path) && is_mosaic_folder(&path) {
            let sites = table_names(&path).iter().map(|name| ExternalSite::unknown(name)).collect();
            let origin = ActivationOrigin::default();
            return Ok(Self { path, form: Form::Mosaic, sites, origin, hash });
        }
        if is_datasets_folder(&path) {
            return Err(TableError::Arrow { path }.into());
        }
        let folder = ShardFolder::open(&path)?;
        let manifest = folder.manifest();
        let site = |hook: &ShardHook| ExternalSite {
            is_pairs: hook.layout == HookLayout::Pairs,
            ..ExternalSite::hook(&hook.name)
        };
        let sites = manifest.hooks.iter().map(site).collect();
        let origin = ActivationOrigin {
            model: Some(manifest.model.name.clone()),
            revision: Some(manifest.model.revision.clone()),
            convention: Some(manifest.convention),
            max_tokens: manifest.tokenizer.as_ref().map(|tokenizer| tokenizer.max_tokens),
            data_hash: Some(manifest.data.hash.clone()),
        };
        Ok(Self { path, form: Form::Shards(Box::new(folder)), sites, origin, hash })
    }

    /// Where it lies.
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// The sites, at least one.
    pub fn sites(&self) -> &[ExternalSite] {
        &self.sites
    }

    /// Which model the activations are of.
    pub fn origin(&self) -> &ActivationOrigin {
        &self.origin
    }

    /// The site of a name, or the only one.
    ///
    /// # Errors
    ///
    /// - [`ShardError::NoSuchHook`] if there is no such site
    /// - [`ShardError::SeveralHooks`] if none is named of several
    pub fn choose(&self, name: Option<&str>) -> Result<usize, ActivationError> {
        let hooks = || {
            let known = self.sites.iter().filter(|site| site.is_hook || self.form.is_mosaic());
            known.map(|site| site.name.clone()).collect()
        };
        let path = self.path.clone();
        match name {
            Some(name) => self.sites.iter().position(|site| site.name == name).ok_or_else(|| {
                ShardError::NoSuchHook { path, hook: name.to_owned(), hooks: hooks() }.into()
            }),
            None if self.sites.len() == 1 => Ok(0),
            None => Err(ShardError::SeveralHooks { path, hooks: hooks() }.into()),
        }
    }

    /// Reads some sites, whose rows stand side by side if they are several.
    ///
    /// # Errors
    ///
    /// As [`ExternalActivations::read_with`].
    ///
    /// # Panics
    ///
    /// If there is no such site, or none is given.
    ///
    /// # Memory
    ///
    /// The sites as `f32`, padding included, which are packed in place; of several, twice that.
    pub fn read(
        &self,
        sites: &[usize],
        config: &ExternalConfig,
    ) -> Result<ExternalActivations, ActivationError> {
        let path = self.path.clone();
        if let Some(site) = sites.iter().map(|&site| &self.sites[site]).find(|site| site.is_pairs) {
            return Err(ShardError::Pairs { path, hook: site.name.clone() }.into());
        }
        if !self.form.is_arrays() && config.with_labels && !config.label_kind.is_class() {
            return Err(ExternalError::FolderTargets { path }.into());
        }
        if config.pad_token_id.is_some() && !self.form.is_mosaic() {
            return Err(ExternalError::PadToken { path }.into());
        }
        let about = |hash| Sites {
            sites: sites.iter().map(|&site| self.sites[site].clone()).collect(),
            origin: self.origin.clone(),
            hash,
        };
        match &self.form {
            Form::Mosaic => {
                let [site] = sites else {
                    let hooks = sites.iter().map(|&site| self.sites[site].name.clone()).collect();
                    return Err(ShardError::SeveralHooks { path, hooks }.into());
                };
                ExternalActivations::read_mosaic(&path, &self.sites[*site], config)
            }
            Form::Shards(folder) => {
                read_shards((&path, folder), sites, about(String::new()), config)
            }
            Form::Arrays { file, arrays, class_names } => {
                let arrays: Vec<&SiteArray> = sites.iter().map(|&site| &arrays[site]).collect();
                let about = about(self.hash_of(sites)?);
                read_arrays(file, &arrays, class_names.clone(), about, config)
            }
        }
    }

    /// Hash of sites of a file: of the file, and, where it has several, of their names.
    fn hash_of(&self, sites: &[usize]) -> Result<String, ActivationError> {
        let hash = if let Some(hash) = self.hash.get() {
            hash.clone()
        } else {
            let hash = hash_file(&self.path)?;
            self.hash.get_or_init(|| hash).clone()
        };
        if self.sites.len() == 1 {
            return Ok(hash);
        }
        let mut hasher = blake3::Hasher::new();
        hasher.update(hash.as_bytes());
        for &site in sites {
            hasher.update(b" ");
            hasher.update(self.sites[site].name.as_bytes());
        }
        Ok(hasher.finalize().to_hex().to_string())
    }
}

impl Form {
    fn is_mosaic(&self) -> bool {
        matches!(self, Self::Mosaic)
    }

    fn is_arrays(&self) -> bool {
        matches!(self, Self::Arrays { .. })
    }
}
