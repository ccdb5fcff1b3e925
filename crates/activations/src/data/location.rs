//! Where labelled text lies: a file of this machine, or a data set of the Hub.

use std::path::{Path, PathBuf};

use attention_probes_models::{HubAccess, HubId};

use super::split_files::files_of_split;
use crate::ActivationError;

/// How the address of a data set begins.
const SCHEME: &str = "hf://";

/// Folder of the Hub that holds data sets.
const DATASETS: &str = "datasets/";

/// Revisions with slashes in them, which are part of the revision and not of a path.
const LONG_REVISIONS: [&str; 2] = ["refs/convert/", "refs/pr/"];

/// Whether a path is an address of the Hub, `hf://…`, and not one of this machine.
pub fn is_on_hub(path: &Path) -> bool {
    path.to_str().is_some_and(|text| text.starts_with(SCHEME))
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
    let Some(address) = path.to_str().and_then(|text| text.strip_prefix(SCHEME)) else {
        return Ok(vec![path.to_owned()]);
    };
    let refuse = || ActivationError::Location { path: path.to_owned() };
    let failed = |error| ActivationError::Hub { path: path.to_owned(), source: Box::new(error) };
    let HubPath { id, inside } = parse(address).ok_or_else(refuse)?;
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
    let address = path.to_str()?.strip_prefix(SCHEME);
    let Some(address) = address else {
        return Some(path.file_stem()?.to_string_lossy().into_owned());
    };
    let HubPath { id, inside } = parse(address)?;
    let last = if inside.is_empty() { id.repo() } else { &inside };
    let last = last.rsplit('/').next()?;
    Some(last.rsplit_once('.').filter(|_| is_data_file(last)).map_or(last, |(stem, _)| stem).into())
}

/// A place in a repository.
#[derive(Debug, PartialEq, Eq)]
struct HubPath {
    id: HubId,
    /// A file or folder in it; empty for the whole.
    inside: String,
}

/// Reads what stands behind `hf://`.
fn parse(address: &str) -> Option<HubPath> {
    let address = address.strip_prefix(DATASETS)?.trim_end_matches('/');
    let (name, inside) = match address.split_once('@') {
        // An `@` in the path of a file is none before a revision.
        Some((repo, rest)) if repo.matches('/').count() <= 1 => {
            let prefix = LONG_REVISIONS.iter().find(|prefix| rest.starts_with(**prefix));
            let after = prefix.map_or(0, |prefix| prefix.len());
            let end = rest[after..].find('/').map_or(rest.len(), |slash| after + slash);
            let revision = rest[..end].replace("%2F", "/");
            (format!("{repo}@{revision}"), &rest[end..])
        }
        _ => {
            let slash = address.match_indices('/').nth(1).map_or(address.len(), |(at, _)| at);
            (address[..slash].to_owned(), &address[slash..])
        }
    };
    let id: HubId = name.parse().ok()?;
    let inside = inside.trim_start_matches('/').to_owned();
    let is_plain = inside.split('/').all(|part| part != "." && part != "..");
    is_plain.then(|| HubPath { id: id.data_set(), inside })
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
    fn addresses_have_a_repository_perhaps_a_revision_and_perhaps_a_path() {
        for (address, id, inside) in [
            ("datasets/org/name", "org/name", ""),
            ("datasets/org/name/", "org/name", ""),
            ("datasets/squad", "squad", ""),
            ("datasets/org/name/a/b.csv", "org/name", "a/b.csv"),
            ("datasets/org/name@v1/a", "org/name@v1", "a"),
            ("datasets/org/name@refs/convert/parquet/a", "org/name@refs/convert/parquet", "a"),
            ("datasets/org/name@refs%2Fpr%2F1", "org/name@refs/pr/1", ""),
            ("datasets/org/name/a@b.csv", "org/name", "a@b.csv"),
        ] {
            let found = parse(address).unwrap();
            assert_eq!((found.id.to_string().as_str(), found.inside.as_str()), (id, inside));
        }
        for address in [
            "",
            "org/name",
            "datasets/",
            "datasets//name",
            "datasets/org/name@",
            "models/org/name",
            "datasets/org/name/../x.csv",
            "datasets/../name/x",
            "datasets/org/name@../x/a.csv",
        ] {
            assert_eq!(parse(address), None, "{address}");
        }
    }

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
