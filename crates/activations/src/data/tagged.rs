//! Words with a tag each, out of JSON Lines files.

use std::collections::HashMap;
use std::path::Path;

use serde_json::Value;

use super::classes::{grouped, sorted_classes};
use super::json_lines::{JsonLines, JsonRow, kind_of, name_from};
use super::row::is_empty;
use crate::{ActivationError, Dataset, TableError, Word};

/// Which columns of a file of tagged words to read.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct TaggedConfig {
    /// Column of the words, a list of strings. Default `tokens`.
    pub tokens: String,
    /// Column of the tags, as many as words; a tag of `null` is none. Without it no word has a tag.
    /// A string such as `POSITIONAL|0:4:noun|9:12:verb` gives places and tags together, in bytes of
    /// the text. Default `tags`.
    pub tags: Option<String>,
    /// Column of the text, which is read only with `offsets` or where tags have places of their own.
    /// Default `text`.
    pub text: String,
    /// Column of the place of each word in the text, `[start, end]` in characters, instead of the
    /// words. Default none.
    pub offsets: Option<String>,
    /// Column of the group, if there is one. Default none.
    pub group: Option<String>,
}

impl Default for TaggedConfig {
    fn default() -> Self {
        Self {
            tokens: "tokens".to_owned(),
            tags: Some("tags".to_owned()),
            text: "text".to_owned(),
            offsets: None,
            group: None,
        }
    }
}

/// One text before its tags are numbered.
struct TaggedRow {
    text: String,
    /// Start and end of each word in bytes, and its tag.
    words: Vec<(usize, usize, Option<String>)>,
    group: Option<String>,
}

impl Dataset {
    /// Reads `.jsonl` files of tagged words, whose rows follow each other.
    ///
    /// Words are joined with a space between each two, and hold no white space, so that the text
    /// gives them back; with [`TaggedConfig::offsets`] the text is the file's own. Rows without a
    /// word are left out and counted.
    ///
    /// # Errors
    ///
    /// - [`ActivationError::File`] if a file cannot be read
    /// - [`ActivationError::Table`] if it is malformed, or its columns or a row do not fit the
    ///   config; [`TableError`] lists the cases
    /// - [`ActivationError::NoText`] if there is no word
    /// - [`ActivationError::OneClass`] if tags are asked for and all alike, or there is none
    ///
    /// # Memory
    ///
    /// The texts.
    ///
    /// # Examples
    ///
    /// ```
    /// use attention_probes::activations::{Dataset, TaggedConfig};
    ///
    /// let folder = tempfile::tempdir()?;
    /// let path = folder.path().join("tags.jsonl");
    /// std::fs::write(&path, r#"{"tokens": ["cats", "sleep"], "tags": ["NOUN", "VERB"]}"#)?;
    /// let dataset = Dataset::read_tagged("tags", &[path], &TaggedConfig::default())?;
    /// assert_eq!(dataset.texts, ["cats sleep"]);
    /// assert_eq!(dataset.classes, ["NOUN", "VERB"]);
    /// assert_eq!((dataset.words[0][1].start, dataset.words[0][1].label), (5, Some(1)));
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    pub fn read_tagged(
        name: &str,
        paths: &[impl AsRef<Path>],
        config: &TaggedConfig,
    ) -> Result<Self, ActivationError> {
        let shown = match paths {
            [path] => path.as_ref().display().to_string(),
            _ => name.to_owned(),
        };
        let (mut rows, mut source_rows, mut n_rows) = (Vec::new(), Vec::new(), 0);
        let mut hashes = Vec::new();
        for path in paths {
            let path = path.as_ref();
            TableError::refuse_foreign(path)?;
            if !path.extension().is_some_and(|extension| extension.eq_ignore_ascii_case("jsonl")) {
                return Err(TableError::NotJsonLines { path: path.to_owned() }.into());
            }
            let mut lines = JsonLines::open(path)?;
            while let Some(line) = lines.next(path)? {
                let row = tagged_row(line, config)?;
                if !row.words.is_empty() && !is_empty(&row.text) {
                    source_rows.push(n_rows);
                    rows.push(row);
                }
                n_rows += 1;
            }
            hashes.push(lines.hash());
        }
        let hash = match &hashes[..] {
            [hash] => hash.clone(),
            hashes => blake3::hash(hashes.concat().as_bytes()).to_hex().to_string(),
        };
        if rows.is_empty() {
            return Err(ActivationError::NoText { name: shown, n_rows });
        }

        let tags = rows.iter().flat_map(|row| &row.words).filter_map(|(_, _, tag)| tag.as_deref());
        let classes = sorted_classes(tags);
        if config.tags.is_some() && classes.len() < 2 {
            let class = classes.first().cloned().unwrap_or_default();
            return Err(ActivationError::OneClass { name: shown, class });
        }
        let index: HashMap<&str, usize> =
            classes.iter().enumerate().map(|(index, class)| (class.as_str(), index)).collect();
        let word = |(start, end, tag): &(usize, usize, Option<String>)| Word {
            start: *start,
            end: *end,
            label: tag.as_deref().map(|tag| index[tag]),
        };
        let words = rows.iter().map(|row| row.words.iter().map(word).collect()).collect();
        let groups =
            config.group.as_ref().map(|_| grouped(rows.iter().map(|row| row.group.as_deref())));
        Ok(Self {
            name: name.to_owned(),
            labels: Vec::new(),
            classes,
            groups,
            skipped_empty: n_rows - rows.len(),
            texts: rows.into_iter().map(|row| row.text).collect(),
            source_rows,
            pairs: Vec::new(),
            words,
            targets: None,
            hash,
        })
    }
}

