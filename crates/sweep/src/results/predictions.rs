//! What the chosen probes say about every example held out, as a file.

use std::collections::BTreeMap;
use std::path::Path;

use attention_probes_activations::{NpzArray, read_npz, write_npz};
use attention_probes_metrics::{ClassScores, MetricError, predicted_class};
use attention_probes_probes::{n_out, probabilities_from_logits};

use crate::SweepError;

/// Logits of the chosen probe of every architecture on the examples held out: the content of
/// `predictions.npz`.
#[derive(Clone, Debug, PartialEq)]
pub struct Predictions {
    /// On the examples that chose a trial.
    pub validation: SidePredictions,
    /// On the examples that thresholds and calibrators alone were fitted on, if there are any.
    pub calibration: Option<SidePredictions>,
    /// On the examples that nothing was chosen by.
    pub test: SidePredictions,
}

/// What probes say about the examples of one side.
#[derive(Clone, Debug, PartialEq)]
pub struct SidePredictions {
    /// The examples.
    pub examples: HeldOutExamples,
    /// For each architecture, by name, the logits of its chosen probe, `[n_examples, n_out]`.
    pub logits: BTreeMap<String, Vec<f32>>,
}

/// Examples of one side of a split; every list is `[n_examples]`.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct HeldOutExamples {
    /// Class of each.
    pub labels: Vec<usize>,
    /// Row of the file that each is from, from 0; of an example held out in a file of its own, of
    /// that file.
    pub rows: Vec<usize>,
    /// Number of tokens that a probe sees of each.
    pub n_tokens: Vec<usize>,
    /// Group of each; examples of one group are not independent. `None` if every one stands alone.
    pub groups: Option<Vec<usize>>,
    /// Pair of each, where the texts are minimal pairs.
    pub pairs: Option<Vec<usize>>,
}

impl SidePredictions {
    /// Probabilities of an architecture, `[n_examples, n_classes]`.
    pub fn probabilities(&self, config_name: &str, n_classes: usize) -> Option<Vec<f64>> {
        let logits = self.logits_of(config_name, n_classes)?;
        Some(probabilities_from_logits(logits, n_classes))
    }

    /// Logits of an architecture, `[n_examples, n_out]`, if there are as many as there have to be.
    fn logits_of(&self, config_name: &str, n_classes: usize) -> Option<&[f32]> {
        let logits = self.logits.get(config_name)?;
        let n = self.examples.labels.len() * n_out(n_classes);
        (logits.len() == n && n > 0).then_some(&logits[..])
    }

    /// Probabilities of an architecture and the log-odds that rank; `None` as of
    /// [`Self::probabilities`].
    pub fn scores(
        &self,
        config_name: &str,
        n_classes: usize,
    ) -> Option<Result<ClassScores, MetricError>> {
        let logits = self.logits_of(config_name, n_classes)?;
        Some(ClassScores::from_logits(logits, n_classes))
    }

    /// Classes that an architecture predicts, `[n_examples]`.
    pub fn predicted(&self, config_name: &str, n_classes: usize) -> Option<Vec<usize>> {
        let probabilities = self.probabilities(config_name, n_classes)?;
        Some(probabilities.chunks(n_classes).map(|row| predicted_class(row, 0.5)).collect())
    }

    fn arrays(&self, side: &str) -> Vec<(String, NpzArray)> {
        let integers = |values: &[usize]| {
            let values: Vec<i64> = values.iter().map(|&value| value as i64).collect();
            NpzArray::new(vec![values.len()], values)
        };
        let HeldOutExamples { labels, rows, n_tokens, groups, pairs } = &self.examples;
        let mut arrays = vec![
            (format!("{side}/labels"), integers(labels)),
            (format!("{side}/rows"), integers(rows)),
            (format!("{side}/n_tokens"), integers(n_tokens)),
        ];
        arrays.extend(groups.iter().map(|groups| (format!("{side}/groups"), integers(groups))));
        arrays.extend(pairs.iter().map(|pairs| (format!("{side}/pairs"), integers(pairs))));
        for (name, logits) in &self.logits {
            let shape = vec![labels.len(), logits.len().checked_div(labels.len()).unwrap_or(0)];
            let array = NpzArray::new(shape, logits.clone());
            arrays.push((format!("{side}/logits/{name}"), array));
        }
        arrays
    }

