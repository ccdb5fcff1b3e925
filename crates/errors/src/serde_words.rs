//! Messages of the library that turns files into structs, in the words of who writes the files.

use crate::names::first_of;
use crate::{did_you_mean, nearest};

/// Most names that a message lists.
const MAX_LISTED: usize = 40;

/// What kind of file it is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Form {
    /// TOML has tables.
    Toml,
    /// JSON has objects.
    Json,
}

impl Form {
    fn map(self) -> &'static str {
        match self {
            Self::Toml => "a table",
            Self::Json => "an object",
        }
    }
}

/// A message about a value, without types of the program.
pub(crate) fn serde_words(message: &str, form: Form) -> String {
    if let Some(rest) = message.strip_prefix("unknown field ") {
        return unknown(rest, "unknown key", "keys");
    }
    if let Some(rest) = message.strip_prefix("unknown variant ") {
        return unknown(rest, "unknown word", "known");
    }
    if let Some(name) = message.strip_prefix("missing field ") {
        return format!("{name} is missing");
    }
    if let Some(name) = message.strip_prefix("duplicate field ") {
        return format!("{name} stands twice");
    }
    if message.starts_with("data did not match any variant") {
        return "it has none of the forms that are read".to_owned();
    }
    let kinds = ["invalid type: ", "invalid value: "];
    if let Some(rest) = kinds.iter().find_map(|kind| message.strip_prefix(kind))
        && let Some((found, expected)) = rest.rsplit_once(", expected ")
    {
        return format!(
            "it is {}, expected {}",
            found_words(found, form),
            expected_words(expected, form)
        );
    }
    if let Some(rest) = message.strip_prefix("invalid length ")
        && let Some((length, expected)) = rest.split_once(", expected ")
    {
        let expected = expected_words(expected, form);
        let s = if length == "1" { "" } else { "s" };
        return format!("it has {length} value{s}, expected {expected}");
    }
    message.to_owned()
}

/// A name that is not known, the near one, and all.
fn unknown(rest: &str, what: &str, list: &str) -> String {
    let (name, expected) = rest.split_once(", ").unwrap_or((rest, ""));
    let names: Vec<&str> = expected.split('`').skip(1).step_by(2).collect();
    if names.is_empty() {
        return format!("{what} {name}, remove it");
    }
    let near = did_you_mean(nearest(name.trim_matches('`'), names.iter().copied()));
    let listed = first_of(names.iter().map(|name| format!("`{name}`")), MAX_LISTED);
    if near.is_empty() {
        format!("{what} {name}; {list}: {listed}")
    } else {
        format!("{what} {name}{near} {list}: {listed}")
    }
}

/// What stands there.
fn found_words(found: &str, form: Form) -> String {
    for kind in ["integer ", "floating point ", "boolean ", "character ", "string "] {
        if let Some(value) = found.strip_prefix(kind) {
            // A number beyond 64 bits.
            let beyond = [" as i128", " as u128"].iter().find_map(|end| value.strip_suffix(end));
            return beyond.unwrap_or(value).to_owned();
        }
    }
    match found {
        "sequence" => "a list",
        "map" => form.map(),
        "unit value" | "null" | "Option value" => "null",
        "byte array" => "bytes",
        "enum" | "unit variant" | "newtype variant" | "tuple variant" | "struct variant" => {
            "a word"
        }
        found => return found.to_owned(),
    }
    .to_owned()
}

/// What would have been accepted.
fn expected_words(expected: &str, form: Form) -> String {
    let words = match expected {
        "a sequence" => "a list",
        "a map" => form.map(),
        "a boolean" => "true or false",
        "a string" | "string" | "a borrowed string" | "path string" | "a character" => {
            "text in quotes"
        }
        "u8" => "a whole number from 0 to 255",
        "u16" => "a whole number from 0 to 65535",
        "u32" | "u64" | "u128" | "usize" => "a whole number of at least 0",
        "i8" | "i16" | "i32" | "i64" | "i128" | "isize" => "a whole number",
        "f32" | "f64" => "a number",
        "a nonzero usize" | "a nonzero u32" | "a nonzero u64" => "a whole number of at least 1",
        "unit" => "null",
        "variant identifier" | "field identifier" | "string or map" | "string or table" => "a word",
        other => return sized_words(other, form).unwrap_or_else(|| other.to_owned()),
    };
    words.to_owned()
}

/// Structs and lists of a fixed length.
fn sized_words(expected: &str, form: Form) -> Option<String> {
    let starts = |prefix: &str| expected.starts_with(prefix);
    if starts("struct ") || starts("internally tagged enum") || starts("adjacently tagged enum") {
        return Some(form.map().to_owned());
    }
    if starts("enum ") {
        return Some("a word".to_owned());
    }
    let is_list = starts("tuple ")
        || starts("a tuple of size ")
        || starts("an array of length ")
        || starts("an array of size ");
    let n = expected.split(' ').find_map(|word| word.parse::<usize>().ok());
    is_list.then(|| n.map_or_else(|| "a list".to_owned(), |n| format!("a list of {n} values")))
}
