//! Targeted probe perturbation: whether a class's features matter to its own probe alone.

use attention_probes_errors::Stop;
use serde::Serialize;

use super::absorption::TrainTest;
use super::attribution::{Ablatable, Effect, effects, largest_effects};
use super::binary_probe::{BinaryProbe, BinaryProbeConfig, Split, train_binary_probe};
use super::encoded::Texts;
use super::examples::{ClassTexts, Example, Rows, Sampling, one_against_others};
use super::texts::check_width;
use crate::{Sae, SaeError};

/// How SCR and TPP are done; the defaults are `SAEBench`'s.
#[derive(Clone, Debug, PartialEq)]
pub struct PerturbationConfig {
    /// Numbers of features that are ablated. By default 2, 5, 10, 20, 50, 100, and 500.
    pub n_values: Vec<usize>,
    /// How the negative texts are drawn.
    pub sampling: Sampling,
    /// How the probes are trained.
    pub probe: BinaryProbeConfig,
    /// Asked before each pass over the rows of a probe and each number of ablated features. Never by
    /// default.
    pub stop: Stop,
}

impl Default for PerturbationConfig {
    fn default() -> Self {
        Self {
            n_values: vec![2, 5, 10, 20, 50, 100, 500],
            sampling: Sampling::default(),
            probe: BinaryProbeConfig::scr_and_tpp(),
            stop: Stop::never(),
        }
    }
}

/// Scores of one number of ablated features.
#[derive(Clone, Copy, Debug, PartialEq, Serialize)]
pub struct TppScore {
    /// Features that were ablated.
    pub n: usize,
    /// `intended - unintended`
    pub total_metric: f64,
    /// Fall of the accuracy of the probe of the class whose features were ablated.
    pub intended_diff_only: f64,
    /// Mean fall of the accuracies of the other probes.
    pub unintended_diff_only: f64,
}

/// What ablating the features of one class did.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct TppClass {
    /// The class.
    pub class: String,
    /// Attribution of every feature to its probe, `[d_sae]`.
    #[serde(skip)]
    pub effects: Vec<f64>,
    /// Features that were ablated, in rising order, by number.
    pub ablated: Vec<Vec<u32>>,
    /// Accuracy of each class's probe afterwards, by number and class.
    pub accuracies: Vec<Vec<f64>>,
    /// Scores by number.
    pub scores: Vec<TppScore>,
}

/// What TPP found in one data set.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Tpp {
    /// Accuracy of each class's probe when nothing is ablated.
    pub clean: Vec<f64>,
    /// Class by class.
    pub classes: Vec<TppClass>,
}

impl Tpp {
    /// Means over the classes, by number.
    pub fn scores(&self) -> Vec<TppScore> {
        let n_classes = self.classes.len() as f64;
        let scores = self.classes.first().map_or(&[][..], |class| &class.scores);
        scores
            .iter()
            .enumerate()
            .map(|(i, score)| {
                let mean = |field: fn(&TppScore) -> f64| {
                    self.classes.iter().map(|class| field(&class.scores[i])).sum::<f64>()
                        / n_classes
                };
                TppScore {
                    n: score.n,
                    total_metric: mean(|score| score.total_metric),
                    intended_diff_only: mean(|score| score.intended_diff_only),
                    unintended_diff_only: mean(|score| score.unintended_diff_only),
                }
            })
            .collect()
    }
}

/// Trains the probe of each class on means of its texts and as many of the others.
///
/// # Errors
///
/// - [`SaeError::SizeMismatch`] if the test data has other classes, or there are too few texts of
///   other classes.
/// - [`SaeError::Hyperparameter`] if a field of the probes' config is out of range.
/// - [`SaeError::Stopped`] if [`PerturbationConfig::stop`] is given.
pub fn train_tpp_probes<T: Texts>(
    train: &ClassTexts<T>,
    test: &ClassTexts<T>,
    config: &PerturbationConfig,
) -> Result<Vec<BinaryProbe>, SaeError> {
    train.check_same_classes(test)?;
    let dense = |data: &ClassTexts<T>| -> Vec<Rows> {
        let means = data.texts().map(|texts| (texts.means(), texts.d_in()));
        means.map(|(values, width)| Rows::Dense { values, width }).collect()
    };
    let (train_rows, test_rows) = (dense(train), dense(test));
    let (train_sets, test_sets) =
        (balanced_sets(train, config, 0)?, balanced_sets(test, config, 1)?);
    let pairs = train_sets.iter().zip(&test_sets);
    pairs
        .map(|(train, test)| {
            let train = Split { sources: &train_rows, examples: train };
            let test = Split { sources: &test_rows, examples: test };
            Ok(train_binary_probe(train, test, &config.probe, &config.stop)?.0)
        })
        .collect()
}

