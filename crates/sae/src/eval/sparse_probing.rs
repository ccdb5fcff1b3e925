//! k-sparse probing: how well a class is told from a few features.

use attention_probes_errors::{Stop, ValueError};
use attention_probes_probes::{
    Features, LogisticConfig, LogisticData, LogisticTargets, logistic_path,
};
use serde::Serialize;

use super::binary_probe::{BinaryProbeConfig, Split, train_binary_probe};
use super::encoded::Texts;
use super::examples::{ClassTexts, Example, Rows, Sampling, mean_difference, one_against_others};
use super::texts::check_width;
use crate::{Sae, SaeError};

/// How k-sparse probing is done; the defaults are `SAEBench`'s.
#[derive(Clone, Debug, PartialEq)]
pub struct SparseProbingConfig {
    /// Numbers of features, each at least 1. By default 1, 2, and 5.
    pub k_values: Vec<usize>,
    /// How the texts of other classes are drawn.
    pub sampling: Sampling,
    /// How the probes on all features and on all activations are trained; none are if this is
    /// `None`.
    pub full_width: Option<BinaryProbeConfig>,
    /// Asked before each pass over the rows of a probe. Never by default.
    pub stop: Stop,
}

impl Default for SparseProbingConfig {
    fn default() -> Self {
        Self {
            k_values: vec![1, 2, 5],
            sampling: Sampling::default(),
            full_width: Some(BinaryProbeConfig::full_width()),
            stop: Stop::never(),
        }
    }
}

/// A logistic regression on `k` columns.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct KSparseProbe {
    /// Most columns.
    pub k: usize,
    /// The columns in rising order, features or places of the activation.
    pub features: Vec<u32>,
    /// Weight of each, in the same order.
    pub coef: Vec<f32>,
    /// Added to the sum.
    pub intercept: f32,
    /// Share of the test texts that are told right.
    pub test_accuracy: f64,
}

/// What k-sparse probing found for one class.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct ClassProbes {
    /// The class.
    pub class: String,
    /// Accuracy of a probe on all of the model's activations.
    pub llm_test_accuracy: Option<f64>,
    /// Accuracy of a probe on all features.
    pub sae_test_accuracy: Option<f64>,
    /// Probes on `k` places of the activation.
    pub llm: Vec<KSparseProbe>,
    /// Probes on `k` features.
    pub sae: Vec<KSparseProbe>,
}

/// What k-sparse probing found in one data set.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct SparseProbing {
    /// Class by class.
    pub classes: Vec<ClassProbes>,
}

/// The pair of a name in `SAEBench`'s output and a mean over the classes.
type NamedMean = (String, f64);

impl SparseProbing {
    /// Means over the classes by their names in `SAEBench`: `llm_test_accuracy` and
    /// `llm_top_{k}_test_accuracy` first, then the same of `sae`.
    pub fn means(&self) -> (Vec<NamedMean>, Vec<NamedMean>) {
        let mean = |values: Vec<Option<f64>>| -> Option<f64> {
            let n = values.len() as f64;
            values.into_iter().sum::<Option<f64>>().map(|sum| sum / n)
        };
        let side = |name: &str,
                    full: fn(&ClassProbes) -> Option<f64>,
                    probes: fn(&ClassProbes) -> &Vec<KSparseProbe>| {
            let mut named = Vec::new();
            if let Some(mean) = mean(self.classes.iter().map(full).collect()) {
                named.push((format!("{name}_test_accuracy"), mean));
            }
            for (i, probe) in self.classes.first().map_or(&[][..], |c| probes(c)).iter().enumerate()
            {
                let of_k = self.classes.iter().map(|c| probes(c).get(i).map(|p| p.test_accuracy));
                if let Some(mean) = mean(of_k.collect()) {
                    named.push((format!("{name}_top_{}_test_accuracy", probe.k), mean));
                }
            }
            named
        };
        let llm = side("llm", |class| class.llm_test_accuracy, |class| &class.llm);
        (llm, side("sae", |class| class.sae_test_accuracy, |class| &class.sae))
    }
}