fn tagged_row(mut line: JsonRow<'_>, config: &TaggedConfig) -> Result<TaggedRow, ActivationError> {
    if let Some(column) = config.tags.as_deref().filter(|column| line.is_text(column)) {
        let (text, label) = (line.text(&config.text)?, line.text(column)?);
        let words = positional(&label, &text).ok_or_else(|| {
            let expected = "an array of tags, or places in the text and their tags such as \
                            `POSITIONAL|0:4:noun|9:12:verb`";
            line.fault(column, "something else, or a place outside of the text", expected)
        })?;
        let group = line.group(config.group.as_deref())?;
        return Ok(TaggedRow { text, words, group });
    }
    let (text, spans) = match &config.offsets {
        Some(column) => {
            let text = line.text(&config.text)?;
            let spans = spans(&mut line, column, &text)?;
            (text, spans)
        }
        None => joined(&mut line, &config.tokens)?,
    };
    let tags = match &config.tags {
        Some(column) => tags(&mut line, column)?,
        None => vec![None; spans.len()],
    };
    if tags.len() != spans.len() {
        let (path, line) = line.place();
        return Err(TableError::TagCount {
            path: path.to_owned(),
            line,
            n_words: spans.len(),
            n_tags: tags.len(),
        }
        .into());
    }
    let group = line.group(config.group.as_deref())?;
    let words = spans.into_iter().zip(tags).map(|((start, end), tag)| (start, end, tag)).collect();
    Ok(TaggedRow { text, words, group })
}

/// Places and tags of a label as the data of Gurnee et al. are written; `None` if it is none, or a
/// place is outside of the text.
///
/// Places are counted in bytes, as `EleutherAI/attention-probes`, `scripts/gurnee_data.py`, counts
/// them: a token of byte-level BPE is as long as its bytes. A place within a character is widened to
/// the whole of it.
fn positional(label: &str, text: &str) -> Option<Vec<(usize, usize, Option<String>)>> {
    let places = label.strip_prefix("POSITIONAL")?;
    let place = |place: &str| {
        let mut parts = place.splitn(3, ':');
        let mut number = || parts.next()?.parse::<usize>().ok();
        let (mut start, mut end) = (number()?, number()?);
        let tag = parts.next().map(str::trim).filter(|tag| !tag.is_empty())?;
        if start >= end || end > text.len() {
            return None;
        }
        while !text.is_char_boundary(start) {
            start -= 1;
        }
        while !text.is_char_boundary(end) {
            end += 1;
        }
        Some((start, end, Some(tag.to_owned())))
    };
    match places.strip_prefix('|') {
        Some(places) => places.split('|').map(place).collect(),
        None => places.is_empty().then(Vec::new),
    }
}

type Spans = Vec<(usize, usize)>;

/// The text of a list of words, and where each stands in it.
fn joined(line: &mut JsonRow<'_>, column: &str) -> Result<(String, Spans), ActivationError> {
    let (mut text, mut spans) = (String::new(), Vec::new());
    for value in line.list(column)? {
        let expected = "an array of words without white space; if they have any, give their text \
                        and `offsets`";
        let Value::String(word) = &value else {
            let found = match kind_of(&value) {
                "null" => "an array with null",
                "an array" => "an array of arrays",
                "an object" => "an array of objects",
                _ => "an array with a number or a boolean",
            };
            return Err(line.fault(column, found, expected).into());
        };
        if word.is_empty() || word.contains(char::is_whitespace) {
            let found = if word.is_empty() {
                "an array with an empty string"
            } else {
                "an array with white space in a word"
            };
            return Err(line.fault(column, found, expected).into());
        }
        if !spans.is_empty() {
            text.push(' ');
        }
        spans.push((text.len(), text.len() + word.len()));
        text.push_str(word);
    }
    Ok((text, spans))
}

