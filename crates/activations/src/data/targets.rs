//! Targets other than classes: a number, several labels at once, or a distribution over classes.

use std::path::Path;

use serde::{Deserialize, Serialize};

use super::target_label::{NUMBER, PROBABILITY, SUM, SUM_TOLERANCE, fault, is_number};
use crate::{ActivationError, NpzArray, NpzData};

/// What a label is.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum LabelKind {
    /// One class.
    #[default]
    Class,
    /// A number.
    Number,
    /// Any number of labels, each there or not.
    Labels,
    /// A probability of each class.
    Distribution,
}

impl LabelKind {
    /// Whether a label is one class.
    pub fn is_class(&self) -> bool {
        *self == Self::Class
    }

    /// The name in configurations.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Class => "class",
            Self::Number => "number",
            Self::Labels => "labels",
            Self::Distribution => "distribution",
        }
    }
}

/// Targets other than classes, checked.
#[derive(Clone, Debug, PartialEq)]
pub struct Targets {
    /// What a label is, never [`LabelKind::Class`].
    pub kind: LabelKind,
    /// Name of each column: of the number, or of each label or class.
    pub names: Vec<String>,
    /// `[n, n_columns]`: the number; 1 where a label is there and 0 where it is not; or the
    /// probability of each class.
    pub values: Vec<f64>,
}

impl Targets {
    /// Number of columns, at least one.
    pub fn n_columns(&self) -> usize {
        self.names.len()
    }

    /// Number of rows.
    pub fn len(&self) -> usize {
        self.values.len() / self.names.len()
    }

    /// Whether there is no row.
    pub fn is_empty(&self) -> bool {
        self.values.is_empty()
    }

    /// Some rows, in this order.
    ///
    /// # Panics
    ///
    /// If there is no such row.
    #[must_use]
    pub fn rows(&self, rows: &[usize]) -> Self {
        let n = self.n_columns();
        let values = rows.iter().flat_map(|row| &self.values[row * n..(row + 1) * n]).copied();
        Self { kind: self.kind, names: self.names.clone(), values: values.collect() }
    }

    /// Some columns, in this order.
    ///
    /// # Panics
    ///
    /// If there is no such column.
    #[must_use]
    pub fn columns(&self, columns: &[usize]) -> Self {
        let rows = self.values.chunks_exact(self.n_columns());
        Self {
            kind: self.kind,
            names: columns.iter().map(|&column| self.names[column].clone()).collect(),
            values: rows.flat_map(|row| columns.iter().map(|&column| row[column])).collect(),
        }
    }

    /// The likeliest class of each row, of equals the first.
    pub fn likeliest(&self) -> Vec<usize> {
        let likeliest = |row: &[f64]| {
            (1..row.len()).fold(0, |best, class| if row[class] > row[best] { class } else { best })
        };
        self.values.chunks_exact(self.n_columns()).map(likeliest).collect()
    }

    /// A class for each row that a split can keep in proportion: none for a number, the rarest
    /// label of several, or the likeliest class.
    pub fn strata(&self) -> Vec<usize> {
        let n = self.n_columns();
        match self.kind {
            LabelKind::Class | LabelKind::Number => vec![0; self.len()],
            LabelKind::Distribution => self.likeliest(),
            LabelKind::Labels => {
                let mut counts = vec![0; n];
                for row in self.values.chunks_exact(n) {
                    for (count, value) in counts.iter_mut().zip(row) {
                        *count += usize::from(*value > 0.5);
                    }
                }
                let rarest = |row: &[f64]| {
                    let present = (0..n).filter(|&label| row[label] > 0.5);
                    present.min_by_key(|&label| counts[label]).unwrap_or(n)
                };
                self.values.chunks_exact(n).map(rarest).collect()
            }
        }
    }

    /// Adds rows of a file held out, whose columns must be among these.
    ///
    /// # Errors
    ///
    /// The name of a column that is not there.
    pub fn extend(&mut self, more: &Self) -> Result<(), String> {
        if self.kind == LabelKind::Number {
            self.values.extend(&more.values);
            return Ok(());
        }
        let place = |name: &String| {
            self.names.iter().position(|known| known == name).ok_or_else(|| name.clone())
        };
        let places: Vec<usize> = more.names.iter().map(place).collect::<Result<_, _>>()?;
        for row in more.values.chunks_exact(more.n_columns()) {
            let start = self.values.len();
            self.values.resize(start + self.names.len(), 0.0);
            for (&place, value) in places.iter().zip(row) {
                self.values[start + place] = *value;
            }
        }
        Ok(())
    }