/// Tells each class from the others by a few features, and by as many places of the activation.
///
/// ```text
/// d = | mean of f over positive texts - mean over negative texts |      f: mean over positions
/// features = the k largest of d;  logistic regression with C = 1, not penalised in its bias
/// ```
///
/// `SAEBench` 0.6.0, `sparse_probing/main.py` and `probe_training.py`; of equal differences the
/// first feature is chosen. *Quirks* of `SAEBench` that are kept: the epoch of a full-width probe
/// is chosen on the test data ([`BinaryProbeConfig`]). One that is not: it draws the negative texts
/// anew for every `k`; here all probes of a class are trained on the same texts, so that they
/// compare.
///
/// # Errors
///
/// - [`SaeError::SizeMismatch`] if the test data has other classes, the autoencoder reads another
///   width, or there are too few texts of other classes.
/// - [`SaeError::Hyperparameter`] if a `k` is 0, or a field of the probes' config is out of range.
/// - [`SaeError::Probe`] if a logistic regression fails.
/// - [`SaeError::Stopped`] if [`SparseProbingConfig::stop`] is given.
///
/// # Memory
///
/// Features that are not 0 of every text, and the columns of the largest `k`.
pub fn sparse_probing<T: Texts>(
    sae: &Sae,
    train: &ClassTexts<T>,
    test: &ClassTexts<T>,
    config: &SparseProbingConfig,
) -> Result<SparseProbing, SaeError> {
    if config.k_values.contains(&0) {
        let (name, value, expected) = ("k_values", 0.0, "at least 1 each");
        return Err(ValueError::new(name, value, expected).into());
    }
    check_width(sae, train.d_in())?;
    train.check_same_classes(test)?;
    let dense = |texts: &T| Rows::Dense { values: texts.means(), width: texts.d_in() };
    let sparse = |texts: &T| texts.feature_means(sae).map(Rows::Sparse);
    let llm: [Vec<Rows>; 2] = [train, test].map(|data| data.texts().map(dense).collect());
    let features: Vec<Vec<Rows>> = [train, test]
        .into_iter()
        .map(|data| data.texts().map(sparse).collect())
        .collect::<Result<_, _>>()?;
    let of_k_sparse = LogisticConfig {
        penalties: vec![1.0],
        stop: config.stop.clone(),
        ..LogisticConfig::default()
    };
    let mut classes = Vec::new();
    for (class, name) in train.names().enumerate() {
        let examples = [(train, 0), (test, 1)]
            .map(|(data, split)| one_against_others(&data.counts(), class, config.sampling, split));
        let [train_examples, test_examples] = examples;
        let (train_examples, test_examples) = (train_examples?, test_examples?);
        let splits = |rows: &'_ [Vec<Rows>]| -> Result<_, SaeError> {
            let train = Split { sources: &rows[0], examples: &train_examples };
            let test = Split { sources: &rows[1], examples: &test_examples };
            let full = match &config.full_width {
                Some(of) => Some(train_binary_probe(train, test, of, &config.stop)?.1),
                None => None,
            };
            let difference = mean_difference(train.sources, train.examples);
            let fit = |k: &usize| k_sparse(*k, &difference, [train, test], &of_k_sparse);
            let probes = config.k_values.iter().map(fit);
            Ok((full, probes.collect::<Result<Vec<_>, _>>()?))
        };
        let (llm_test_accuracy, llm) = splits(&llm)?;
        let (sae_test_accuracy, sae) = splits(&features)?;
        let class = name.to_owned();
        classes.push(ClassProbes { class, llm_test_accuracy, sae_test_accuracy, llm, sae });
    }
    Ok(SparseProbing { classes })
}

