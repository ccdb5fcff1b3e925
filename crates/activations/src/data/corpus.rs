//! Files of texts that are read in pieces, however long they are.

use std::collections::{BTreeSet, HashMap};
use std::path::{Path, PathBuf};

use attention_probes_models::Tokenizer;

use super::classes::sorted_classes;
use super::row::is_empty;
use crate::{
    ActivationError, DatasetConfig, EncodeConfig, LabelColumn, PartTokens, TextReader, TextRow,
    encode_texts,
};

/// What is known of files of texts once they have been read through; the texts stay in the files.
///
/// # Memory
///
/// One name per class.
#[derive(Clone, Debug)]
pub struct Corpus {
    files: Vec<PathBuf>,
    columns: DatasetConfig,
    label: LabelColumn,
    class_index: HashMap<String, usize>,
    /// BLAKE3 of the file, as hex; of several files, of their hashes.
    pub hash: String,
    /// Number of its rows, empty ones included.
    pub n_rows: usize,
    /// Number of rows whose text is empty.
    pub n_empty: usize,
    /// Names of the classes: by number if all of them are integers, else by letter. Empty if there
    /// is no label.
    pub classes: Vec<String>,
}

/// Rows of a corpus as token ids.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct CorpusTokens {
    /// Their ids and labels; a row without text has no token.
    pub tokens: PartTokens,
    /// Number of texts that were cut to the longest length allowed.
    pub n_truncated: usize,
}

impl Corpus {
    /// Reads files to their end, so that what is wrong with a row is said before anything else;
    /// their rows follow each other.
    ///
    /// # Errors
    ///
    /// - as [`TextReader::open`] and its rows
    /// - [`ActivationError::NoText`] if every text is empty
    ///
    /// # Memory
    ///
    /// One name per class, and one row at a time.
    pub fn scan(
        files: &[impl AsRef<Path>],
        columns: &DatasetConfig,
        label: LabelColumn,
    ) -> Result<Self, ActivationError> {
        let files: Vec<PathBuf> = files.iter().map(|file| file.as_ref().to_owned()).collect();
        let mut rows = TextReader::open_files(&files, columns, label)?;
        let (mut n_rows, mut n_empty, mut names) = (0, 0, BTreeSet::new());
        for row in &mut rows {
            let TextRow { text, label, .. } = row?;
            n_rows += 1;
            n_empty += usize::from(is_empty(&text));
            if let Some(label) = label.filter(|label| !names.contains(label)) {
                names.insert(label);
            }
        }
        if n_empty == n_rows {
            let name = files[0].display().to_string();
            return Err(ActivationError::NoText { name, n_rows });
        }
        let classes = sorted_classes(names.iter().map(String::as_str));
        let numbered = classes.iter().cloned().enumerate();
        Ok(Self {
            class_index: numbered.map(|(index, class)| (class, index)).collect(),
            hash: rows.hash(),
            columns: columns.clone(),
            files,
            label,
            n_rows,
            n_empty,
            classes,
        })
    }

    /// Which columns are read.
    pub fn columns(&self) -> &DatasetConfig {
        &self.columns
    }

    /// Begins to read the rows again.
    ///
    /// # Errors
    ///
    /// As [`TextReader::open`].
    pub fn rows(&self) -> Result<TextReader, ActivationError> {
        TextReader::open_files(&self.files, &self.columns, self.label)
    }

