//! Where an autoencoder lies: on this machine, or on the Hub.

use std::path::{Path, PathBuf};

use attention_probes_errors::first_of;
use attention_probes_models::{HubAccess, HubAddress, HubId, ModelError};

use super::{dictionary_learning, gemma_scope, read_sae, sae_lens, sparsify};
use crate::{Sae, SaeError};

/// Weights that a folder of an autoencoder has.
const WEIGHTS: [&str; 4] =
    [sae_lens::WEIGHTS, sparsify::WEIGHTS, gemma_scope::WEIGHTS, dictionary_learning::WEIGHTS];

/// What may stand beside the weights, of which what there is is needed.
const BESIDE: [&str; 2] = ["cfg.json", "config.json"];

/// Most names that a message lists.
const MAX_LISTED: usize = 30;

/// The file or folder of an autoencoder on this machine.
///
/// A path of this machine stands for itself. `hf://OWNER/REPO[@revision]/PATH` stands for a file or a
/// folder of a repository of the Hub: what an autoencoder needs of it is downloaded unless the cache has
/// it, and what was cut is gone on with.
///
/// # Errors
///
/// - [`SaeError::Address`] if an address names no repository of a model, or there is no Hub
/// - [`SaeError::NoSaeThere`] with what there is, if it is a folder of several
/// - [`SaeError::Model`] if the Hub does not hand it out
pub fn sae_files(path: &Path, hub: Option<&HubAccess>) -> Result<PathBuf, SaeError> {
    if !HubAddress::is_one(path) {
        return Ok(path.to_owned());
    }
    let refuse = || SaeError::Address { path: path.to_owned() };
    let address = HubAddress::parse(path).filter(|found| !found.id.is_data_set());
    let HubAddress { id, path: inside } = address.ok_or_else(refuse)?;
    let hub = hub.ok_or_else(refuse)?;
    let files = hub.files(&id)?;
    let there = |file: &String| files.contains(file);
    if there(&inside) {
        let (folder, name) = inside.rsplit_once('/').unwrap_or(("", &inside));
        let stem = name.rsplit_once('.').map_or(name, |(stem, _)| stem);
        let named = format!("{stem}_cfg.json");
        let beside = BESIDE.iter().copied().chain([&*named]).map(|file| join(folder, file));
        beside.filter(there).try_for_each(|file| hub.file(&id, &file).map(drop))?;
        return Ok(hub.file(&id, &inside)?);
    }
    let weights = WEIGHTS.iter().map(|file| join(&inside, file)).find(there);
    let Some(weights) = weights else {
        let entries = entries(&files, &inside);
        return Err(if entries.is_empty() && !inside.is_empty() {
            missing(&id, &files, &inside, path)
        } else {
            SaeError::NoSaeThere { path: path.to_owned(), entries: listed(&entries) }
        });
    };
    let beside = BESIDE.iter().map(|file| join(&inside, file)).filter(there);
    beside.map(|file| hub.file(&id, &file)).collect::<Result<Vec<_>, ModelError>>()?;
    let weights = hub.file(&id, &weights)?;
    Ok(weights.parent().map_or_else(|| weights.clone(), Path::to_owned))
}

/// As [`read_sae`], also of an address of the Hub, as [`sae_files`] takes it.
///
/// # Errors
///
/// Those of [`sae_files`] and [`read_sae`].
///
/// # Memory
///
/// As [`read_sae`].
pub fn read_sae_from(path: &Path, hub: Option<&HubAccess>) -> Result<Sae, SaeError> {
    read_sae(sae_files(path, hub)?)
}

fn join(folder: &str, file: &str) -> String {
    if folder.is_empty() { file.to_owned() } else { format!("{folder}/{file}") }
}

/// What lies directly in a folder, folders with a slash behind, each once.
fn entries(files: &[String], folder: &str) -> Vec<String> {
    let below = |file: &String| {
        let rest = match folder {
            "" => Some(file.as_str()),
            folder => file.strip_prefix(folder)?.strip_prefix('/'),
        };
        Some(match rest?.split_once('/') {
            Some((folder, _)) => format!("{folder}/"),
            None => rest?.to_owned(),
        })
    };
    let mut found: Vec<String> = files.iter().filter_map(below).collect();
    found.dedup();
    found
}

/// Names what lies nearest above a path that is not there.
fn missing(id: &HubId, files: &[String], inside: &str, path: &Path) -> SaeError {
    let mut above = inside;
    while let Some((folder, _)) = above.rsplit_once('/') {
        let found = entries(files, folder);
        if !found.is_empty() {
            let what = format!("no `{inside}`; `{folder}` has {}", listed(&found));
            return SaeError::NotOnHub { path: path.to_owned(), what };
        }
        above = folder;
    }
    let what = format!("no `{inside}`; `{}` has {}", id.repo(), listed(&entries(files, "")));
    SaeError::NotOnHub { path: path.to_owned(), what }
}

fn listed(names: &[String]) -> String {
    first_of(names.iter().map(String::as_str), MAX_LISTED)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_folder_lists_what_is_directly_in_it() {
        let files = ["README.md", "l5/a/cfg.json", "l5/a/sae.safetensors", "l5/b.pt", "l6/c.pt"];
        let files = files.map(str::to_owned);
        assert_eq!(entries(&files, ""), ["README.md", "l5/", "l6/"]);
        assert_eq!(entries(&files, "l5"), ["a/", "b.pt"]);
        assert!(entries(&files, "l").is_empty() && entries(&files, "l5/b.pt").is_empty());
        let id: HubId = "org/saes".parse().unwrap();
        let error = missing(&id, &files, "l5/x.pt", Path::new("hf://org/saes/l5/x.pt")).to_string();
        assert_eq!(error, "`hf://org/saes/l5/x.pt`: there is no `l5/x.pt`; `l5` has a/, b.pt");
        let error = missing(&id, &files, "x", Path::new("hf://org/saes/x")).to_string();
        assert!(error.ends_with("`org/saes` has README.md, l5/, l6/"), "{error}");
    }

    #[test]
    fn a_path_of_this_machine_stands_for_itself_and_a_bad_address_is_refused() {
        assert_eq!(sae_files(Path::new("a/b.pt"), None).unwrap(), Path::new("a/b.pt"));
        for path in ["hf://datasets/org/name/a.pt", "hf://name", "hf://org/saes/l5"] {
            let error = sae_files(Path::new(path), None).unwrap_err();
            assert!(matches!(error, SaeError::Address { .. }), "{error}");
        }
    }
}
