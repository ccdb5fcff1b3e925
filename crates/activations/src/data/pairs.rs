//! Minimal pairs: two texts a row that differ in what is asked about.

use std::path::Path;

use super::classes::grouped;
use super::row::is_empty;
use super::table::{LabelColumn, TextReader};
use crate::{ActivationError, Dataset, DatasetConfig, TableFormat};

/// Which columns of a file of minimal pairs to read.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct PairConfig {
    /// Column of the good text, whose class is the positive one, and of the bad text. No default.
    pub columns: [String; 2],
    /// Column of the group, if there is one; else each row is a group. Default none.
    pub group: Option<String>,
    /// How fields of CSV and TSV files are written.
    pub format: TableFormat,
}

impl Dataset {
    /// Reads files of minimal pairs, in any form of labelled text; their rows follow each other.
    ///
    /// Each row gives two texts, the good one first, whose classes are named after the columns. A
    /// row of which a text is empty is left out and counted. Groups never divide a row.
    ///
    /// # Errors
    ///
    /// - as [`Dataset::read_files`]
    /// - [`ActivationError::OneClass`] if both columns are the same
    /// - [`ActivationError::Changed`] if a file is not the same from beginning to end
    ///
    /// # Memory
    ///
    /// The texts.
    ///
    /// # Examples
    ///
    /// ```
    /// use attention_probes::activations::{Dataset, PairConfig};
    ///
    /// let folder = tempfile::tempdir()?;
    /// let path = folder.path().join("pairs.tsv");
    /// std::fs::write(&path, "good\tbad\nShe sees herself.\tShe sees himself.\n")?;
    /// let columns = ["good", "bad"].map(str::to_owned);
    /// let config = PairConfig { columns, ..PairConfig::default() };
    /// let dataset = Dataset::read_pairs("pairs", &[path], &config)?;
    /// assert_eq!(dataset.texts, ["She sees herself.", "She sees himself."]);
    /// assert_eq!(dataset.classes, ["bad", "good"]);
    /// assert_eq!((dataset.labels, dataset.pairs), (vec![1, 0], vec![0, 0]));
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    pub fn read_pairs(
        name: &str,
        paths: &[impl AsRef<Path>],
        config: &PairConfig,
    ) -> Result<Self, ActivationError> {
        let shown = match paths {
            [path] => path.as_ref().display().to_string(),
            _ => name.to_owned(),
        };
        let [good, bad] = &config.columns;
        if good == bad {
            return Err(ActivationError::OneClass { name: shown, class: good.clone() });
        }
        // The file is read once for each column.
        let open = |column: &String, group: Option<&String>| {
            let (text, group) = (column.clone(), group.cloned());
            let columns =
                DatasetConfig { text, group, format: config.format, ..DatasetConfig::default() };
            TextReader::open_files(paths, &columns, LabelColumn::Ignored)
        };
        let mut readers = [open(good, config.group.as_ref())?, open(bad, None)?];
        let (mut texts, mut source_rows, mut groups, mut n_rows) =
            (Vec::new(), Vec::new(), Vec::new(), 0);
        loop {
            let [first, second] = &mut readers;
            match (first.next().transpose()?, second.next().transpose()?) {
                (Some(first), Some(second)) => {
                    if !is_empty(&first.text) && !is_empty(&second.text) {
                        texts.extend([first.text, second.text]);
                        source_rows.extend([n_rows; 2]);
                        groups.push(first.group);
                    }
                    n_rows += 1;
                }
                (None, None) => break,
                _ => {
                    let path = paths.first().map(|path| path.as_ref().to_owned());
                    return Err(ActivationError::Changed { path: path.unwrap_or_default() });
                }
            }
        }
        if texts.is_empty() {
            return Err(ActivationError::NoText { name: shown, n_rows });
        }
        let n_pairs = texts.len() / 2;
        let groups: Vec<usize> = match config.group {
            Some(_) => grouped(groups.iter().map(Option::as_deref)),
            None => (0..n_pairs).collect(),
        };
        let twice = |values: &[usize]| values.iter().flat_map(|&value| [value; 2]).collect();
        Ok(Self {
            name: name.to_owned(),
            labels: [1, 0].repeat(n_pairs),
            classes: vec![bad.clone(), good.clone()],
            groups: Some(twice(&groups)),
            pairs: (0..n_pairs).flat_map(|pair| [pair; 2]).collect(),
            skipped_empty: n_rows - n_pairs,
            texts,
            source_rows,
            words: Vec::new(),
            targets: None,
            hash: readers[0].hash(),
        })
    }
}

#[cfg(test)]
mod tests {
    use std::fs;

    use super::*;

    fn read(file: &str, content: &str, group: Option<&str>) -> Result<Dataset, ActivationError> {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join(file);
        fs::write(&path, content).unwrap();
        let columns = ["good", "bad"].map(str::to_owned);
        let config =
            PairConfig { columns, group: group.map(str::to_owned), ..PairConfig::default() };
        Dataset::read_pairs("data", &[path], &config)
    }

    #[test]
    fn a_row_is_two_texts_of_one_group() {
        let csv = "id,bad,good\nx,b0,g0\ny,b1,\nx,b2,g2\nz,b3,g3\n";
        let data = read("d.csv", csv, None).unwrap();
        assert_eq!(data.texts, ["g0", "b0", "g2", "b2", "g3", "b3"]);
        assert_eq!(data.labels, [1, 0, 1, 0, 1, 0]);
        assert_eq!(data.pairs, [0, 0, 1, 1, 2, 2]);
        assert_eq!((data.source_rows, data.skipped_empty), (vec![0, 0, 2, 2, 3, 3], 1));
        assert_eq!(data.groups, Some(vec![0, 0, 1, 1, 2, 2]));
        assert_eq!(data.hash, blake3::hash(csv.as_bytes()).to_hex().to_string());
        let data = read("d.csv", csv, Some("id")).unwrap();
        assert_eq!(data.groups, Some(vec![0, 0, 0, 0, 1, 1]));
    }

    #[test]
    fn json_lines_hold_pairs_too_and_what_is_missing_is_named() {
        let data = read("d.jsonl", "{\"good\": \"a\", \"bad\": \"b\"}\n", None).unwrap();
        assert_eq!(data.texts, ["a", "b"]);
        let error = read("d.jsonl", "{\"good\": \"a\"}", None).unwrap_err().to_string();
        assert!(error.contains("d.jsonl` line 1 has no column `bad`"), "{error}");
        let error = read("d.csv", "good,bad\n,b\n", None).unwrap_err();
        assert!(matches!(error, ActivationError::NoText { n_rows: 1, .. }));
    }
}
