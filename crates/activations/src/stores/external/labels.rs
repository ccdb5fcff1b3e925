//! `y` of a file of arrays: classes by name or by number, or targets other than classes.

use std::collections::BTreeSet;
use std::path::Path;

use super::array_file::ArrayFile;
use crate::data::classes::{class_indices, sorted_classes};
use crate::{ActivationError, ExternalError, LabelKind, Labels, NpzArray, NpzData};

/// The label of every row of a file.
pub(super) enum RowLabels {
    /// There are none, or none were asked for.
    Absent,
    /// Names of classes, of rows that have one, and their order where the file gives it.
    Classes { names: Vec<Option<String>>, order: Option<Vec<String>> },
    /// Targets other than classes.
    Targets(Labels),
}

/// Labels of some rows.
pub(super) struct KeptLabels {
    pub(super) classes: Vec<String>,
    pub(super) labels: Option<Vec<usize>>,
    pub(super) targets: Option<Labels>,
}

impl RowLabels {
    /// Takes `y` of `n` rows, `[n]` or `[n, 1]`, or of several columns where the kind has them.
    pub(super) fn new(
        path: &Path,
        kind: LabelKind,
        (mut y, n): (NpzArray, usize),
        class_names: Option<Vec<String>>,
    ) -> Result<Self, ActivationError> {
        if y.shape == [n, 1] {
            y.shape.pop();
        }
        if kind.is_class() {
            return classes(path, y.data, class_names);
        }
        if let NpzData::Text(_) = y.data {
            let (path, array) = (path.to_owned(), "y".to_owned());
            let (dtype, expected) = ("strings".to_owned(), "numbers for this `label_kind`");
            return Err(ExternalError::ArrayType { path, array, dtype, expected }.into());
        }
        if y.shape == [n] && kind == LabelKind::Labels {
            y.shape.push(1);
        }
        let mut targets = Labels::from_array(path, kind, y, n)?;
        if let Some(names) = class_names.filter(|names| names.len() == targets.names.len()) {
            targets.names = names;
        }
        Ok(Self::Targets(targets))
    }

    /// Whether a row has a label, if rows need one.
    pub(super) fn has(&self, row: usize) -> bool {
        match self {
            Self::Classes { names, .. } => names[row].is_some(),
            Self::Absent | Self::Targets(_) => true,
        }
    }

    /// The labels of some rows, each of which has one.
    pub(super) fn of(&self, rows: &[usize]) -> KeptLabels {
        match self {
            Self::Absent => KeptLabels { classes: Vec::new(), labels: None, targets: None },
            Self::Targets(targets) => {
                let targets = targets.select(rows);
                KeptLabels {
                    classes: targets.names.clone(),
                    labels: Some(targets.strata()),
                    targets: Some(targets),
                }
            }
            Self::Classes { names, order } => {
                let names: Vec<String> =
                    rows.iter().filter_map(|&row| names[row].clone()).collect();
                let classes = match order {
                    // A class without an example is none that can be learned.
                    Some(order) => {
                        let there: BTreeSet<&String> = names.iter().collect();
                        order.iter().filter(|class| there.contains(class)).cloned().collect()
                    }
                    None => sorted_classes(names.iter().map(String::as_str)),
                };
                let labels = class_indices(&classes, &names);
                KeptLabels { classes, labels: Some(labels), targets: None }
            }
        }
    }
}

/// Classes by name: the string, the name at the number, or the number itself.
fn classes(
    path: &Path,
    data: NpzData,
    order: Option<Vec<String>>,
) -> Result<RowLabels, ActivationError> {
    if let NpzData::Text(labels) = data {
        if let Some(order) = &order {
            let unknown = |label: &String| !label.is_empty() && !order.contains(label);
            if let Some(example) = labels.iter().position(unknown) {
                let (path, label) = (path.to_owned(), labels[example].clone());
                let class_names = order.clone();
                let error = ExternalError::UnknownLabel { path, example, label, class_names };
                return Err(error.into());
            }
        }
        let named = |label: String| (!label.is_empty()).then_some(label);
        return Ok(RowLabels::Classes { names: labels.into_iter().map(named).collect(), order });
    }
    let numbers = match data {
        NpzData::F32(values) => whole(path, values.into_iter().map(f64::from))?,
        NpzData::F64(values) => whole(path, values.into_iter())?,
        integers => integers.into_i64().unwrap_or_default().into_iter().map(Some).collect(),
    };
    let name = |(example, number): (usize, Option<i64>)| match (number, &order) {
        // -1 of named classes is what `probe extract` writes of a row without a label.
        (None, _) | (Some(-1), Some(_)) => Ok(None),
        (Some(number), None) => Ok(Some(number.to_string())),
        (Some(label), Some(order)) => {
            let known = usize::try_from(label).ok().and_then(|label| order.get(label));
            known.cloned().map(Some).ok_or_else(|| {
                let (path, n_classes) = (path.to_owned(), order.len());
                ExternalError::LabelWithoutName { path, example, label, n_classes }.into()
            })
        }
    };
    let names: Result<_, ActivationError> = numbers.into_iter().enumerate().map(name).collect();
    Ok(RowLabels::Classes { names: names?, order })
}

/// Floats as integers; NaN is a label that is missing.
fn whole(
    path: &Path,
    values: impl Iterator<Item = f64>,
) -> Result<Vec<Option<i64>>, ActivationError> {
    let whole = |(example, value): (usize, f64)| {
        if value.is_nan() {
            return Ok(None);
        }
        if is_whole(value) {
            return Ok(Some(value as i64));
        }
        Err(ExternalError::FractionalLabel { path: path.to_owned(), example, value }.into())
    };
    values.enumerate().map(whole).collect()
}

/// Whether a float is an integer that it holds exactly.
fn is_whole(value: f64) -> bool {
    value.fract() == 0.0 && value.abs() < 2_f64.powi(53)
}

/// Whether `y` of a file of arrays holds floats of which some are no integers, and so no classes.
///
/// `false` of what cannot be read: whoever reads the activations says what is wrong.
pub fn has_fractional_labels(path: &Path) -> bool {
    let fractional = |value: f64| !value.is_nan() && !is_whole(value);
    let y = ArrayFile::open(path).and_then(|file| file.read("y", None));
    match y.ok().flatten().map(|y| y.data) {
        Some(NpzData::F32(values)) => values.into_iter().map(f64::from).any(fractional),
        Some(NpzData::F64(values)) => values.into_iter().any(fractional),
        _ => false,
    }
}
