//! Labels that are no classes: a number, several labels at once, or a distribution over classes.

use std::collections::{BTreeMap, BTreeSet};
use std::path::Path;

use serde::{Deserialize, Serialize};
use serde_json::Value;

use crate::dataset::{grouped, is_empty, sorted_classes};
use crate::json_lines::name_from;
use crate::table::{LabelColumn, TextReader, TextRow, name_of};
use crate::{ActivationError, Dataset, DatasetConfig};

/// Largest magnitude of a number that is predicted; the square of anything larger leaves the range
/// of `f32`.
const LARGEST: f64 = 1e18;

/// Largest distance of the sum of a distribution from 1.
const SUM_TOLERANCE: f64 = 1e-4;

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

/// Labels that are no classes, checked.
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

    /// Takes `y` of activations: `[n]` or `[n, n_columns]`.
    pub(crate) fn from_array(
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

impl Dataset {
    /// Reads texts whose labels are no classes.
    ///
    /// `separator` stands between labels in CSV and TSV files. Labels are then
    /// [`Dataset::targets`], and [`Dataset::labels`] are [`Targets::strata`].
    ///
    /// # Errors
    ///
    /// - as [`Dataset::read_files`]
    /// - [`ActivationError::BadTarget`] if a label is not what `kind` says
    ///
    /// # Memory
    ///
    /// The texts.
    pub fn read_targets(
        name: &str,
        paths: &[impl AsRef<Path>],
        config: &DatasetConfig,
        kind: LabelKind,
        separator: &str,
    ) -> Result<Self, ActivationError> {
        let mut reader = TextReader::open_files(paths, config, LabelColumn::Raw)?;
        let (mut n_rows, mut row_of_file) = (0, 0);
        let (mut source_rows, mut rows, mut labels) = (Vec::new(), Vec::<TextRow>::new(), vec![]);
        let mut file = reader.path().to_owned();
        while let Some(row) = reader.next() {
            let mut row = row?;
            if file != reader.path() {
                reader.path().clone_into(&mut file);
                row_of_file = 0;
            }
            row_of_file += 1;
            if !is_empty(&row.text) {
                let is_json = file.extension().is_some_and(|end| end.eq_ignore_ascii_case("jsonl"));
                let text = row.label.take().unwrap_or_default();
                let label = Label::parse(&text, is_json, kind, separator).map_err(|expected| {
                    fault(&file, row_of_file - 1, &config.label, text.clone(), expected)
                })?;
                if labels.first().is_some_and(|first| !label.is_like(first)) {
                    let expected = "an object in every row, or a number in every row";
                    return Err(fault(&file, row_of_file - 1, &config.label, text, expected));
                }
                labels.push(label);
                source_rows.push(n_rows);
                rows.push(row);
            }
            n_rows += 1;
        }
        if rows.is_empty() {
            let name = file.display().to_string();
            return Err(ActivationError::NoText { name, n_rows });
        }
        let targets = targets_of(labels, kind, &config.label);
        if targets.names.is_empty() {
            return Err(ActivationError::NoLabel { path: file, column: config.label.clone() });
        }
        let classes = match kind {
            LabelKind::Labels => {
                targets.names.iter().cloned().chain(["no label".to_owned()]).collect()
            }
            _ => targets.names.clone(),
        };
        let groups =
            config.group.as_ref().map(|_| grouped(rows.iter().map(|row| row.group.as_deref())));
        Ok(Self {
            name: name.to_owned(),
            labels: targets.strata(),
            classes,
            groups,
            skipped_empty: n_rows - rows.len(),
            texts: rows.into_iter().map(|row| row.text).collect(),
            source_rows,
            pairs: Vec::new(),
            words: Vec::new(),
            targets: Some(targets),
            hash: reader.hash(),
        })
    }
}

/// What was expected of a number.
const NUMBER: &str = "a finite number of magnitude at most 1e18; correct it or remove the row";
/// What was expected of a probability.
const PROBABILITY: &str = "a probability from 0 to 1; correct it or remove the row";
/// What was expected of the probabilities of a row.
const SUM: &str = "probabilities with the sum 1; correct them or remove the row";

fn is_number(value: f64) -> bool {
    value.abs() <= LARGEST
}

fn fault(
    path: &Path,
    row: usize,
    column: &str,
    value: impl Into<String>,
    expected: &'static str,
) -> ActivationError {
    let (path, column) = (path.to_owned(), column.to_owned());
    ActivationError::BadTarget { path, row: row + 1, column, value: value.into(), expected }
}

/// One label as it stands in a file.
enum Label {
    Number(f64),
    Names(BTreeSet<String>),
    /// Probability of each class by name; a class that is not named has none.
    Shares(BTreeMap<String, f64>),
    /// Probability of the second of two classes without names.
    Share(f64),
}

impl Label {
    /// Whether both name their classes, or neither does.
    fn is_like(&self, other: &Self) -> bool {
        std::mem::discriminant(self) == std::mem::discriminant(other)
    }

    /// Reads a label: JSON, or the field of a delimited file. The error is what was expected.
    fn parse(
        text: &str,
        is_json: bool,
        kind: LabelKind,
        separator: &str,
    ) -> Result<Self, &'static str> {
        let value =
            if is_json { serde_json::from_str(text).unwrap_or(Value::Null) } else { text.into() };
        let number = |value: &Value| match value {
            Value::Number(number) => number.as_f64(),
            Value::String(text) => text.trim().parse().ok(),
            _ => None,
        };
        match kind {
            LabelKind::Class | LabelKind::Number => {
                number(&value).filter(|value| is_number(*value)).map(Self::Number).ok_or(NUMBER)
            }
            LabelKind::Labels => match value {
                Value::Array(values) => names(values.into_iter().map(name_from)),
                Value::String(text) if !is_json => {
                    let text = text.trim();
                    let names_of = |part: &str| match name_of(part) {
                        name if name.is_empty() => Err("an empty string"),
                        name => Ok(name),
                    };
                    if text.is_empty() {
                        return Ok(Self::Names(BTreeSet::new()));
                    }
                    names(text.split(separator).map(names_of))
                }
                _ => Err("a list of labels such as [\"news\", \"sport\"]"),
            },
            LabelKind::Distribution => match value {
                Value::Object(shares) => distribution(shares),
                value => {
                    let share = number(&value).filter(|p| (0.0..=1.0).contains(p));
                    share.map(Self::Share).ok_or(
                        "an object such as {\"no\": 0.3, \"yes\": 0.7}, or the probability of the \
                         second class, from 0 to 1",
                    )
                }
            },
        }
    }
}

