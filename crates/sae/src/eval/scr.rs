//! Spurious correlation removal: whether ablating features of one concept frees a probe of it.

use serde::Serialize;

use super::absorption::TrainTest;
use super::attribution::{Ablatable, Effect, effects, largest_effects};
use super::binary_probe::{BinaryProbe, Split, train_binary_probe};
use super::encoded::Texts;
use super::examples::{Example, Rows, Sampling, one_against_one};
use super::texts::{TextActivations, check_width};
use super::tpp::{PerturbationConfig, check_probes};
use crate::{Sae, SaeError};

/// Below this distance of the clean accuracy from the original one a score is 0.
const SMALLEST_GAP: f64 = 0.001;

/// Positive and negative texts of one concept, at least as many negative ones.
#[derive(Clone, Debug, PartialEq)]
pub struct ScrPair<T = TextActivations> {
    /// Texts with the label 1.
    pub positive: T,
    /// Texts with the label 0.
    pub negative: T,
}

/// Texts of two concepts, balanced, and of both together, where one stands for the other.
///
/// In `SAEBench` the concepts are named `male / female` and `professor / nurse`, whatever they are.
#[derive(Clone, Debug, PartialEq)]
pub struct ScrTexts<T = TextActivations> {
    /// `male / female`
    pub first: ScrPair<T>,
    /// `professor / nurse`
    pub second: ScrPair<T>,
    /// `male_professor / female_nurse`, in which both concepts say the same.
    pub biased: ScrPair<T>,
}

impl<T> ScrTexts<T> {
    fn pairs(&self) -> [&ScrPair<T>; 3] {
        [&self.first, &self.second, &self.biased]
    }
}

/// Accuracy of each probe (second index) on the texts of each pair (first index), both in the order
/// of [`ScrTexts`].
pub type ScrAccuracies = [[f64; 3]; 3];

/// Scores of one number of ablated features.
#[derive(Clone, Copy, Debug, PartialEq, Serialize)]
pub struct ScrScore {
    /// Features that were ablated.
    pub n: usize,
    /// Features of the first concept ablated, the biased probe tested on the second.
    pub dir1: f64,
    /// Features of the second concept ablated, the biased probe tested on the first.
    pub dir2: f64,
    /// The direction in which the biased probe was worse at first; none if it was equally bad.
    pub metric: Option<f64>,
}

/// What ablating the features of one probe did.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct ScrAblation {
    /// Attribution of every feature to the probe, `[d_sae]`.
    #[serde(skip)]
    pub effects: Vec<f64>,
    /// Features that were ablated, in rising order, by number.
    pub ablated: Vec<Vec<u32>>,
    /// Accuracies afterwards, by number.
    pub accuracies: Vec<ScrAccuracies>,
}

/// What SCR found in one data set.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Scr {
    /// Accuracies when nothing is ablated.
    pub clean: ScrAccuracies,
    /// What happened when the features of each probe were ablated, in the order of [`ScrTexts`].
    pub ablations: Vec<ScrAblation>,
    /// Scores by number.
    pub scores: Vec<ScrScore>,
}

/// Trains the probe of each pair on means of its texts.
///
/// # Errors
///
/// - [`SaeError::SizeMismatch`] if a pair has fewer negative than positive texts, or a width
///   differs.
/// - [`SaeError::Hyperparameter`] if a field of the probes' config is out of range.
/// - [`SaeError::Stopped`] if [`PerturbationConfig::stop`] is given.
pub fn train_scr_probes<T: Texts>(
    train: &ScrTexts<T>,
    test: &ScrTexts<T>,
    config: &PerturbationConfig,
) -> Result<Vec<BinaryProbe>, SaeError> {
    check_widths(train, test)?;
    let (train_sets, test_sets) =
        (sets(train, config.sampling, 0)?, sets(test, config.sampling, 1)?);
    let dense = |pair: &ScrPair<T>| {
        [&pair.positive, &pair.negative]
            .map(|texts| Rows::Dense { values: texts.means(), width: texts.d_in() })
    };
    let pairs = train.pairs().into_iter().zip(test.pairs());
    let sets = train_sets.iter().zip(&test_sets);
    pairs
        .zip(sets)
        .map(|((train, test), (train_examples, test_examples))| {
            let (train_rows, test_rows) = (dense(train), dense(test));
            let train = Split { sources: &train_rows, examples: train_examples };
            let test = Split { sources: &test_rows, examples: test_examples };
            Ok(train_binary_probe(train, test, &config.probe, &config.stop)?.0)
        })
        .collect()
}

