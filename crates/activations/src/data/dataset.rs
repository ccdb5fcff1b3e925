//! Labelled text: read from CSV, TSV, or JSON Lines, or handed over in memory.

use std::collections::HashMap;
use std::path::Path;

use super::classes::{grouped, sorted_classes};
use super::row::is_empty;
use crate::{ActivationError, DatasetConfig, LabelColumn, Labels, TextReader, TextRow, Word};

/// Texts with a class each.
#[derive(Clone, Debug, PartialEq)]
pub struct Dataset {
    /// Name that experiments are called by.
    pub name: String,
    /// The texts, none of them empty.
    pub texts: Vec<String>,
    /// Class of each text, an index into `classes`. Empty if labels were not asked for.
    pub labels: Vec<usize>,
    /// Names of the classes: by number if all of them are integers, else by letter.
    pub classes: Vec<String>,
    /// Group of each text, numbered in order of appearance. Texts of one group belong on one side
    /// of a split.
    pub groups: Option<Vec<usize>>,
    /// Row of each text in its source, from 0, header and blank lines not counted.
    pub source_rows: Vec<usize>,
    /// Pair of each text, as many numbers as texts; none if the texts are no pairs.
    pub pairs: Vec<usize>,
    /// Words of each text, as many lists as texts; none if words are not tagged.
    pub words: Vec<Vec<Word>>,
    /// Labels other than classes, one for each text; none if labels are classes.
    pub targets: Option<Labels>,
    /// Number of rows that were left out because their text is empty.
    pub skipped_empty: usize,
    /// BLAKE3 of the file as hex; of the hashes of several files; of the texts, labels, and groups
    /// if there is no file.
    pub hash: String,
}

impl Dataset {
    /// Reads a `.csv`, `.tsv`, or `.jsonl` file in UTF-8, or, with the feature `parquet`, a
    /// `.parquet` file.
    ///
    /// Labels and groups are strings or integers, in JSON also booleans. Without `needs_labels` the
    /// label column is not looked at and need not exist. Rows with an empty text are left out and
    /// counted.
    ///
    /// # Errors
    ///
    /// - [`ActivationError::File`] if the file cannot be read
    /// - [`ActivationError::Table`] if it is malformed, or its columns or a row do not fit the
    ///   config; [`TableError`](crate::TableError) lists the cases
    /// - [`ActivationError::NoText`] if every text is empty
    /// - [`ActivationError::OneClass`] if labels are needed and all alike
    ///
    /// # Memory
    ///
    /// The texts.
    ///
    /// # Examples
    ///
    /// ```
    /// use attention_probes::activations::{Dataset, DatasetConfig};
    ///
    /// let folder = tempfile::tempdir()?;
    /// let path = folder.path().join("sentiment.csv");
    /// std::fs::write(&path, "text,label\n\"fine, really\",pos\nawful,neg\n")?;
    /// let dataset = Dataset::read("sentiment", &path, &DatasetConfig::default(), true)?;
    /// assert_eq!(dataset.texts, ["fine, really", "awful"]);
    /// assert_eq!(dataset.classes, ["neg", "pos"]);
    /// assert_eq!(dataset.labels, [1, 0]);
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    pub fn read(
        name: &str,
        path: impl AsRef<Path>,
        config: &DatasetConfig,
        needs_labels: bool,
    ) -> Result<Self, ActivationError> {
        Self::read_files(name, &[path], config, needs_labels)
    }

    /// Reads the columns `text` and `label` of a file, and calls the texts by its name.
    ///
    /// # Errors
    ///
    /// As [`Dataset::read`].
    ///
    /// # Memory
    ///
    /// The texts.
    ///
    /// # Examples
    ///
    /// ```
    /// use attention_probes::activations::Dataset;
    ///
    /// let folder = tempfile::tempdir()?;
    /// let path = folder.path().join("mood.csv");
    /// std::fs::write(&path, "text,label\nA happy dog.,good\nA sad storm.,bad\n")?;
    /// let texts = Dataset::labelled(&path)?;
    /// assert_eq!((&*texts.name, &texts.classes[..]), ("mood", &["bad", "good"].map(str::to_owned)[..]));
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    pub fn labelled(path: impl AsRef<Path>) -> Result<Self, ActivationError> {
        let path = path.as_ref();
        let name = path.file_stem().map(|stem| stem.to_string_lossy().into_owned());
        Self::read(&name.unwrap_or_default(), path, &DatasetConfig::default(), true)
    }

