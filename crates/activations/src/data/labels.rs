//! Labels of examples: a class, a number, several labels at once, or a distribution over classes.

use std::path::Path;

use serde::{Deserialize, Serialize};

use super::label_fault::{NUMBER, PROBABILITY, SUM, SUM_TOLERANCE, fault, is_number};
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

/// Labels of examples, all of one kind.
///
/// # Examples
///
/// ```
/// use attention_probes::activations::{LabelKind, Labels};
///
/// let classes = Labels::numbered(vec![1, 0, 1], 2);
/// assert_eq!((classes.kind(), classes.len(), classes.classes()), (LabelKind::Class, 3, &[1, 0, 1][..]));
/// let ages = Labels::of_numbers(vec![31.0, 4.5], "age");
/// assert_eq!((ages.kind(), ages.len(), ages.numbers()), (LabelKind::Number, 2, &[31.0, 4.5][..]));
/// ```
#[derive(Clone, Debug, PartialEq)]
pub struct Labels {
    /// Name of each class or label; of a number its name alone.
    pub names: Vec<String>,
    /// The labels themselves.
    pub values: LabelValues,
}

/// Labels of examples, by kind.
#[derive(Clone, Debug, PartialEq)]
pub enum LabelValues {
    /// The class of each example, an index into the names.
    Class(Vec<usize>),
    /// A number for each example.
    Number(Vec<f64>),
    /// 1 where a label is there and 0 where it is not, `[n, n_labels]`.
    Labels(Vec<f64>),
    /// The probability of each class, `[n, n_classes]`.
    Distribution(Vec<f64>),
}

impl Labels {
    /// One class for each example, an index into the names.
    pub fn of_classes(values: Vec<usize>, names: Vec<String>) -> Self {
        Self { names, values: LabelValues::Class(values) }
    }

    /// One class for each example; the classes are called `0`, `1`, and so on.
    pub fn numbered(values: Vec<usize>, n_classes: usize) -> Self {
        Self::of_classes(values, (0..n_classes).map(|class| class.to_string()).collect())
    }

    /// A number for each example.
    pub fn of_numbers(values: Vec<f64>, name: impl Into<String>) -> Self {
        Self { names: vec![name.into()], values: LabelValues::Number(values) }
    }

    /// Several labels at once, 1 where one is there and 0 where it is not: `[n, n_labels]`, row-major.
    pub fn of_labels(values: Vec<f64>, names: Vec<String>) -> Self {
        Self { names, values: LabelValues::Labels(values) }
    }

    /// A distribution over the classes for each example: `[n, n_classes]`, row-major.
    pub fn of_distributions(values: Vec<f64>, names: Vec<String>) -> Self {
        Self { names, values: LabelValues::Distribution(values) }
    }

    /// Labels that are no classes, `[n, n_columns]` with as many columns as names.
    pub(crate) fn of_kind(kind: LabelKind, names: Vec<String>, values: Vec<f64>) -> Self {
        let values = match kind {
            LabelKind::Class => {
                LabelValues::Class(values.into_iter().map(|value| value as usize).collect())
            }
            LabelKind::Number => LabelValues::Number(values),
            LabelKind::Labels => LabelValues::Labels(values),
            LabelKind::Distribution => LabelValues::Distribution(values),
        };
        Self { names, values }
    }

    /// What a label is.
    pub fn kind(&self) -> LabelKind {
        match self.values {
            LabelValues::Class(_) => LabelKind::Class,
            LabelValues::Number(_) => LabelKind::Number,
            LabelValues::Labels(_) => LabelKind::Labels,
            LabelValues::Distribution(_) => LabelKind::Distribution,
        }
    }

    /// The class of each example; none where labels are not classes.
    pub fn classes(&self) -> &[usize] {
        match &self.values {
            LabelValues::Class(values) => values,
            _ => &[],
        }
    }