/// Ablates the features that matter most to each probe, and measures what the biased probe gains.
///
/// ```text
/// effect_f = | (mean_pos f - mean_neg f) (w · d_f) |              on the training texts
/// score    = (changed - original) / (clean - original),  0 if clean - original < 0.001
/// ```
///
/// `original` and `changed` are the accuracy of the biased probe on one concept's texts before and
/// after the features of the other were ablated, `clean` that of the concept's own probe:
/// `SAEBench` 0.6.0, `scr_and_tpp/main.py`. *Quirks* that are kept: absent positions are encoded
/// ([`ablated_means`](super::ablated_means)), and where the biased probe is equally good at both
/// concepts there is no `metric` at all.
///
/// `probes` are in the order of [`ScrTexts`].
///
/// # Errors
///
/// - [`SaeError::SizeMismatch`] if there are not three probes, a width differs, or a pair has fewer
///   negative than positive texts.
/// - [`SaeError::Stopped`] if [`PerturbationConfig::stop`] is given.
///
/// # Memory
///
/// Features that are not 0 of every text.
pub fn scr<T: Texts>(
    sae: &Sae,
    TrainTest { train, test }: TrainTest<&ScrTexts<T>>,
    probes: &[BinaryProbe],
    config: &PerturbationConfig,
) -> Result<Scr, SaeError> {
    check_widths(train, test)?;
    let d_in = train.first.positive.d_in();
    check_width(sae, d_in)?;
    check_probes(probes, 3, d_in)?;
    let (train_sets, test_sets) =
        (sets(train, config.sampling, 0)?, sets(test, config.sampling, 1)?);
    let tested: Vec<[Ablatable; 2]> = test
        .pairs()
        .into_iter()
        .map(|pair| {
            Ok([Ablatable::new(sae, &pair.positive)?, Ablatable::new(sae, &pair.negative)?])
        })
        .collect::<Result<_, SaeError>>()?;
    let accuracies = |rows: &dyn Fn(&Ablatable) -> Rows| -> ScrAccuracies {
        std::array::from_fn(|pair| {
            let sources = tested[pair].each_ref().map(rows);
            std::array::from_fn(|probe| probes[probe].accuracy(&sources, &test_sets[pair]))
        })
    };
    let clean = accuracies(&|texts| texts.whole(d_in));
    let mut ablations = Vec::new();
    for (pair, (examples, probe)) in train.pairs().into_iter().zip(train_sets.iter().zip(probes)) {
        let features = [
            Rows::Sparse(pair.positive.feature_means(sae)?),
            Rows::Sparse(pair.negative.feature_means(sae)?),
        ];
        let effects = effects(sae, &features, examples, probe, Effect::Absolute);
        let chosen: Vec<Vec<usize>> =
            config.n_values.iter().map(|n| largest_effects(&effects, *n)).collect();
        let ablate = |chosen: &Vec<usize>| {
            config.stop.check()?;
            Ok(accuracies(&|texts| texts.without(sae, chosen)))
        };
        let accuracies = chosen.iter().map(ablate).collect::<Result<_, SaeError>>()?;
        let ablated = chosen
            .into_iter()
            .map(|chosen| chosen.into_iter().map(|feature| feature as u32).collect())
            .collect();
        ablations.push(ScrAblation { effects, ablated, accuracies });
    }
    let numbers = config.n_values.iter().enumerate();
    let scores = numbers
        .map(|(i, n)| score(*n, &clean, &ablations[0].accuracies[i], &ablations[1].accuracies[i]))
        .collect();
    Ok(Scr { clean, ablations, scores })
}

