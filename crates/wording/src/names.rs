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
/// use attention_probes_wording::listed;
///
/// assert_eq!(listed(&["text".to_owned(), "label".to_owned()]), "`text`, `label`");
/// assert_eq!(listed(&[]), "none");
/// ```
pub fn listed(names: &[String]) -> String {
    if names.is_empty() {
        return "none".to_owned();
    }
    let mut list: Vec<String> =
        names.iter().take(MAX_LISTED).map(|name| format!("`{}`", shown(name))).collect();
    if names.len() > MAX_LISTED {
        list.push(format!("and {} more", names.len() - MAX_LISTED));
    }
    list.join(", ")
}

/// A name on one line, its end left out where it is long. Characters that cannot be seen, or that
/// join the one before, are written as in `\u{301}`.
///
/// # Examples
///
/// ```
/// use attention_probes_wording::shown;
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