    /// The numbers of all examples, `[n, n_columns]`; none where labels are classes.
    pub fn numbers(&self) -> &[f64] {
        match &self.values {
            LabelValues::Class(_) => &[],
            LabelValues::Number(values)
            | LabelValues::Labels(values)
            | LabelValues::Distribution(values) => values,
        }
    }

    /// Numbers of an example: one of a class or a number, else one for each name.
    pub fn n_columns(&self) -> usize {
        match self.values {
            LabelValues::Class(_) | LabelValues::Number(_) => 1,
            LabelValues::Labels(_) | LabelValues::Distribution(_) => self.names.len(),
        }
    }

    /// Number of examples.
    pub fn len(&self) -> usize {
        match &self.values {
            LabelValues::Class(values) => values.len(),
            LabelValues::Number(values) => values.len(),
            LabelValues::Labels(values) | LabelValues::Distribution(values) => {
                values.len() / self.names.len().max(1)
            }
        }
    }

    /// Whether there is no example.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// Some examples, in this order.
    ///
    /// # Panics
    ///
    /// If there is no such example.
    #[must_use]
    pub fn select(&self, examples: &[usize]) -> Self {
        let n = self.n_columns();
        let of = |values: &[f64]| {
            examples.iter().flat_map(|i| &values[i * n..(i + 1) * n]).copied().collect()
        };
        let values = match &self.values {
            LabelValues::Class(values) => {
                LabelValues::Class(examples.iter().map(|&i| values[i]).collect())
            }
            LabelValues::Number(values) => LabelValues::Number(of(values)),
            LabelValues::Labels(values) => LabelValues::Labels(of(values)),
            LabelValues::Distribution(values) => LabelValues::Distribution(of(values)),
        };
        Self { names: self.names.clone(), values }
    }

    /// Some of several labels, in this order.
    ///
    /// # Panics
    ///
    /// If there is no such label.
    #[must_use]
    pub fn columns(&self, columns: &[usize]) -> Self {
        let rows = self.numbers().chunks_exact(self.n_columns());
        let values = rows.flat_map(|row| columns.iter().map(|&column| row[column])).collect();
        let names = columns.iter().map(|&column| self.names[column].clone()).collect();
        Self::of_kind(self.kind(), names, values)
    }

    /// The class of each example, or of a distribution the likeliest, of equals the first.
    pub fn likeliest(&self) -> Vec<usize> {
        let likeliest = |row: &[f64]| {
            (1..row.len()).fold(0, |best, class| if row[class] > row[best] { class } else { best })
        };
        match &self.values {
            LabelValues::Class(values) => values.clone(),
            _ => self.numbers().chunks_exact(self.n_columns()).map(likeliest).collect(),
        }
    }

    /// A class for each example that a split can keep in proportion: its class or the likeliest, the
    /// rarest label of several, and none for a number.
    pub fn strata(&self) -> Vec<usize> {
        let n = self.n_columns();
        match &self.values {
            LabelValues::Number(values) => vec![0; values.len()],
            LabelValues::Class(_) | LabelValues::Distribution(_) => self.likeliest(),
            LabelValues::Labels(values) => {
                let mut counts = vec![0; n];
                for row in values.chunks_exact(n) {
                    for (count, value) in counts.iter_mut().zip(row) {
                        *count += usize::from(*value > 0.5);
                    }
                }
                let rarest = |row: &[f64]| {
                    let present = (0..n).filter(|&label| row[label] > 0.5);
                    present.min_by_key(|&label| counts[label]).unwrap_or(n)
                };
                values.chunks_exact(n).map(rarest).collect()
            }
        }
    }