    /// Reads several files, whose rows follow each other.
    ///
    /// # Errors
    ///
    /// As [`Dataset::read`]; [`ActivationError::NoText`] also if there is no file.
    ///
    /// # Memory
    ///
    /// The texts.
    pub fn read_files(
        name: &str,
        paths: &[impl AsRef<Path>],
        config: &DatasetConfig,
        needs_labels: bool,
    ) -> Result<Self, ActivationError> {
        let shown = match paths {
            [path] => path.as_ref().display().to_string(),
            _ => name.to_owned(),
        };
        let label = if needs_labels { LabelColumn::Needed } else { LabelColumn::Ignored };
        let mut reader = TextReader::open_files(paths, config, label)?;
        let (mut n_rows, mut source_rows, mut rows) = (0, Vec::new(), Vec::<TextRow>::new());
        for row in &mut reader {
            let row = row?;
            if !is_empty(&row.text) {
                source_rows.push(n_rows);
                rows.push(row);
            }
            n_rows += 1;
        }
        let hash = reader.hash();
        if rows.is_empty() {
            return Err(ActivationError::NoText { name: shown, n_rows });
        }

        let classes = sorted_classes(rows.iter().filter_map(|row| row.label.as_deref()));
        if let ([class], true) = (&classes[..], needs_labels) {
            return Err(ActivationError::OneClass { name: shown, class: class.clone() });
        }
        let class_index: HashMap<&str, usize> =
            classes.iter().enumerate().map(|(index, class)| (class.as_str(), index)).collect();
        let labels =
            rows.iter().filter_map(|row| row.label.as_deref()).map(|l| class_index[l]).collect();
        let groups =
            config.group.as_ref().map(|_| grouped(rows.iter().map(|row| row.group.as_deref())));

        Ok(Self {
            name: name.to_owned(),
            labels,
            classes,
            groups,
            skipped_empty: n_rows - rows.len(),
            texts: rows.into_iter().map(|row| row.text).collect(),
            source_rows,
            pairs: Vec::new(),
            words: Vec::new(),
            targets: None,
            hash,
        })
    }

    /// A data set from memory: texts alone, or [`DatasetParts`].
    ///
    /// Rows with an empty text are left out and counted, as from a file.
    ///
    /// # Errors
    ///
    /// - [`ActivationError::LengthMismatch`] if labels or groups are more or fewer than the texts
    /// - [`ActivationError::LabelOutOfRange`] if a label is no index into `classes`
    /// - [`ActivationError::NoText`] if every text is empty
    /// - [`ActivationError::OneClass`] if there are labels, and they are all alike
    pub fn from_parts<'a>(
        name: &str,
        parts: impl Into<DatasetParts<'a>>,
    ) -> Result<Self, ActivationError> {
        let DatasetParts { texts, labels, classes, groups } = parts.into();
        let n_rows = texts.len();
        let lengths = [
            ("labels", if labels.is_empty() { n_rows } else { labels.len() }),
            ("groups", groups.map_or(n_rows, <[usize]>::len)),
        ];
        for (name, length) in lengths {
            if length != n_rows {
                return Err(ActivationError::LengthMismatch { name, length, expected: n_rows });
            }
        }
        let n_classes = classes.len();
        if let Some(index) = labels.iter().position(|&label| label >= n_classes) {
            let label = labels[index];
            return Err(ActivationError::LabelOutOfRange { index, label, n_classes });
        }

        let hash = hash_of(&texts, labels, &classes, groups);
        let (source_rows, texts): (Vec<usize>, Vec<String>) =
            texts.into_iter().enumerate().filter(|(_, text)| !is_empty(text)).unzip();
        if texts.is_empty() {
            return Err(ActivationError::NoText { name: name.to_owned(), n_rows });
        }
        let kept = |values: &[usize]| source_rows.iter().map(|&row| values[row]).collect();
        let labels: Vec<usize> = if labels.is_empty() { Vec::new() } else { kept(labels) };
        if let Some(first) = labels.first()
            && labels.iter().all(|label| label == first)
        {
            let class = classes[*first].clone();
            return Err(ActivationError::OneClass { name: name.to_owned(), class });
        }
        Ok(Self {
            name: name.to_owned(),
            labels,
            classes,
            groups: groups.map(kept),
            skipped_empty: n_rows - texts.len(),
            texts,
            source_rows,
            pairs: Vec::new(),
            words: Vec::new(),
            targets: None,
            hash,
        })
    }

    /// Number of texts.
    pub fn len(&self) -> usize {
        self.texts.len()
    }

    /// Whether there is no text, which neither constructor lets happen.
    pub fn is_empty(&self) -> bool {
        self.texts.is_empty()
    }
}

