//! Configuration files that a person writes, and what is wrong with them.

use std::fmt;
use std::ops::Range;

use serde::de::DeserializeOwned;

use crate::serde_words::{Form, serde_words};

/// Longest line of a configuration that a message shows, in characters.
const MAX_LINE: usize = 200;

/// What is wrong with a configuration file: the line, a caret under the place, and the remedy.
///
/// Prints as several lines.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct TomlError {
    message: String,
    place: Option<Place>,
}

/// Where it is wrong.
#[derive(Clone, Debug, PartialEq, Eq)]
struct Place {
    /// From 1.
    line: usize,
    /// From 1, in characters.
    column: usize,
    /// The line, on one line whatever it holds.
    text: String,
    /// Characters under which there is a caret, at least 1.
    n_carets: usize,
}

impl TomlError {
    /// What is wrong, without the place.
    pub fn message(&self) -> &str {
        &self.message
    }

    /// The line, from 1; `None` where the file as a whole lacks something.
    pub fn line(&self) -> Option<usize> {
        self.place.as_ref().map(|place| place.line)
    }
}

impl std::error::Error for TomlError {}

impl fmt::Display for TomlError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Some(Place { line, column, text, n_carets }) = &self.place else {
            return f.write_str(&self.message);
        };
        let margin = " ".repeat(line.to_string().len());
        writeln!(f, "line {line}, column {column}")?;
        writeln!(f, "{margin} |")?;
        writeln!(f, "{line} | {text}")?;
        writeln!(f, "{margin} | {}{}", " ".repeat(column - 1), "^".repeat(*n_carets))?;
        f.write_str(&self.message)
    }
}

/// Reads a configuration.
///
/// # Errors
///
/// [`TomlError`] if the text is not TOML, lacks a key, or has an unknown key or a value of a wrong
/// type.
///
/// # Examples
///
/// ```
/// use attention_probes::errors::parse_toml;
///
/// #[derive(Debug, serde::Deserialize)]
/// #[serde(deny_unknown_fields)]
/// struct Grid {
///     learning_rates: Vec<f64>,
/// }
///
/// let error = parse_toml::<Grid>("lr = [0.1]").unwrap_err();
/// assert_eq!(
///     error.message(),
///     "unknown key `lr`; did you mean `learning_rates`? keys: `learning_rates`"
/// );
/// ```
pub fn parse_toml<T: DeserializeOwned>(text: &str) -> Result<T, TomlError> {
    toml::from_str(text).map_err(|error| {
        let place = error.span().map(|span| place_of(text, span));
        let table = place.as_ref().and_then(|place| table_of(text, place.line));
        TomlError { message: toml_words(error.message(), place.as_ref(), table), place }
    })
}

/// What is wrong in the words of who writes the file.
fn toml_words(message: &str, place: Option<&Place>, table: Option<&str>) -> String {
    if place.is_some_and(|place| is_yaml(&place.text)) {
        return "this is YAML, and a configuration is TOML: write `key = value`, and `[table]` above \
                the keys that stand indented; docs/formats.md has every key"
            .to_owned();
    }
    let is_header = place.is_some_and(|place| place.text.trim_start().starts_with('['));
    if message == "invalid type: map, expected a sequence"
        && is_header
        && let Some(table) = table
    {
        return format!("`{table}` is a list of tables: write `[[{table}]]`");
    }
    let key = place.and_then(|place| place.text.split_once('=')).map(|(key, _)| key.trim());
    if message.contains(", expected struct ")
        && message.starts_with("invalid type: string")
        && let Some(key) = key.filter(|key| !key.is_empty() && !key.contains(char::is_whitespace))
    {
        return format!("`{key}` is a table: write `[{key}]`, and below it `name = …`");
    }
    let words = serde_words(message, Form::Toml);
    match (table, words.strip_prefix("unknown key ")) {
        // An inline table, in braces, is another one than that of the header above it.
        (Some(table), Some(rest)) if starts_line(place, rest) => {
            let at = rest[1..].find('`').map_or(rest.len(), |at| at + 2);
            format!("unknown key {} in `{table}`{}", &rest[..at], &rest[at..])
        }
        _ => words,
    }
}

/// Whether a line that TOML refuses is one of YAML: `key: value`, an item of a list, or the mark of a
/// document.
fn is_yaml(line: &str) -> bool {
    let line = line.trim();
    let is_name = |key: &str| {
        !key.is_empty() && key.chars().all(|c| c.is_alphanumeric() || matches!(c, '_' | '-' | '.'))
    };
    let is_pair = line
        .split_once(':')
        .is_some_and(|(key, rest)| is_name(key) && (rest.is_empty() || rest.starts_with(' ')));
    line == "---" || line.starts_with("- ") || is_pair
}

/// Whether a line begins with a key, given in backticks.
fn starts_line(place: Option<&Place>, rest: &str) -> bool {
    let name = rest.split('`').nth(1).unwrap_or_default();
    place.is_some_and(|place| place.text.trim_start().starts_with(name))
}