/// Fits one logistic regression on the `k` columns whose means differ most.
fn k_sparse(
    k: usize,
    difference: &[f64],
    [train, test]: [Split<'_>; 2],
    config: &LogisticConfig,
) -> Result<KSparseProbe, SaeError> {
    let features = largest(difference.iter().map(|d| d.abs()), k);
    let values = gather(train.sources, train.examples, &features);
    let labels: Vec<usize> = train.examples.iter().map(|e| usize::from(e.is_positive)).collect();
    let data = LogisticData {
        features: Features::new(&values, features.len())?,
        targets: &LogisticTargets::classes(&labels, 2)?,
        weights: None,
    };
    let fits = logistic_path(data, config)?;
    let readout = &fits[0].readout;
    let test_values = gather(test.sources, test.examples, &features);
    let logits = readout.outputs(Features::new(&test_values, features.len())?)?;
    let is_right = |(logit, example): (&f32, &Example)| (*logit > 0.0) == example.is_positive;
    let n_right = logits.iter().zip(test.examples).filter(|pair| is_right(*pair)).count();
    Ok(KSparseProbe {
        k,
        coef: readout.weight().to_vec(),
        intercept: readout.bias()[0],
        features: features.into_iter().map(|feature| feature as u32).collect(),
        test_accuracy: n_right as f64 / test.examples.len() as f64,
    })
}

/// Places of the `k` largest values, in rising order; of equal values the first.
pub(super) fn largest(values: impl Iterator<Item = f64>, k: usize) -> Vec<usize> {
    let values: Vec<f64> = values.collect();
    let mut places: Vec<usize> = (0..values.len()).collect();
    places.sort_by(|a, b| values[*b].total_cmp(&values[*a]));
    places.truncate(k);
    places.sort_unstable();
    places
}

/// Some columns of some rows, `[n_examples, n_columns]`.
pub(super) fn gather(sources: &[Rows], examples: &[Example], columns: &[usize]) -> Vec<f32> {
    let mut values = vec![0.0; examples.len() * columns.len()];
    for (row, example) in values.chunks_exact_mut(columns.len().max(1)).zip(examples) {
        sources[example.source].visit(example.text, |column, value| {
            if let Ok(place) = columns.binary_search(&column) {
                row[place] = value;
            }
        });
    }
    values
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::eval::TextActivations;
    use crate::eval::testing::identity_sae;

    /// Texts of one position; the class shows in one place, and noise in the others.
    fn texts(class: usize, n: usize) -> TextActivations {
        let values = (0..n * 3)
            .map(|i| {
                let noise = (i * 7 + class * 3) % 5;
                if i % 3 == class { 2.0 } else { 0.1 * noise as f32 }
            })
            .collect();
        TextActivations::padded(values, n, 3).unwrap()
    }

    #[test]
    fn the_feature_of_each_class_is_found() {
        let classes = (0..3).map(|class| (class.to_string(), texts(class, 12))).collect();
        let data = ClassTexts::new(classes).unwrap();
        let full_width =
            BinaryProbeConfig { learning_rate: 0.1, ..BinaryProbeConfig::full_width() };
        let config = SparseProbingConfig {
            k_values: vec![1, 3],
            full_width: Some(BinaryProbeConfig { patience: 100, ..full_width }),
            ..SparseProbingConfig::default()
        };
        let found = sparse_probing(&identity_sae(3, 0.0), &data, &data, &config).unwrap();
        for (class, probes) in found.classes.iter().enumerate() {
            assert_eq!(probes.sae[0].features, [class as u32]);
            assert_eq!(probes.llm[0].features, probes.sae[0].features);
            assert!(probes.sae[0].test_accuracy > 0.99 && probes.sae[0].coef[0] > 0.0);
        }
        let (llm, sae) = found.means();
        let names: Vec<&str> = sae.iter().map(|(name, _)| &name[..]).collect();
        assert_eq!(
            names,
            ["sae_test_accuracy", "sae_top_1_test_accuracy", "sae_top_3_test_accuracy"]
        );
        assert_eq!(llm.len(), 3);
        assert!(llm.iter().chain(&sae).all(|(_, mean)| *mean > 0.9), "{llm:?} {sae:?}");
    }

    #[test]
    fn the_largest_come_first_and_equal_ones_in_order() {
        assert_eq!(largest([1.0, 3.0, 2.0, 3.0, 2.0].into_iter(), 3), [1, 2, 3]);
        assert_eq!(largest([1.0].into_iter(), 3), [0]);
    }
}