/// Places in characters as places in bytes.
fn spans(line: &mut JsonRow<'_>, column: &str, text: &str) -> Result<Spans, ActivationError> {
    let bytes: Vec<usize> = text.char_indices().map(|(byte, _)| byte).chain([text.len()]).collect();
    let mut spans = Vec::new();
    for value in line.list(column)? {
        let number = |value: &Value| value.as_u64().and_then(|n| usize::try_from(n).ok());
        let pair = match value.as_array().map(Vec::as_slice) {
            Some([start, end]) => number(start).zip(number(end)),
            _ => None,
        };
        let Some((start, end)) = pair else {
            let expected = "pairs of characters such as [[0, 4], [5, 9]]";
            return Err(line.fault(column, "something else", expected).into());
        };
        match (bytes.get(start), bytes.get(end)) {
            (Some(&from), Some(&to)) if from < to => spans.push((from, to)),
            _ => {
                let (path, line) = line.place();
                let (path, n_chars) = (path.to_owned(), bytes.len() - 1);
                return Err(TableError::Span { path, line, start, end, n_chars }.into());
            }
        }
    }
    Ok(spans)
}

fn tags(line: &mut JsonRow<'_>, column: &str) -> Result<Vec<Option<String>>, ActivationError> {
    let tag = |value: Value| match value {
        Value::Null => Ok(None),
        value => name_from(value).map(Some),
    };
    let tags: Result<Vec<_>, _> = line.list(column)?.into_iter().map(tag).collect();
    tags.map_err(|_| {
        let expected = "an array of strings, integers, or booleans, or null for no tag";
        line.fault(column, "an array with something else", expected).into()
    })
}

#[cfg(test)]
mod tests {
    use std::fs;

    use proptest::prelude::*;

    use super::*;

    fn read(json: &str, config: &TaggedConfig) -> Result<Dataset, ActivationError> {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("d.jsonl");
        fs::write(&path, json).unwrap();
        Dataset::read_tagged("data", &[path], config)
    }

    fn with_offsets() -> TaggedConfig {
        TaggedConfig { offsets: Some("offsets".to_owned()), ..TaggedConfig::default() }
    }

    fn word(start: usize, end: usize, label: Option<usize>) -> Word {
        Word { start, end, label }
    }

    #[test]
    fn words_are_joined_so_that_the_text_gives_them_back() {
        let json = "{\"tokens\": [\"Ça\", \"va\", \"?\"], \"tags\": [\"P\", \"V\", null]}\n\
                    {\"tokens\": [], \"tags\": []}\n\
                    {\"tokens\": [\"ok\"], \"tags\": [3]}\n";
        let data = read(json, &TaggedConfig::default()).unwrap();
        assert_eq!(data.texts, ["Ça va ?", "ok"]);
        assert_eq!(data.classes, ["3", "P", "V"]);
        let first = [word(0, 3, Some(1)), word(4, 6, Some(2)), word(7, 8, None)];
        assert_eq!(data.words, [first.to_vec(), vec![word(0, 2, Some(0))]]);
        assert_eq!(data.texts[0].split(' ').collect::<Vec<_>>(), ["Ça", "va", "?"]);
        assert_eq!((data.source_rows, data.skipped_empty), (vec![0, 2], 1));
        assert_eq!(data.hash, blake3::hash(json.as_bytes()).to_hex().to_string());
    }