    /// Turns the next `n_rows` rows into tokens, cut to `max_tokens` each.
    ///
    /// # Errors
    ///
    /// - as the rows of [`TextReader`]
    /// - [`ActivationError::Changed`] if there are fewer rows than when the file was scanned, or a
    ///   label that was not there
    /// - [`ActivationError::Tokenize`] if a text cannot be encoded
    ///
    /// # Memory
    ///
    /// The texts and tokens of these rows.
    pub fn tokens(
        &self,
        rows: &mut TextReader,
        n_rows: usize,
        tokenizer: &Tokenizer,
        max_tokens: usize,
    ) -> Result<CorpusTokens, ActivationError> {
        let changed = || ActivationError::Changed { path: self.files[0].clone() };
        let first = rows.n_rows();
        let (mut texts, mut labels) = (Vec::with_capacity(n_rows), Vec::new());
        for _ in 0..n_rows {
            let row = rows.next().ok_or_else(changed)??;
            // An empty text has no token, whatever a tokenizer puts before it.
            texts.push(if is_empty(&row.text) { String::new() } else { row.text });
            if !self.classes.is_empty() {
                let index_of = |label| self.class_index.get(&label).copied().ok_or_else(changed);
                labels.push(row.label.map(index_of).transpose()?);
            }
        }
        let mut tokens = PartTokens {
            ids: Vec::new(),
            offsets: vec![0],
            labels: (!self.classes.is_empty()).then_some(labels),
        };
        let mut n_truncated = 0;
        let config = EncodeConfig { max_tokens, ..EncodeConfig::default() };
        for (row, text) in encode_texts(&texts, tokenizer, config).into_iter().enumerate() {
            let text = text.map_err(|source| ActivationError::Tokenize {
                row: first + row,
                source: Box::new(source),
            })?;
            n_truncated += usize::from(text.is_truncated);
            if !texts[row].is_empty() {
                tokens.ids.extend(text.ids);
            }
            tokens.offsets.push(tokens.ids.len());
        }
        Ok(CorpusTokens { tokens, n_truncated })
    }
}

#[cfg(test)]
mod tests {
    use std::fs;

    use super::*;
    use crate::testing::tokenizer;

    fn corpus(folder: &Path, csv: &str) -> Corpus {
        let path = folder.join("d.csv");
        fs::write(&path, csv).unwrap();
        Corpus::scan(&[path], &DatasetConfig::default(), LabelColumn::IfThere).unwrap()
    }

    #[test]
    fn pieces_of_any_length_give_the_same_tokens() {
        let folder = tempfile::tempdir().unwrap();
        let corpus = corpus(folder.path(), "text,label\na the b,10\n ,9\nabcabc,\nc,9\n");
        assert_eq!((corpus.n_rows, corpus.n_empty), (4, 1));
        assert_eq!(corpus.classes, ["9", "10"]);
        for n in 1..=4 {
            let mut rows = corpus.rows().unwrap();
            let (mut ids, mut lengths, mut labels, mut n_truncated) = (vec![], vec![], vec![], 0);
            for start in (0..4).step_by(n) {
                let piece = corpus.tokens(&mut rows, n.min(4 - start), &tokenizer(), 4).unwrap();
                n_truncated += piece.n_truncated;
                lengths.extend(piece.tokens.offsets.windows(2).map(|pair| pair[1] - pair[0]));
                ids.extend(piece.tokens.ids);
                labels.extend(piece.tokens.labels.unwrap());
            }
            assert_eq!(ids, [0, 9, 6, 1, 0, 1, 2, 0, 2]);
            assert_eq!(lengths, [4, 0, 4, 1]);
            assert_eq!(labels, [Some(1), Some(0), None, Some(0)]);
            assert_eq!(n_truncated, 1);
        }
    }

    #[test]
    fn a_file_that_has_changed_since_is_named() {
        let folder = tempfile::tempdir().unwrap();
        let corpus = corpus(folder.path(), "text,label\na,x\nb,y\n");
        for changed in ["text,label\na,x\n", "text,label\na,x\nb,z\n"] {
            fs::write(folder.path().join("d.csv"), changed).unwrap();
            let result = corpus.tokens(&mut corpus.rows().unwrap(), 2, &tokenizer(), 4);
            assert!(matches!(result, Err(ActivationError::Changed { .. })));
        }
    }

    #[test]
    fn a_column_of_labels_may_be_absent_unless_it_is_needed() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("d.jsonl");
        fs::write(&path, "{\"text\": \"a\", \"label\": 0.5}\n{\"text\": \"b\"}\n").unwrap();
        let scan = |label| Corpus::scan(&[&path], &DatasetConfig::default(), label);
        let corpus = scan(LabelColumn::IfThere).unwrap();
        assert!(corpus.classes.is_empty());
        let tokens = corpus.tokens(&mut corpus.rows().unwrap(), 2, &tokenizer(), 4).unwrap();
        assert_eq!(tokens.tokens.labels, None);
        let error = scan(LabelColumn::Needed).unwrap_err().to_string();
        assert!(
            error.ends_with(
                "line 1: column `label` holds a float, expected a string, an \
                                 integer, or a boolean"
            ),
            "{error}"
        );
    }
}
