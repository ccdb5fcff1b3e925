//! How messages show names from outside.

/// Most names that a message lists.
const MAX_LISTED: usize = 12;

/// Most characters of a name that a message shows.
const MAX_SHOWN: usize = 40;

/// Names in backticks, cut to what a person reads.
///
/// # Examples
///
/// ```
/// use attention_probes::errors::listed;
///
/// assert_eq!(listed(&["text".to_owned(), "label".to_owned()]), "`text`, `label`");
/// assert_eq!(listed(&[]), "none");
/// ```
pub fn listed(names: &[String]) -> String {
    if names.is_empty() {
        return "none".to_owned();
    }
    first_of(names.iter().map(|name| format!("`{}`", shown(name))), MAX_LISTED)
}

/// The first `most` words with commas between them, and how many more there are.
///
/// # Examples
///
/// ```
/// use attention_probes::errors::first_of;
///
/// assert_eq!(first_of(["a", "b", "c"].into_iter(), 2), "a, b, and 1 more");
/// assert_eq!(first_of(["a", "b"].into_iter(), 2), "a, b");
/// ```
pub fn first_of(words: impl ExactSizeIterator<Item = impl Into<String>>, most: usize) -> String {
    let n_more = words.len().saturating_sub(most);
    let mut list: Vec<String> = words.take(most).map(Into::into).collect();
    if n_more > 0 {
        list.push(format!("and {n_more} more"));
    }
    list.join(", ")
}

/// Whether a name can be that of a folder or a file on any system: 1 to 100 letters, digits, `-`,
/// `_`, and `.`, not beginning with a point.
///
/// # Examples
///
/// ```
/// use attention_probes::errors::is_plain_name;
///
/// assert!(is_plain_name("gpt2-L05"));
/// assert!(!is_plain_name("../up") && !is_plain_name(".hidden") && !is_plain_name(""));
/// ```
pub fn is_plain_name(name: &str) -> bool {
    let is_plain = |c: char| c.is_ascii_alphanumeric() || "-_.".contains(c);
    (1..=100).contains(&name.len()) && name.chars().all(is_plain) && !name.starts_with('.')
}

/// A name on one line, its end left out where it is long. Characters that cannot be seen, or that
/// join the one before, are written as in `\u{301}`.
///
/// # Examples
///
/// ```
/// use attention_probes::errors::shown;
///
/// assert_eq!(shown("caf\u{e9}"), "caf\u{e9}");
/// assert_eq!(shown("cafe\u{301}\n"), "cafe\\u{301}\\n");
/// ```
pub fn shown(name: &str) -> String {
    let escape = |c: char| match c {
        '"' | '\'' | '\\' => c.to_string(),
        c => c.escape_debug().to_string(),
    };
    let mut shown: String = name.chars().take(MAX_SHOWN).map(escape).collect();
    if name.chars().nth(MAX_SHOWN).is_some() {
        shown.push('…');
    }
    shown
}
