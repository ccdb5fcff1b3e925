//! Text of files on a terminal.

/// A text of the data, so that a terminal shows it and does nothing else: control characters are
/// escaped as Rust writes them.
///
/// # Examples
///
/// ```
/// use attention_probes::errors::escaped;
///
/// assert_eq!(escaped("a\u{1b}[2J\n"), r"a\u{1b}[2J\n");
/// ```
pub fn escaped(text: &str) -> String {
    text.chars().flat_map(escaped_character).collect()
}

/// A character, or what stands for it where a terminal would obey it.
///
/// # Examples
///
/// ```
/// use attention_probes::errors::escaped_character;
///
/// assert_eq!(escaped_character('é').collect::<String>(), "é");
/// assert_eq!(escaped_character('\t').collect::<String>(), r"\t");
/// ```
pub fn escaped_character(c: char) -> impl Iterator<Item = char> {
    let (plain, control) = if c.is_control() { (None, Some(c)) } else { (Some(c), None) };
    plain.into_iter().chain(control.into_iter().flat_map(char::escape_default))
}