/// What a data set is made from in memory.
#[derive(Clone, Debug, Default)]
pub struct DatasetParts<'a> {
    /// The texts.
    pub texts: Vec<String>,
    /// Class of each text, an index into `classes`; empty where none are needed.
    pub labels: &'a [usize],
    /// Names of the classes.
    pub classes: Vec<String>,
    /// Group of each text: one group stays on one side of a split.
    pub groups: Option<&'a [usize]>,
}

impl From<Vec<String>> for DatasetParts<'_> {
    fn from(texts: Vec<String>) -> Self {
        Self { texts, ..Self::default() }
    }
}

/// BLAKE3 of everything that a result depends on, each part with its length before it.
fn hash_of(
    texts: &[String],
    labels: &[usize],
    classes: &[String],
    groups: Option<&[usize]>,
) -> String {
    let mut hasher = blake3::Hasher::new();
    for strings in [texts, classes] {
        hasher.update(&(strings.len() as u64).to_le_bytes());
        for string in strings {
            hasher.update(&(string.len() as u64).to_le_bytes());
            hasher.update(string.as_bytes());
        }
    }
    for indices in [labels, groups.unwrap_or_default()] {
        hasher.update(&(indices.len() as u64).to_le_bytes());
        for index in indices {
            hasher.update(&(*index as u64).to_le_bytes());
        }
    }
    hasher.finalize().to_hex().to_string()
}

#[cfg(test)]
mod tests {
    use std::fs;

    use super::*;

    fn read(file: &str, content: impl AsRef<[u8]>) -> Result<Dataset, ActivationError> {
        read_with(file, content, &DatasetConfig::default(), true)
    }

    fn read_with(
        file: &str,
        content: impl AsRef<[u8]>,
        config: &DatasetConfig,
        needs_labels: bool,
    ) -> Result<Dataset, ActivationError> {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join(file);
        fs::write(&path, content).unwrap();
        Dataset::read("data", &path, config, needs_labels)
    }

    /// The message without the folder, which differs from run to run.
    fn message(result: Result<Dataset, ActivationError>) -> String {
        let message = result.unwrap_err().to_string();
        match (message.strip_prefix('`'), message.find("/d.")) {
            (Some(_), Some(end)) => format!("`{}", &message[end + 1..]),
            _ => message,
        }
    }

    #[test]
    fn quotes_line_breaks_and_byte_order_mark_are_handled() {
        let csv = "\u{feff}id,text,label\r\n1,\"two\r\nlines, \"\"quoted\"\"\",1\r\n2,plain,0\r\n";
        let dataset = read("d.csv", csv).unwrap();
        assert_eq!(dataset.texts, ["two\r\nlines, \"quoted\"", "plain"]);
        assert_eq!((dataset.labels, dataset.source_rows), (vec![1, 0], vec![0, 1]));
        assert_eq!(dataset.hash, blake3::hash(csv.as_bytes()).to_hex().to_string());
        assert_eq!(dataset.groups, None);
    }