fn names(
    values: impl Iterator<Item = Result<String, &'static str>>,
) -> Result<Label, &'static str> {
    let names = values.collect::<Result<BTreeSet<String>, _>>();
    names.map(Label::Names).map_err(|_| "labels that are strings or integers, none of them empty")
}

fn distribution(shares: serde_json::Map<String, Value>) -> Result<Label, &'static str> {
    let mut found = BTreeMap::new();
    for (class, share) in shares {
        let class = name_of(&class);
        let share = share.as_f64().filter(|p| (0.0..=1.0).contains(p)).ok_or(PROBABILITY)?;
        if class.is_empty() || found.insert(class, share).is_some() {
            return Err("classes with distinct names, none of them empty");
        }
    }
    let sum: f64 = found.values().sum();
    if (sum - 1.0).abs() > SUM_TOLERANCE { Err(SUM) } else { Ok(Label::Shares(found)) }
}

/// Labels as a table; no column if no row has a label.
fn targets_of(labels: Vec<Label>, kind: LabelKind, column: &str) -> Targets {
    let mut distinct: BTreeSet<&str> = BTreeSet::new();
    for label in &labels {
        match label {
            Label::Names(names) => distinct.extend(names.iter().map(String::as_str)),
            Label::Shares(shares) => distinct.extend(shares.keys().map(String::as_str)),
            Label::Number(_) | Label::Share(_) => {}
        }
    }
    let mut names = sorted_classes(distinct.into_iter());
    if kind == LabelKind::Number {
        names = vec![column.to_owned()];
    } else if let Some(Label::Share(_)) = labels.first() {
        names = vec!["0".to_owned(), "1".to_owned()];
    }
    let values = labels.iter().flat_map(|label| match label {
        Label::Number(value) => vec![*value],
        Label::Names(found) => {
            names.iter().map(|name| f64::from(u8::from(found.contains(name)))).collect()
        }
        Label::Shares(shares) => {
            names.iter().map(|name| shares.get(name).copied().unwrap_or(0.0)).collect()
        }
        Label::Share(share) => vec![1.0 - share, *share],
    });
    let values = values.collect();
    Targets { kind, names, values }
}

#[cfg(test)]
#[expect(clippy::float_cmp, reason = "these values are exact")]
mod tests {
    use super::*;

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
        assert!(error("d.csv", "text,label\na,\n", LabelKind::Labels).contains("no label"));
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
