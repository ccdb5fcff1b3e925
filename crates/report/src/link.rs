//! Addresses of other pages.

use crate::ReportError;

/// Checks that an address leads to a file beside or below the page, or is empty.
///
/// What has a scheme, such as `javascript:` or `https:`, or begins at a root or at another machine,
/// would leave the folder of the pages, or run.
pub(crate) fn check_link(
    at: impl Fn() -> String,
    field: &'static str,
    link: &str,
) -> Result<(), ReportError> {
    let leaves = link.starts_with(['/', '\\'])
        || link.contains(':')
        || link.chars().any(|c| c.is_control() || c == '\\')
        || link.trim() != link;
    if leaves {
        return Err(ReportError::Link { at: at(), field, link: link.to_owned() });
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_address_stays_among_the_pages() {
        let check = |link: &str| check_link(|| "page".to_owned(), "link", link);
        for link in ["", "one.html", "samples/one.html#f3", "../sae/page.html", "a b.html?x=1&y=2"]
        {
            assert!(check(link).is_ok(), "{link}");
        }
        for link in [
            "javascript:alert(1)",
            "https://example.org",
            "//example.org/x",
            "/etc/passwd",
            "\\\\host\\x",
            "java\nscript:x",
            " one.html",
            "a\\b.html",
        ] {
            assert!(check(link).is_err(), "{link}");
        }
        let error = check("https://example.org").unwrap_err().to_string();
        assert_eq!(
            error,
            "page: `link` is `https://example.org`, expected an address relative to the page, such \
             as `samples/one.html`"
        );
    }
}
