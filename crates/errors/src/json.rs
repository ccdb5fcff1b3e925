//! What the JSON reader says, in plain words.

use serde_json::error::Category;

use crate::serde_words::{Form, serde_words};

/// Where a JSON text is wrong, and what is expected there.
///
/// # Examples
///
/// ```
/// use attention_probes::errors::json_words;
///
/// let error = serde_json::from_str::<Vec<u32>>("[1, {}]").unwrap_err();
/// assert_eq!(
///     json_words(&error),
///     "column 4: it is an object, expected a whole number of at least 0"
/// );
/// ```
pub fn json_words(error: &serde_json::Error) -> String {
    let text = error.to_string();
    // The place stands at the end of the message, and is none where a value was read, not a text.
    let (line, column) = (error.line(), error.column());
    let message = text.strip_suffix(&format!(" at line {line} column {column}")).unwrap_or(&text);
    let words = match error.classify() {
        Category::Eof => "it ends early".to_owned(),
        Category::Data => serde_words(message, Form::Json),
        Category::Io => match message.find(" (os error ") {
            Some(at) => message[..at].to_lowercase(),
            None => message.to_owned(),
        },
        Category::Syntax if message.contains("recursion limit") => {
            "it is nested too deep".to_owned()
        }
        Category::Syntax => format!("it is not JSON: {message}"),
    };
    match line {
        _ if error.is_eof() => words,
        0 => words,
        // A line of a larger file is read as a text of its own, and many files have one line only.
        1 => format!("column {column}: {words}"),
        _ => format!("line {line}, column {column}: {words}"),
    }
}

#[cfg(test)]
mod tests {
    use serde::Deserialize;
    use serde_json::from_str;

    use super::*;

    #[derive(Debug, Deserialize)]
    #[serde(deny_unknown_fields)]
    struct Shape {
        #[expect(dead_code, reason = "only errors are looked at")]
        d_model: usize,
        #[expect(dead_code, reason = "only errors are looked at")]
        kind: Option<Kind>,
    }

    #[derive(Debug, Deserialize)]
    #[serde(untagged)]
    enum Kind {
        #[expect(dead_code, reason = "only errors are looked at")]
        Word(String),
    }

    #[test]
    fn a_wrong_json_is_told_with_line_and_remedy() {
        for (text, expected) in [
            ("", "it ends early"),
            ("{\"d_model\": 1", "it ends early"),
            ("{,}", "column 2: it is not JSON: key must be a string"),
            ("{}", "column 2: `d_model` is missing"),
            ("{\"d_model\": -1}", "column 14: it is `-1`, expected a whole number of at least 0"),
            ("3", "column 1: it is `3`, expected an object"),
            (
                "{\"d_modle\": 1}",
                "column 10: unknown key `d_modle`; did you mean `d_model`? keys: `d_model`, \
                 `kind`",
            ),
            (
                "{\"d_model\": 1,\n\"kind\": 3}",
                "line 2, column 10: it has none of the forms that are read",
            ),
        ] {
            let words = json_words(&from_str::<Shape>(text).unwrap_err());
            assert_eq!(words, expected, "{text}");
        }
        let deep = "[".repeat(500);
        let words = json_words(&from_str::<serde_json::Value>(&deep).unwrap_err());
        assert_eq!(words, "column 128: it is nested too deep");
    }

    #[test]
    fn a_value_in_memory_has_no_line() {
        let error = serde_json::from_value::<bool>(serde_json::json!("a")).unwrap_err();
        assert_eq!(json_words(&error), "it is \"a\", expected true or false");
    }
}