/// The line and column of a part of a text.
fn place_of(text: &str, span: Range<usize>) -> Place {
    let end = (0..=span.start.min(text.len())).rev().find(|at| text.is_char_boundary(*at));
    let (before, after) = text.split_at(end.unwrap_or(0));
    let line_start = before.rfind('\n').map_or(0, |at| at + 1);
    let line_text = text[line_start..].lines().next().unwrap_or_default();
    let column = before[line_start..].chars().count() + 1;
    let rest_of_line = after.lines().next().unwrap_or_default().chars().count();
    let marked = text.get(before.len()..span.end).map_or(1, |marked| marked.chars().count());
    // A line may be long, or hold what a terminal takes for commands.
    let shown: String = line_text
        .chars()
        .take(MAX_LINE.max(column))
        .map(|c| if c.is_control() { ' ' } else { c })
        .collect();
    Place {
        line: before.matches('\n').count() + 1,
        column,
        n_carets: marked.min(rest_of_line).clamp(1, MAX_LINE),
        text: shown,
    }
}

/// The table that a line is of, as its header calls it.
fn table_of(text: &str, line: usize) -> Option<&str> {
    let headers = text.lines().take(line).filter(|line| line.trim_start().starts_with('['));
    // A line of a list of lists begins so too, but does not name a table.
    let is_name = |name: &&str| {
        !name.is_empty() && name.chars().all(|c| c.is_alphanumeric() || "_-.\"".contains(c))
    };
    headers
        .filter_map(|line| {
            let line = line.split('#').next().unwrap_or_default().trim();
            let inner = line.trim_start_matches('[').trim_end_matches(']').trim();
            (line.ends_with(']') && !inner.starts_with(|c: char| c.is_ascii_digit()))
                .then_some(inner)
        })
        .filter(is_name)
        .last()
}

#[cfg(test)]
mod tests {
    use serde::Deserialize;

    use super::*;

    #[derive(Debug, Default, Deserialize)]
    #[serde(default, deny_unknown_fields)]
    struct Config {
        run: String,
        model: Model,
        data: Vec<Model>,
    }

    #[derive(Debug, Default, Deserialize)]
    #[serde(default, deny_unknown_fields)]
    struct Model {
        name: String,
        epochs: usize,
        on: bool,
    }

    const YAML: &str = "this is YAML, and a configuration is TOML: write `key = value`, and \
                        `[table]` above the keys that stand indented; docs/formats.md has every key";

    fn error(text: &str) -> TomlError {
        parse_toml::<Config>(text).map(|config| (config.model, config.data)).unwrap_err()
    }

    #[test]
    fn a_wrong_configuration_is_told_with_its_remedy() {
        for (text, expected) in [
            ("[data]\nname = \"a\"", "`data` is a list of tables: write `[[data]]`"),
            (
                "run = \"a\"\nmodel = \"demo-gpt2\"",
                "`model` is a table: write `[model]`, and below it `name = …`",
            ),
            (
                "[model]\nnmae = \"a\"",
                "unknown key `nmae` in `model`; did you mean `name`? keys: `name`, `epochs`, `on`",
            ),
            ("colour = 1", "unknown key `colour`; keys: `run`, `model`, `data`"),
            ("[model]\nepochs = -1", "it is `-1`, expected a whole number of at least 0"),
            ("[model]\nepochs = 1.5", "it is `1.5`, expected a whole number of at least 0"),
            ("[model]\nepochs = [3]", "it is a list, expected a whole number of at least 0"),
            ("[model]\non = \"yes\"", "it is \"yes\", expected true or false"),
            ("run = 3", "it is `3`, expected text in quotes"),
            ("run: a\nmodel:\n  name: b\n", YAML),
            ("# a comment\n---\nrun: a", YAML),
            ("data:\n  - name: a", YAML),
            ("data = 3", "it is `3`, expected a list"),
        ] {
            assert_eq!(error(text).message(), expected, "{text}");
        }
    }

    #[test]
    fn the_place_has_a_caret_and_no_commands_for_a_terminal() {
        let shown = error("run = \"a\"\n[model]\n\u{1b}x").to_string();
        assert!(!shown.contains('\u{1b}') && shown.contains("line 3"), "{shown}");
        let error = error("run = \"a\"\n[model]\nnäme = 3\n");
        assert_eq!(error.line(), Some(3));
        let shown = error.to_string();
        assert!(shown.starts_with("line 3, column 2\n  |\n3 | näme = 3\n  |  ^"), "{shown}");
    }

    #[test]
    fn every_cut_of_a_configuration_has_a_place_in_it() {
        let text = "run = \"ä\"\n[model]\nname = '''a\nb'''\n[[data]]\nname = \"b\"\nepochs = 3\n";
        for at in (0..text.len()).filter(|at| text.is_char_boundary(*at)) {
            if let Err(error) = parse_toml::<Config>(&text[..at]) {
                assert!(error.line().is_none_or(|line| line <= 8), "{error}");
                assert!(!error.to_string().contains("struct"), "{error}");
            }
        }
    }
}
