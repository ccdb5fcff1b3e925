//! Addresses: made of names, joined to redirects, compared.

use std::fmt::Write;

use crate::hub::HubId;
use crate::hub::id::RepoKind;

/// The page of a repository, for people.
pub(super) fn page(endpoint: &str, id: &HubId) -> String {
    match id.kind() {
        RepoKind::Model => format!("{endpoint}/{}", id.repo()),
        RepoKind::DataSet => format!("{endpoint}/datasets/{}", id.repo()),
    }
}

/// Where the Hub says which files a revision of a repository has.
pub(super) fn listing(endpoint: &str, id: &HubId, revision: &str) -> String {
    let mut url = format!("{endpoint}/api/{}/{}/revision/", id.kind().plural(), id.repo());
    escape(revision, "", &mut url);
    url
}

/// Where a file of a repository is handed out.
pub(super) fn file(endpoint: &str, id: &HubId, revision: &str, file: &str) -> String {
    let mut url = format!("{}/resolve/", page(endpoint, id));
    escape(revision, "", &mut url);
    url.push('/');
    escape(file, "/", &mut url);
    url
}

/// Writes a text with `%XX` for all but plain characters and those `also` plain.
fn escape(text: &str, also: &str, url: &mut String) {
    for byte in text.bytes() {
        let c = char::from(byte);
        if c.is_ascii_alphanumeric() || "-._~".contains(c) || also.contains(c) {
            url.push(c);
        } else {
            let _ = write!(url, "%{byte:02X}"); // a string takes whatever is written
        }
    }
}

/// Scheme, host, and port of an address; `None` if it is not one of HTTP.
pub(super) fn origin(url: &str) -> Option<&str> {
    let host = ["https://", "http://"].iter().find_map(|scheme| url.strip_prefix(scheme))?;
    let host_length = host.find(['/', '?', '#']).unwrap_or(host.len());
    (host_length > 0).then(|| &url[..url.len() - host.len() + host_length])
}

/// Where a redirect leads, relative to the address that gave it.
///
/// `None` if it is not one that is followed: no address of HTTP, or from `https` to `http`.
pub(super) fn redirect(from: &str, location: &str) -> Option<String> {
    let base = origin(from)?;
    let target = match location {
        location if location.starts_with("//") => {
            format!("{}:{location}", base.split(':').next().unwrap_or_default())
        }
        location if location.starts_with('/') => format!("{base}{location}"),
        location => location.to_owned(),
    };
    let is_downgrade = from.starts_with("https:") && !target.starts_with("https:");
    (origin(&target).is_some() && !is_downgrade).then_some(target)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_cannot_change_the_shape_of_an_address() {
        let id: HubId = "org/name".parse().unwrap();
        assert_eq!(
            file("http://h:1", &id, "refs/pr/1", "data/a b?#%.json"),
            "http://h:1/org/name/resolve/refs%2Fpr%2F1/data/a%20b%3F%23%25.json"
        );
        let data = id.data_set();
        assert_eq!(file("http://h", &data, "v", "a"), "http://h/datasets/org/name/resolve/v/a");
        assert_eq!(
            listing("http://h", &data, "a/b"),
            "http://h/api/datasets/org/name/revision/a%2Fb"
        );
    }

    #[test]
    fn an_origin_ends_where_the_path_begins() {
        assert_eq!(origin("https://h.co/a?b"), Some("https://h.co"));
        assert_eq!(origin("http://h:1?x=/y"), Some("http://h:1"));
        // What stands before an `@` is no host.
        assert_ne!(origin("https://h.co@evil.co/"), origin("https://h.co/"));
        for url in ["", "h.co", "ftp://h.co", "https://", "https:///x"] {
            assert_eq!(origin(url), None, "{url}");
        }
    }

    #[test]
    fn redirects_are_joined_and_never_lose_encryption() {
        let to = |location| redirect("https://h.co/a/b", location);
        assert_eq!(to("/c"), Some("https://h.co/c".to_owned()));
        assert_eq!(to("//cdn.co/c"), Some("https://cdn.co/c".to_owned()));
        assert_eq!(to("https://cdn.co/c"), Some("https://cdn.co/c".to_owned()));
        for location in ["http://h.co/c", "c", "", "file:///etc/passwd"] {
            assert_eq!(to(location), None, "{location}");
        }
        assert!(redirect("http://h:1/a", "http://h:2/b").is_some());
    }
}