    /// Takes the arrays of a side out of a file; `None` if one is missing or does not fit.
    fn take(side: &str, arrays: &mut BTreeMap<String, NpzArray>) -> Option<Self> {
        let mut integers = |name: &str| -> Option<Vec<usize>> {
            let values = arrays.remove(&format!("{side}/{name}"))?.data.into_i64()?;
            values.into_iter().map(|value| usize::try_from(value).ok()).collect()
        };
        let labels = integers("labels")?;
        let (rows, n_tokens) = (integers("rows")?, integers("n_tokens")?);
        let (groups, pairs) = (integers("groups"), integers("pairs"));
        let n = labels.len();
        let fits = |list: &Vec<usize>| list.len() == n;
        let may_be_absent = [&groups, &pairs].into_iter().flatten().all(fits);
        if !(fits(&rows) && fits(&n_tokens) && may_be_absent) {
            return None;
        }
        let prefix = format!("{side}/logits/");
        let names: Vec<String> =
            arrays.keys().filter(|name| name.starts_with(&prefix)).cloned().collect();
        let mut logits = BTreeMap::new();
        for name in names {
            let array = arrays.remove(&name)?;
            let fits = array.shape.first() == Some(&n);
            let values = array.data.into_f32().filter(|_| fits)?;
            // A run writes finite numbers only.
            let is_sound = values.iter().all(|value| value.is_finite());
            logits.insert(name[prefix.len()..].to_owned(), Some(values).filter(|_| is_sound)?);
        }
        let examples = HeldOutExamples { labels, rows, n_tokens, groups, pairs };
        Some(Self { examples, logits })
    }
}

impl Predictions {
    /// Writes the file under a temporary name and renames it.
    pub(crate) fn write(&self, path: &Path) -> Result<(), SweepError> {
        let mut arrays = self.validation.arrays("validation");
        arrays.extend(self.calibration.iter().flat_map(|side| side.arrays("calibration")));
        arrays.extend(self.test.arrays("test"));
        let named: Vec<(&str, NpzArray)> =
            arrays.iter().map(|(name, array)| (name.as_str(), array.clone())).collect();
        Ok(write_npz(path, &named)?)
    }

    /// Reads `predictions.npz` of an experiment.
    ///
    /// # Errors
    ///
    /// - [`SweepError::Activation`] if the file is no npz
    /// - [`SweepError::Predictions`] if an array is missing or does not fit the others
    pub fn read(path: &Path) -> Result<Self, SweepError> {
        let mut arrays = read_npz(path)?;
        let mut take = |side: &str| SidePredictions::take(side, &mut arrays);
        let (validation, calibration, test) =
            (take("validation"), take("calibration"), take("test"));
        let (Some(validation), Some(test)) = (validation, test) else {
            return Err(SweepError::Predictions { path: path.to_owned() });
        };
        Ok(Self { validation, calibration, test })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn side(n: usize, groups: Option<Vec<usize>>) -> SidePredictions {
        let examples = HeldOutExamples {
            labels: (0..n).map(|i| i % 2).collect(),
            rows: (0..n).map(|i| 3 * i).collect(),
            n_tokens: vec![5; n],
            pairs: groups.clone(),
            groups,
        };
        let logits = (0..n).map(|i| i as f32 - 1.5).collect();
        SidePredictions { examples, logits: BTreeMap::from([("attention-2".to_owned(), logits)]) }
    }

    #[test]
    fn what_is_written_is_read_back() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("predictions.npz");
        for calibration in [None, Some(side(2, None))] {
            let test = side(4, Some(vec![0, 0, 1, 1]));
            let written = Predictions { validation: side(3, None), calibration, test };
            written.write(&path).unwrap();
            assert_eq!(Predictions::read(&path).unwrap(), written);
        }
        let test = Predictions::read(&path).unwrap().test;
        assert_eq!(test.predicted("attention-2", 2).unwrap(), [0, 0, 1, 1]);
        assert_eq!(test.predicted("mlp", 2), None);
        assert_eq!(test.predicted("attention-2", 3), None);
    }

    #[test]
    fn arrays_that_do_not_fit_are_refused() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("predictions.npz");
        let mut short = side(4, None);
        short.examples.n_tokens.pop();
        let mut without_a_number = side(4, None);
        without_a_number.logits.insert("mlp".to_owned(), vec![0.0, f32::NAN, 1.0, 2.0]);
        for test in [short, without_a_number] {
            let written = Predictions { validation: side(3, None), calibration: None, test };
            written.write(&path).unwrap();
            assert!(matches!(Predictions::read(&path), Err(SweepError::Predictions { .. })));
        }
    }
}