    #[test]
    fn tabs_separate_a_tsv_and_commas_do_not() {
        let dataset = read("D.TSV", "label\ttext\nham\ta, b\nspam\tc\n").unwrap();
        assert_eq!(dataset.texts, ["a, b", "c"]);
        assert_eq!(dataset.classes, ["ham", "spam"]);
    }

    #[test]
    fn json_labels_may_be_strings_integers_or_booleans() {
        let json = "{\"text\": \"a\", \"label\": true}\n\n{\"label\": false, \"text\": \"b\"}";
        let dataset = read("d.jsonl", json).unwrap();
        assert_eq!((dataset.classes, dataset.labels), (names(["false", "true"]), vec![1, 0]));
        assert_eq!(dataset.source_rows, [0, 1]);
    }

    #[test]
    fn integers_are_sorted_by_number_and_strings_by_letter() {
        let classes = |labels: [&str; 4]| {
            let rows = labels.map(|label| format!("x,{label}")).join("\n");
            read("d.csv", format!("text,label\n{rows}")).unwrap().classes
        };
        assert_eq!(classes(["10", "9", "-1", "9"]), names(["-1", "9", "10"]));
        assert_eq!(classes(["10", "9", "b", "a"]), names(["10", "9", "a", "b"]));
    }

    fn names<const N: usize>(names: [&str; N]) -> Vec<String> {
        names.map(str::to_owned).to_vec()
    }

    #[test]
    fn empty_texts_are_counted_and_left_out() {
        let config = DatasetConfig { group: Some("who".to_owned()), ..Default::default() };
        let csv = "text,label,who\na,0,ann\n  ,0,bob\nb,1,cid\n,2,ann\nc,1,ann\n";
        let dataset = read_with("d.csv", csv, &config, true).unwrap();
        assert_eq!((dataset.skipped_empty, dataset.len()), (2, 3));
        assert_eq!(dataset.source_rows, [0, 2, 4]);
        assert_eq!(dataset.labels, [0, 1, 1]);
        // Class 2 occurs only on an empty row.
        assert_eq!(dataset.classes, ["0", "1"]);
        assert_eq!(dataset.groups, Some(vec![0, 1, 0]));
        let csv = csv.replace("ann", "").replace("cid", "0");
        let dataset = read_with("d.csv", csv, &config, true).unwrap();
        assert_eq!(dataset.groups, Some(vec![0, 1, 2]), "a row without a group is one");
        assert_eq!(
            message(read("d.csv", "text,label\n,0\n \t,1\n")).split(" has").nth(1),
            Some(" no text: 2 rows, all of them empty; is this the text column?")
        );
    }

    #[test]
    fn labels_are_left_alone_where_nobody_needs_them() {
        let config = DatasetConfig::default();
        let dataset = read_with("d.jsonl", "{\"text\": \"a\", \"label\": null}", &config, false);
        let dataset = dataset.unwrap();
        assert!(dataset.labels.is_empty() && dataset.classes.is_empty());
    }

