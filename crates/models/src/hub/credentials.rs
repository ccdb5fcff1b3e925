//! The name and password that may stand in an address, apart from it, so that no message has them.

/// An address without the name and password in it, and these: `user:password`.
pub(super) fn without_credentials(url: &str) -> (String, Option<&str>) {
    let start = url.find("://").map_or(0, |scheme| scheme + 3);
    let rest = &url[start..];
    let end = rest.find(['/', '?', '#']).unwrap_or(rest.len());
    match rest[..end].rsplit_once('@') {
        Some((credentials, host)) => {
            (format!("{}{host}{}", &url[..start], &rest[end..]), Some(credentials))
        }
        None => (url.to_owned(), None),
    }
}

/// The opposite of [`without_credentials`].
#[cfg(feature = "hub")]
pub(super) fn with_credentials(url: &str, credentials: &str) -> String {
    url.replacen("://", &format!("://{credentials}@"), 1)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn credentials_stand_before_the_host() {
        let url = "https://me:p%40ss@h.co:1/a@b?c@d";
        let (plain, credentials) = without_credentials(url);
        assert_eq!((&*plain, credentials), ("https://h.co:1/a@b?c@d", Some("me:p%40ss")));
        assert_eq!(without_credentials(&plain), (plain.clone(), None));
        #[cfg(feature = "hub")]
        assert_eq!(with_credentials(&plain, "me:p%40ss"), url);
    }
}