    #[test]
    fn places_in_characters_become_places_in_bytes() {
        let json = r#"{"text": "é don't", "offsets": [[0, 1], [2, 4], [4, 7]],
            "tags": ["X", "V", "N"], "who": 1}"#
            .replace('\n', " ");
        let config = TaggedConfig { group: Some("who".to_owned()), ..with_offsets() };
        let data = read(&json, &config).unwrap();
        assert_eq!(data.texts, ["é don't"]);
        let places: Vec<_> = data.words[0].iter().map(|w| &data.texts[0][w.start..w.end]).collect();
        assert_eq!(places, ["é", "do", "n't"]);
        assert_eq!(data.groups, Some(vec![0]));
    }

    #[test]
    fn labels_of_places_are_read_with_the_file_s_own_text() {
        let json = r#"{"text": "é cats", "labels": "POSITIONAL|0:1:-1|3:7:1"}
            {"text": "none here", "labels": "POSITIONAL"}
            {"text": "dogs", "labels": "POSITIONAL|0:4:a:b"}"#;
        let config = TaggedConfig { tags: Some("labels".to_owned()), ..TaggedConfig::default() };
        let data = read(json, &config).unwrap();
        assert_eq!(
            (&data.texts[..], data.skipped_empty),
            (&["é cats".into(), "dogs".into()][..], 1)
        );
        assert_eq!(data.classes, ["-1", "1", "a:b"]);
        // The first place is half of a character.
        assert_eq!(data.words[0], [word(0, 2, Some(0)), word(3, 7, Some(1))]);
        for label in [
            "POSITIONAL|0:9:x",
            "POSITIONAL|1:1:x",
            "POSITIONAL|",
            "POSITIONAL|0:1:",
            "0:1:x",
            "POSITIONALx",
        ] {
            let json = format!("{{\"text\": \"four\", \"labels\": \"{label}\"}}");
            let error = read(&json, &config).unwrap_err().to_string();
            assert!(error.contains("line 1: column `labels` holds something else"), "{error}");
        }
    }

    proptest! {
        #[test]
        fn whatever_a_label_of_places_says_its_words_are_whole_characters(
            text in "[aé字]{0,6}",
            places in prop::collection::vec((0_usize..20, 0_usize..20, "[a:é]{0,3}"), 0..4),
        ) {
            let places = places.iter().map(|(start, end, tag)| format!("|{start}:{end}:{tag}"));
            let label = format!("POSITIONAL{}", places.collect::<String>());
            for (start, end, tag) in positional(&label, &text).into_iter().flatten() {
                prop_assert!(text.get(start..end).is_some_and(|word| !word.is_empty()));
                prop_assert!(tag.is_some_and(|tag| !tag.is_empty()));
            }
        }

        #[test]
        fn no_line_of_tagged_words_makes_the_reader_panic(json in "[\\[\\]{}\":,a-z0-9 -]{0,60}") {
            let json = format!("{{\"text\": \"é字\", \"tokens\": {json}, \"tags\": [1], \"offsets\": {json}}}");
            let _ = read(&json, &TaggedConfig::default());
            let _ = read(&json, &with_offsets());
        }
    }

    #[test]
    fn what_does_not_fit_is_named_with_its_line() {
        let plain = TaggedConfig::default();
        for (json, config, expected) in [
            (r#"{"tokens": ["a"], "tags": ["X", "Y"]}"#, &plain, "has 1 words but 2 tags"),
            (
                r#"{"tokens": "a", "tags": ["X"]}"#,
                &plain,
                "`tokens` holds a string, expected an array",
            ),
            (r#"{"tokens": ["a b"], "tags": ["X"]}"#, &plain, "white space in a word"),
            (r#"{"tokens": [""], "tags": ["X"]}"#, &plain, "an empty string"),
            (r#"{"tokens": [null], "tags": ["X"]}"#, &plain, "an array with null"),
            (r#"{"tokens": ["a"], "tags": [0.5]}"#, &plain, "`tags` holds an array with"),
            (r#"{"words": ["a"], "tags": ["X"]}"#, &plain, "has no column `tokens`"),
            (
                r#"{"text": "ab", "offsets": [[0, 3]], "tags": ["X"]}"#,
                &with_offsets(),
                "from 0 to 3, but the text has 2 characters",
            ),
            (
                r#"{"text": "ab", "offsets": [[1, 1]], "tags": ["X"]}"#,
                &with_offsets(),
                "from 1 to 1",
            ),
            (r#"{"text": "ab", "offsets": [[0]], "tags": ["X"]}"#, &with_offsets(), "pairs of"),
            (r#"{"text": "ab", "offsets": [[-1, 1]], "tags": ["X"]}"#, &with_offsets(), "pairs of"),
        ] {
            let error = read(&format!("\n{json}"), config).unwrap_err().to_string();
            assert!(error.contains("d.jsonl` line 2") && error.contains(expected), "{error}");
        }
        let one = read(r#"{"tokens": ["a", "b"], "tags": ["X", "X"]}"#, &plain);
        assert!(matches!(one, Err(ActivationError::OneClass { .. })));
        assert!(matches!(
            read("{\"tokens\": [], \"tags\": []}", &plain),
            Err(ActivationError::NoText { n_rows: 1, .. })
        ));
        let error = Dataset::read_tagged("data", &["a.csv"], &plain).unwrap_err().to_string();
        assert_eq!(error, "`a.csv` holds no lists; tagged words are read from .jsonl files");
    }
}
