//! Addresses of what lies on the Hub.

use std::path::Path;

use super::HubId;

/// How an address begins.
const SCHEME: &str = "hf://";

/// How the address of a data set goes on.
const DATASETS: &str = "datasets/";

/// How the addresses of neither models nor data sets go on.
const OTHERS: [&str; 2] = ["spaces/", "buckets/"];

/// Revisions with slashes in them, which are part of the revision and not of a path.
const LONG_REVISIONS: [&str; 2] = ["refs/convert/", "refs/pr/"];

/// A place in a repository of the Hub, as Hugging Face's programs write it:
/// `hf://OWNER/REPO[@revision][/path]`, or `hf://datasets/OWNER/REPO[@revision][/path]` in a data set.
///
/// # Examples
///
/// ```
/// use std::path::Path;
///
/// use attention_probes::models::HubAddress;
///
/// let address = HubAddress::parse(Path::new("hf://jbloom/saes@v2/layer_5")).unwrap();
/// assert_eq!((address.id.repo(), address.id.revision()), ("jbloom/saes", "v2"));
/// assert_eq!(address.path, "layer_5");
/// assert!(HubAddress::parse(Path::new("hf://spaces/org/name")).is_none());
/// ```
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct HubAddress {
    /// The repository.
    pub id: HubId,
    /// A file or folder in it; empty for the whole.
    pub path: String,
}

impl HubAddress {
    /// Whether a path is meant to be one, and not one of this machine.
    pub fn is_one(path: &Path) -> bool {
        path.to_str().is_some_and(|text| text.starts_with(SCHEME))
    }

    /// Reads an address; `None` if the path is none, or names no repository.
    pub fn parse(path: &Path) -> Option<Self> {
        let address = path.to_str()?.strip_prefix(SCHEME)?.trim_end_matches('/');
        if OTHERS.iter().any(|other| address.starts_with(other)) {
            return None;
        }
        let in_data_set = address.strip_prefix(DATASETS);
        let (name, path) = parts(in_data_set.unwrap_or(address));
        let id: HubId = name.parse().ok()?;
        // Of a model, a sole name would be taken for the owner.
        if in_data_set.is_none() && !id.repo().contains('/') {
            return None;
        }
        let path = path.trim_start_matches('/').to_owned();
        let is_plain = path.split('/').all(|part| part != "." && part != "..");
        let id = if in_data_set.is_some() { id.data_set() } else { id };
        is_plain.then_some(Self { id, path })
    }
}

/// The repository with its revision, and what stands behind.
fn parts(address: &str) -> (String, &str) {
    match address.split_once('@') {
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
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn parse(address: &str) -> Option<HubAddress> {
        HubAddress::parse(Path::new(&format!("hf://{address}")))
    }

    #[test]
    fn addresses_have_a_repository_perhaps_a_revision_and_perhaps_a_path() {
        for (address, id, path) in [
            ("datasets/org/name", "org/name", ""),
            ("datasets/org/name/", "org/name", ""),
            ("datasets/squad", "squad", ""),
            ("datasets/org/name/a/b.csv", "org/name", "a/b.csv"),
            ("datasets/org/name@v1/a", "org/name@v1", "a"),
            ("datasets/org/name@refs/convert/parquet/a", "org/name@refs/convert/parquet", "a"),
            ("datasets/org/name@refs%2Fpr%2F1", "org/name@refs/pr/1", ""),
            ("datasets/org/name/a@b.csv", "org/name", "a@b.csv"),
            ("org/name", "org/name", ""),
            ("org/name/a/b.pt", "org/name", "a/b.pt"),
            ("org/name@v1/b_lr1.20e-03.pt", "org/name@v1", "b_lr1.20e-03.pt"),
        ] {
            let found = parse(address).unwrap();
            assert_eq!((found.id.to_string().as_str(), found.path.as_str()), (id, path));
            assert_eq!(found.id.is_data_set(), address.starts_with("datasets/"), "{address}");
        }
        for address in [
            "",
            "name",
            "datasets/",
            "datasets//name",
            "datasets/org/name@",
            "spaces/org/name",
            "datasets/org/name/../x.csv",
            "datasets/../name/x",
            "datasets/org/name@../x/a.csv",
            "org/name/../x.pt",
        ] {
            assert_eq!(parse(address), None, "{address}");
        }
    }
}