    /// Takes `y` of `n` examples: `[n]`, or `[n, n_columns]` where it is not a number.
    pub(crate) fn from_array(
        path: &Path,
        kind: LabelKind,
        NpzArray { shape, data }: NpzArray,
        n: usize,
    ) -> Result<Self, ActivationError> {
        let n_columns = match (&shape[..], kind) {
            (&[rows], LabelKind::Number | LabelKind::Distribution) if rows == n => 1,
            (&[rows, columns], LabelKind::Labels) if rows == n && columns > 0 => columns,
            (&[rows, columns], LabelKind::Distribution) if rows == n && columns > 1 => columns,
            _ => {
                let (path, array) = (path.to_owned(), "y".to_owned());
                let expected = match kind {
                    LabelKind::Labels => "[n, n_labels]",
                    LabelKind::Distribution => "[n], or [n, n_classes]",
                    LabelKind::Class | LabelKind::Number => "[n]",
                };
                return Err(ActivationError::ArrayShape { path, array, shape, expected });
            }
        };
        let values: Vec<f64> = match data {
            NpzData::F32(values) => values.into_iter().map(f64::from).collect(),
            NpzData::F64(values) => values,
            integers => {
                let integers = integers.into_i64().unwrap_or_default();
                integers.into_iter().map(|value| value as f64).collect()
            }
        };
        Self::from_values(path, kind, values, n_columns)
    }