    /// Adds labels of the same kind of a file held out, whose names must be among these; the name of a
    /// number may differ.
    ///
    /// # Errors
    ///
    /// A name that is not there.
    pub fn extend(&mut self, more: &Self) -> Result<(), String> {
        let place = |name: &String| {
            self.names.iter().position(|known| known == name).ok_or_else(|| name.clone())
        };
        let values = match &mut self.values {
            LabelValues::Number(values) => {
                values.extend(more.numbers());
                return Ok(());
            }
            LabelValues::Class(values) => {
                let places: Vec<usize> = more.names.iter().map(place).collect::<Result<_, _>>()?;
                values.extend(more.classes().iter().map(|&class| places[class]));
                return Ok(());
            }
            LabelValues::Labels(values) | LabelValues::Distribution(values) => values,
        };
        let places: Vec<usize> = more.names.iter().map(place).collect::<Result<_, _>>()?;
        for row in more.numbers().chunks_exact(more.n_columns()) {
            let start = values.len();
            values.resize(start + self.names.len(), 0.0);
            for (&place, value) in places.iter().zip(row) {
                values[start + place] = *value;
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
        Ok(Self::of_kind(kind, names, values))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{Dataset, DatasetConfig, PlainLabels};

    fn read(file: &str, text: &str, kind: LabelKind) -> Result<Dataset, ActivationError> {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join(file);
        std::fs::write(&path, text).unwrap();
        let labels = PlainLabels { kind, separator: ";" };
        Dataset::read_with("data", &[path], &DatasetConfig::default(), &labels)
    }

    fn error(file: &str, text: &str, kind: LabelKind) -> String {
        read(file, text, kind).unwrap_err().to_string()
    }

    #[test]
    fn numbers_are_read_as_they_stand() {
        let csv = "text,label\na,1.5\n,nan\nb, -2e3\n";
        let dataset = read("d.csv", csv, LabelKind::Number).unwrap();
        let targets = dataset.targets.unwrap();
        assert_eq!(
            (targets.numbers(), targets.names.clone()),
            (&[1.5, -2000.0][..], vec!["label".to_owned()])
        );
        assert_eq!((dataset.labels, dataset.skipped_empty), (vec![0, 0], 1));
        assert_eq!(dataset.source_rows, [0, 2]);
        let jsonl = "{\"text\":\"a\",\"label\":1}\n{\"text\":\"b\",\"label\":\"0.25\"}\n";
        let targets = read("d.jsonl", jsonl, LabelKind::Number).unwrap().targets.unwrap();
        assert_eq!(targets.numbers(), [1.0, 0.25]);
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
        assert_eq!(targets.numbers(), [1.0, 1.0, 0.0, 0.0, 0.0, 1.0]);
        // The rarest label of each, and none.
        assert_eq!(dataset.labels, [0, 2, 1]);
        let jsonl = "{\"text\":\"a\",\"label\":[10,\"9\"]}\n{\"text\":\"b\",\"label\":[]}\n";
        let targets = read("d.jsonl", jsonl, LabelKind::Labels).unwrap().targets.unwrap();
        assert_eq!(
            (targets.names.join(" "), targets.numbers()),
            ("9 10".to_owned(), &[1.0, 1.0, 0.0, 0.0][..])
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
        assert_eq!(dataset.targets.unwrap().numbers(), [0.25, 0.75, 1.0, 0.0]);
        let dataset = read("d.csv", "text,label\na,0.25\nb,1\n", LabelKind::Distribution).unwrap();
        assert_eq!(dataset.targets.unwrap().numbers(), [0.75, 0.25, 0.0, 1.0]);
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
        let targets = |names: &[&str], values: &[f64]| {
            let names = names.iter().map(|&name| name.to_owned()).collect();
            Labels::of_labels(values.to_vec(), names)
        };
        let mut all = targets(&["a", "b"], &[1.0, 0.0]);
        all.extend(&targets(&["b"], &[1.0])).unwrap();
        assert_eq!(all.numbers(), [1.0, 0.0, 0.0, 1.0]);
        assert_eq!(all.extend(&targets(&["c"], &[1.0])), Err("c".to_owned()));
        assert_eq!(all.select(&[1]).columns(&[1]), targets(&["b"], &[1.0]));
    }
}