/// Ablates the features that matter most to each class's probe, and measures all probes.
///
/// ```text
/// effect_f = max(mean_pos f - mean_neg f, 0) (w · d_f)          on the training texts
/// total    = (clean_c - ablated_c) - mean over o ≠ c of (clean_o - ablated_o)
/// ```
///
/// `SAEBench` 0.6.0, `scr_and_tpp/main.py`. *Quirks* that are kept: effects have a sign, so
/// features of effect 0, more active in other classes, are ablated once the positive ones run out;
/// and absent positions are encoded ([`ablated_means`](super::ablated_means)). One that is not:
/// `SAEBench` draws the negative test texts anew for every accuracy, which adds noise to every
/// difference; here they are the same throughout.
///
/// # Errors
///
/// - [`SaeError::SizeMismatch`] if there is not one probe for each class, the test data has other
///   classes, a width differs, or there are too few texts of other classes.
/// - [`SaeError::Stopped`] if [`PerturbationConfig::stop`] is given.
///
/// # Memory
///
/// Features that are not 0 of every text.
pub fn tpp<T: Texts>(
    sae: &Sae,
    TrainTest { train, test }: TrainTest<&ClassTexts<T>>,
    probes: &[BinaryProbe],
    config: &PerturbationConfig,
) -> Result<Tpp, SaeError> {
    check_width(sae, train.d_in())?;
    train.check_same_classes(test)?;
    check_probes(probes, train.names().count(), train.d_in())?;
    let features: Vec<Rows> = train
        .texts()
        .map(|texts| texts.feature_means(sae).map(Rows::Sparse))
        .collect::<Result<_, _>>()?;
    let tested: Vec<Ablatable> =
        test.texts().map(|texts| Ablatable::new(sae, texts)).collect::<Result<_, _>>()?;
    let (train_sets, test_sets) =
        (balanced_sets(train, config, 0)?, balanced_sets(test, config, 1)?);
    let accuracies = |rows: &[Rows]| -> Vec<f64> {
        let pairs = probes.iter().zip(&test_sets);
        pairs.map(|(probe, examples)| probe.accuracy(rows, examples)).collect()
    };
    let whole: Vec<Rows> = tested.iter().map(|texts| texts.whole(train.d_in())).collect();
    let clean = accuracies(&whole);
    let mut classes = Vec::new();
    for (class, name) in train.names().enumerate() {
        let effects = effects(sae, &features, &train_sets[class], &probes[class], Effect::Positive);
        let (mut ablated, mut accuracies_of, mut scores) = (Vec::new(), Vec::new(), Vec::new());
        for &n in &config.n_values {
            config.stop.check()?;
            let chosen = largest_effects(&effects, n);
            let rows: Vec<Rows> = tested.iter().map(|texts| texts.without(sae, &chosen)).collect();
            let found = accuracies(&rows);
            scores.push(score(n, class, &clean, &found));
            accuracies_of.push(found);
            ablated.push(chosen.into_iter().map(|feature| feature as u32).collect());
        }
        let (class, accuracies) = (name.to_owned(), accuracies_of);
        classes.push(TppClass { class, effects, ablated, accuracies, scores });
    }
    Ok(Tpp { clean, classes })
}

fn score(n: usize, class: usize, clean: &[f64], ablated: &[f64]) -> TppScore {
    let falls: Vec<f64> = clean.iter().zip(ablated).map(|(clean, now)| clean - now).collect();
    let others = falls.iter().enumerate().filter(|(other, _)| *other != class);
    let unintended = others.map(|(_, fall)| fall).sum::<f64>() / (falls.len() - 1) as f64;
    TppScore {
        n,
        total_metric: falls[class] - unintended,
        intended_diff_only: falls[class],
        unintended_diff_only: unintended,
    }
}

fn balanced_sets<T: Texts>(
    data: &ClassTexts<T>,
    config: &PerturbationConfig,
    split: u64,
) -> Result<Vec<Vec<Example>>, SaeError> {
    let counts = data.counts();
    let classes = 0..counts.len();
    classes.map(|class| one_against_others(&counts, class, config.sampling, split)).collect()
}

/// Refuses probes that are too few, too many, or of another width.
pub(super) fn check_probes(
    probes: &[BinaryProbe],
    expected: usize,
    d_in: usize,
) -> Result<(), SaeError> {
    if probes.len() != expected {
        let what = "the number of probes";
        return Err(SaeError::SizeMismatch { what, found: probes.len(), expected });
    }
    match probes.iter().find(|probe| probe.weight.len() != d_in) {
        Some(probe) => {
            let (what, found) = ("the number of a probe's weights", probe.weight.len());
            Err(SaeError::SizeMismatch { what, found, expected: d_in })
        }
        None => Ok(()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::eval::testing::identity_sae;
    use crate::eval::texts::TextActivations;

    #[test]
    fn a_feature_of_one_class_matters_to_its_own_probe_alone() {
        let data = (0..3).map(|class| {
            let values =
                (0..60).map(|i| if i % 3 == class { 3.0 } else { 0.1 * (i % 4) as f32 }).collect();
            (class.to_string(), TextActivations::padded(values, 20, 3).unwrap())
        });
        let data = ClassTexts::new(data.collect()).unwrap();
        let config = PerturbationConfig { n_values: vec![1], ..PerturbationConfig::default() };
        let config = PerturbationConfig {
            probe: BinaryProbeConfig { learning_rate: 0.05, epochs: 100, ..config.probe },
            ..config
        };
        let probes = train_tpp_probes(&data, &data, &config).unwrap();
        let sides = TrainTest { train: &data, test: &data };
        let found = tpp(&identity_sae(3, 0.0), sides, &probes, &config).unwrap();
        assert_eq!(found.clean, [1.0; 3]);
        for (class, of_class) in found.classes.iter().enumerate() {
            assert_eq!(of_class.ablated[0], [class as u32]);
            assert!((of_class.scores[0].intended_diff_only - 0.5).abs() < 1e-9);
        }
        let score = found.scores()[0];
        assert!(score.total_metric > 0.4, "{score:?}");
    }

    #[test]
    fn a_probe_too_few_is_refused() {
        let error = check_probes(&[], 2, 3).unwrap_err().to_string();
        assert_eq!(error, "the number of probes is 0, expected 2");
    }
}