    /// Checks values, `[n, n_columns]`.
    fn from_values(
        path: &Path,
        kind: LabelKind,
        values: Vec<f64>,
        n_columns: usize,
    ) -> Result<Self, ActivationError> {
        let error = |row, value, expected| fault(path, row, "y", value, expected);
        let is_probability = |value: f64| (0.0..=1.0).contains(&value);
        let values = if kind == LabelKind::Distribution && n_columns == 1 {
            values.iter().flat_map(|p| [1.0 - p, *p]).collect()
        } else {
            values
        };
        let n_columns = if kind == LabelKind::Distribution { n_columns.max(2) } else { n_columns };
        for (row, values) in values.chunks_exact(n_columns).enumerate() {
            for &value in values {
                match kind {
                    LabelKind::Class | LabelKind::Number if is_number(value) => {}
                    LabelKind::Labels if is_probability(value) && value.fract() == 0.0 => {}
                    LabelKind::Distribution if is_probability(value) => {}
                    LabelKind::Class | LabelKind::Number => {
                        return Err(error(row, value.to_string(), NUMBER));
                    }
                    LabelKind::Labels => return Err(error(row, value.to_string(), "0 or 1")),
                    LabelKind::Distribution => {
                        return Err(error(row, value.to_string(), PROBABILITY));
                    }
                }
            }
            let sum: f64 = values.iter().sum();
            if kind == LabelKind::Distribution && (sum - 1.0).abs() > SUM_TOLERANCE {
                return Err(error(row, format!("{values:?}"), SUM));
            }
        }
        let names = match kind {
            LabelKind::Class | LabelKind::Number => vec!["y".to_owned()],
            _ => (0..n_columns).map(|column| column.to_string()).collect(),
        };
        Ok(Self { kind, names, values })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{Dataset, DatasetConfig};

    fn read(file: &str, text: &str, kind: LabelKind) -> Result<Dataset, ActivationError> {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join(file);
        std::fs::write(&path, text).unwrap();
        Dataset::read_targets("data", &[path], &DatasetConfig::default(), kind, ";")
    }

    fn error(file: &str, text: &str, kind: LabelKind) -> String {
        read(file, text, kind).unwrap_err().to_string()
    }

    #[test]
    fn numbers_are_read_as_they_stand() {
        let csv = "text,label\na,1.5\n,nan\nb, -2e3\n";
        let dataset = read("d.csv", csv, LabelKind::Number).unwrap();
        let targets = dataset.targets.unwrap();
        assert_eq!((targets.values, targets.names), (vec![1.5, -2000.0], vec!["label".to_owned()]));
        assert_eq!((dataset.labels, dataset.skipped_empty), (vec![0, 0], 1));
        assert_eq!(dataset.source_rows, [0, 2]);
        let jsonl = "{\"text\":\"a\",\"label\":1}\n{\"text\":\"b\",\"label\":\"0.25\"}\n";
        let targets = read("d.jsonl", jsonl, LabelKind::Number).unwrap().targets.unwrap();
        assert_eq!(targets.values, [1.0, 0.25]);
    }

    #[test]
    fn what_is_no_number_is_named_with_its_row() {
        for value in ["", "nan", "inf", "1e19", "x"] {
            let error = error("d.csv", &format!("text,label\na,1\nb,{value}\n"), LabelKind::Number);
            assert!(error.contains("row 2") && error.contains(&format!("`{value}`")), "{error}");
            assert!(error.contains("finite number"), "{error}");
        }
        let error = error("d.jsonl", "{\"text\":\"a\",\"label\":null}", LabelKind::Number);
        assert!(error.contains("row 1") && error.contains("`null`"), "{error}");
    }

    #[test]
    fn labels_are_columns_of_zeros_and_ones() {
        let csv = "text,label\na,x;y\nb,\nc,y ; y\n";
        let dataset = read("d.csv", csv, LabelKind::Labels).unwrap();
        let targets = dataset.targets.unwrap();
        assert_eq!(targets.names, ["x", "y"]);
        assert_eq!(targets.values, [1.0, 1.0, 0.0, 0.0, 0.0, 1.0]);
        // The rarest label of each, and none.
        assert_eq!(dataset.labels, [0, 2, 1]);
        let jsonl = "{\"text\":\"a\",\"label\":[10,\"9\"]}\n{\"text\":\"b\",\"label\":[]}\n";
        let targets = read("d.jsonl", jsonl, LabelKind::Labels).unwrap().targets.unwrap();
        assert_eq!(
            (targets.names.join(" "), targets.values),
            ("9 10".to_owned(), vec![1.0, 1.0, 0.0, 0.0])
        );
        assert!(error("d.csv", "text,label\na,x;;y\n", LabelKind::Labels).contains("`x;;y`"));
        assert!(
            error("d.csv", "text,label\na,\n", LabelKind::Labels).contains("no row has a label")
        );
        let error = error("d.jsonl", "{\"text\":\"a\",\"label\":\"x\"}", LabelKind::Labels);
        assert!(error.contains("a list of labels"), "{error}");
    }

    #[test]
    fn distributions_sum_to_1() {
        let jsonl = "{\"text\":\"a\",\"label\":{\"n\":0.25,\"y\":0.75}}\n\
                     {\"text\":\"b\",\"label\":{\"n\":1}}\n";
        let dataset = read("d.jsonl", jsonl, LabelKind::Distribution).unwrap();
        assert_eq!((dataset.classes.join(" "), dataset.labels), ("n y".to_owned(), vec![1, 0]));
        assert_eq!(dataset.targets.unwrap().values, [0.25, 0.75, 1.0, 0.0]);
        let dataset = read("d.csv", "text,label\na,0.25\nb,1\n", LabelKind::Distribution).unwrap();
        assert_eq!(dataset.targets.unwrap().values, [0.75, 0.25, 0.0, 1.0]);
        for (label, expected) in [
            ("{\"n\":0.5,\"y\":0.4}", "the sum 1"),
            ("{\"n\":1.5,\"y\":-0.5}", "from 0 to 1"),
            ("1.5", "from 0 to 1"),
            ("[1]", "an object"),
        ] {
            let line = format!("{{\"text\":\"a\",\"label\":{label}}}");
            let error = error("d.jsonl", &line, LabelKind::Distribution);
            assert!(error.contains(expected) && error.contains("row 1"), "{error}");
        }
        let mixed = "{\"text\":\"a\",\"label\":{\"n\":1}}\n{\"text\":\"b\",\"label\":0.5}\n";
        assert!(error("d.jsonl", mixed, LabelKind::Distribution).contains("in every row"));
    }

    #[test]
    fn rows_of_another_file_take_its_columns() {
        let targets = |names: &[&str], values: &[f64]| Targets {
            kind: LabelKind::Labels,
            names: names.iter().map(|&name| name.to_owned()).collect(),
            values: values.to_vec(),
        };
        let mut all = targets(&["a", "b"], &[1.0, 0.0]);
        all.extend(&targets(&["b"], &[1.0])).unwrap();
        assert_eq!(all.values, [1.0, 0.0, 0.0, 1.0]);
        assert_eq!(all.extend(&targets(&["c"], &[1.0])), Err("c".to_owned()));
        assert_eq!(all.rows(&[1]).columns(&[1]), targets(&["b"], &[1.0]));
    }
}