fn score(
    n: usize,
    clean: &ScrAccuracies,
    without_first: &ScrAccuracies,
    without_second: &ScrAccuracies,
) -> ScrScore {
    let score = |texts: usize, changed: &ScrAccuracies| {
        let (original, gap) = (clean[texts][2], clean[texts][texts] - clean[texts][2]);
        if gap < SMALLEST_GAP { 0.0 } else { (changed[texts][2] - original) / gap }
    };
    let (dir1, dir2) = (score(1, without_first), score(0, without_second));
    let metric = match clean[1][2].total_cmp(&clean[0][2]) {
        std::cmp::Ordering::Less => Some(dir1),
        std::cmp::Ordering::Greater => Some(dir2),
        std::cmp::Ordering::Equal => None,
    };
    ScrScore { n, dir1, dir2, metric }
}

fn sets<T: Texts>(
    texts: &ScrTexts<T>,
    sampling: Sampling,
    split: u64,
) -> Result<Vec<Vec<Example>>, SaeError> {
    let pairs = texts.pairs().into_iter().enumerate();
    pairs
        .map(|(i, pair)| {
            let counts = [pair.positive.n_texts(), pair.negative.n_texts()];
            one_against_one(counts, i, sampling, split)
        })
        .collect()
}

fn check_widths<T: Texts>(train: &ScrTexts<T>, test: &ScrTexts<T>) -> Result<(), SaeError> {
    let expected = train.first.positive.d_in();
    let pairs = train.pairs().into_iter().chain(test.pairs());
    let mut widths = pairs.flat_map(|pair| [pair.positive.d_in(), pair.negative.d_in()]);
    match widths.find(|width| *width != expected) {
        Some(found) => {
            Err(SaeError::SizeMismatch { what: "the width of the activations", found, expected })
        }
        None => Ok(()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::eval::testing::identity_sae;

    /// Texts in which the two concepts are the first two places.
    fn pair(of: impl Fn(bool, usize) -> [bool; 2]) -> ScrPair {
        let texts = |label: bool| {
            let values = (0..16).flat_map(|i| of(label, i).map(|is| if is { 1.0 } else { 0.2 }));
            TextActivations::padded(values.collect(), 16, 2).unwrap()
        };
        ScrPair { positive: texts(true), negative: texts(false) }
    }

    #[test]
    fn ablating_what_a_biased_probe_reads_frees_it() {
        let texts = ScrTexts {
            first: pair(|label, i| [label, i % 2 == 0]),
            second: pair(|label, i| [i % 2 == 0, label]),
            biased: pair(|label, _| [label, label]),
        };
        let sides = TrainTest { train: &texts, test: &texts };
        let probe = |weight: [f32; 2], bias| BinaryProbe { weight: weight.to_vec(), bias };
        // The biased probe needs both, and so fails on texts with one of them.
        let probes = [probe([1.0, 0.0], -0.6), probe([0.0, 1.0], -0.6), probe([3.0, 1.0], -0.65)];
        let config = PerturbationConfig { n_values: vec![1], ..PerturbationConfig::default() };
        let found = scr(&identity_sae(2, 0.0), sides, &probes, &config).unwrap();
        assert_eq!(found.ablations[0].ablated[0], [0]);
        assert_eq!((found.clean[1][1], found.clean[0][0]), (1.0, 1.0));
        let score = found.scores[0];
        assert!((score.dir1 - 1.0).abs() < 1e-9, "{score:?} {:?}", found.clean);
        assert_eq!(
            score.metric,
            Some(score.dir1).filter(|_| found.clean[1][2] < found.clean[0][2])
        );
    }

    #[test]
    fn equally_bad_directions_have_no_metric() {
        let clean = [[1.0, 0.5, 0.5], [0.5, 1.0, 0.5], [1.0; 3]];
        let changed = [[0.0, 0.0, 0.75], [0.0, 0.0, 1.0], [1.0; 3]];
        let found = score(2, &clean, &changed, &changed);
        assert_eq!((found.dir1, found.dir2, found.metric), (1.0, 0.5, None));
    }
}
