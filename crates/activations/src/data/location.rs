//! Where labelled text lies: a file of this machine, or a data set of the Hub.

use std::path::{Path, PathBuf};

use attention_probes_models::{HubAccess, HubAddress};

use super::split_files::files_of_split;
use crate::ActivationError;

/// Whether a path is an address of the Hub, `hf://…`, and not one of this machine.
pub fn is_on_hub(path: &Path) -> bool {
    HubAddress::is_one(path)
}

/// The files that a path stands for, in order.
///
/// A path of this machine stands for itself. `hf://datasets/org/name[@revision][/path]` stands for
/// a file of a data set, or for the files of `split` below a folder of it; they are downloaded
/// unless the cache has them.
///
/// # Errors
///
/// - [`ActivationError::Location`] if an address is none of a data set
/// - [`ActivationError::SplitFiles`] if no files, or files that do not belong together, are of `split`
/// - [`ActivationError::Hub`] if the Hub does not hand them out, or there is none
///
/// # Examples
///
/// ```
/// use std::path::{Path, PathBuf};
///
/// use attention_probes::activations::data_files;
///
/// let files = data_files(Path::new("reviews.csv"), "train", None)?;
/// assert_eq!(files, [PathBuf::from("reviews.csv")]);
/// # Ok::<(), attention_probes::activations::ActivationError>(())
/// ```
pub fn data_files(
    path: &Path,
    split: &str,
    hub: Option<&HubAccess>,
) -> Result<Vec<PathBuf>, ActivationError> {
    if !is_on_hub(path) {
        return Ok(vec![path.to_owned()]);
    }
    let refuse = || ActivationError::Location { path: path.to_owned() };
    let failed = |error| ActivationError::Hub { path: path.to_owned(), source: Box::new(error) };
    let HubAddress { id, path: inside } = of_data_set(path).ok_or_else(refuse)?;
    let hub = hub.ok_or_else(refuse)?;
    let names = if is_data_file(&inside) {
        vec![inside]
    } else {
        let mut names = hub.files(&id).map_err(failed)?;
        names.retain(|name| is_data_file(name) && is_below(name, &inside));
        files_of_split(names, &inside, split).map_err(|fault| ActivationError::SplitFiles {
            path: path.to_owned(),
            split: split.to_owned(),
            fault,
        })?
    };
    names.iter().map(|name| hub.file(&id, name).map_err(failed)).collect()
}

/// What a data set of the Hub is called in results: its last part without an ending, else the name
/// of its repository.
pub fn data_name(path: &Path) -> Option<String> {
    if !is_on_hub(path) {
        return Some(path.file_stem()?.to_string_lossy().into_owned());
    }
    let HubAddress { id, path: inside } = of_data_set(path)?;
    let last = if inside.is_empty() { id.repo() } else { &inside };
    let last = last.rsplit('/').next()?;
    Some(last.rsplit_once('.').filter(|_| is_data_file(last)).map_or(last, |(stem, _)| stem).into())
}

/// The address of a data set.
fn of_data_set(path: &Path) -> Option<HubAddress> {
    HubAddress::parse(path).filter(|address| address.id.is_data_set())
}

/// Whether a file is of a form that is read, by its name.
fn is_data_file(name: &str) -> bool {
    let extension = name.rsplit_once('.').map(|(_, extension)| extension.to_ascii_lowercase());
    extension.is_some_and(|extension| super::table::EXTENSIONS.contains(&&*extension))
}

fn is_below(name: &str, folder: &str) -> bool {
    let rest = name.strip_prefix(folder);
    folder.is_empty() || rest.is_some_and(|rest| rest.starts_with('/'))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_data_set_is_called_by_the_last_part_of_its_path() {
        for (path, name) in [
            ("data/reviews.csv", "reviews"),
            ("hf://datasets/org/name@v1", "name"),
            ("hf://datasets/org/glue/sst2", "sst2"),
            ("hf://datasets/org/name/a/train.v2.csv", "train.v2"),
        ] {
            assert_eq!(data_name(Path::new(path)).as_deref(), Some(name));
        }
    }

    #[test]
    fn without_a_hub_an_address_is_refused() {
        for path in ["hf://datasets/org/name", "hf://spaces/org/name"] {
            let error = data_files(Path::new(path), "train", None).unwrap_err();
            assert!(matches!(error, ActivationError::Location { .. }), "{error}");
        }
        assert!(is_on_hub(Path::new("hf://x")) && !is_on_hub(Path::new("hf:/x")));
    }
}