    #[test]
    fn errors_name_the_line_the_column_and_the_remedy() {
        let cases: [(&str, &str, &str); 11] = [
            (
                "d.csv",
                "Text,labels\na,1\n",
                "`d.csv` line 1 has no column `text`; columns: `Text`, `labels`; did you mean \
                 `Text`?",
            ),
            (
                "d.csv",
                "a fine film,1\nan awful one,0\n",
                "`d.csv` line 1 has no column `text`; columns: `a fine film`, `1`; the first line \
                 must name the columns",
            ),
            ("d.csv", "text,text,label\n", "`d.csv` has two columns named `text`; rename one"),
            (
                "d.csv",
                "text,label\r\na,1\r\n\r\nb\r\n",
                "`d.csv` line 4 has 1 fields, but the header has 2; quote a field that holds the \
                 separator",
            ),
            (
                "d.csv",
                "text,label\n\"a\nb\",1\nc, \n",
                "`d.csv` line 4: column `label` holds nothing, expected a string or an integer",
            ),
            (
                "d.csv",
                "text,label\na,1\n\"b,0\nc,1\n",
                "`d.csv` line 3 opens a quote that is never closed; close it, or, if a quote is a \
                 character like any other, set `quoting` to `none`",
            ),
            (
                "d.jsonl",
                "{\"text\": \"a\", \"label\": 1}\n\n{\"text\": \"b\", \"label\": 1.5}\n",
                "`d.jsonl` line 3: column `label` holds a float, expected a string, an integer, or \
                 a boolean",
            ),
            (
                "d.jsonl",
                "{\"text\": [\"a\"], \"label\": 1}\n",
                "`d.jsonl` line 1: column `text` holds an array, expected a string",
            ),
            (
                "d.jsonl",
                "{\"text\": \"a\", \"labl\": 1}\n",
                "`d.jsonl` line 1 has no column `label`; columns: `labl`, `text`; did you mean \
                 `labl`?",
            ),
            ("d.jsonl", "{\"text\": \"a\"\n", "`d.jsonl` line 1 is not a JSON object"),
            (
                "d.txt",
                "a\n",
                "`d.txt` is not a data file by its name, expected .csv, .tsv, .jsonl, or .parquet for \
                 text, or .npz or a folder for activations",
            ),
        ];
        for (file, content, expected) in cases {
            assert_eq!(message(read(file, content)), expected);
        }
        assert_eq!(
            message(read("d.csv", b"text,label\na,1\nb\xff,0\n")),
            "`d.csv` line 3 is not UTF-8; save the file as UTF-8"
        );
        for json in ["null", "[1]", "{\"label\": {}}", &"[".repeat(100_000)] {
            assert!(read("d.jsonl", json).is_err());
        }
    }

    #[test]
    fn one_class_is_refused_only_where_labels_are_needed() {
        let csv = "text,label\na,pos\nb,pos\n";
        let error = message(read("d.csv", csv));
        assert!(error.ends_with("is `pos`, expected at least two classes"), "{error}");
        assert!(read_with("d.csv", csv, &DatasetConfig::default(), false).is_ok());
    }

    #[test]
    fn a_data_set_from_memory_is_checked_like_a_file() {
        let texts = || names(["a", " ", "b"]);
        let (labels, classes) = (&[0, 1, 1][..], names(["n", "p"]));
        let parts = DatasetParts { texts: texts(), labels, classes, groups: Some(&[3, 3, 5]) };
        let dataset = Dataset::from_parts("d", parts).unwrap();
        assert_eq!((dataset.labels, dataset.source_rows), (vec![0, 1], vec![0, 2]));
        assert_eq!((dataset.groups, dataset.skipped_empty), (Some(vec![3, 5]), 1));
        assert!(Dataset::from_parts("d", texts()).unwrap().labels.is_empty());

        let from = |labels: &[usize]| {
            let classes = names(["n"]);
            let parts = DatasetParts { texts: texts(), labels, classes, groups: None };
            Dataset::from_parts("d", parts)
        };
        assert!(matches!(from(&[0]), Err(ActivationError::LengthMismatch { .. })));
        assert!(matches!(from(&[0, 0, 1]), Err(ActivationError::LabelOutOfRange { .. })));
        assert!(matches!(from(&[0, 0, 0]), Err(ActivationError::OneClass { .. })));
        let empty = Dataset::from_parts("d", vec![]);
        assert!(matches!(empty, Err(ActivationError::NoText { n_rows: 0, .. })));
    }

    #[test]
    fn the_hash_depends_on_every_part() {
        let hash = |texts: [&str; 2], labels: [usize; 2]| {
            let (texts, classes) = (names(texts), names(["n", "p"]));
            let parts = DatasetParts { texts, labels: &labels, classes, groups: None };
            Dataset::from_parts("d", parts).unwrap().hash
        };
        assert_eq!(hash(["a", "b"], [0, 1]), hash(["a", "b"], [0, 1]));
        assert_ne!(hash(["a", "b"], [0, 1]), hash(["a", "b"], [1, 0]));
        assert_ne!(hash(["a", "bc"], [0, 1]), hash(["ab", "c"], [0, 1]));
    }
}
