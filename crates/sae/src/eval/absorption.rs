//! Absorption: words on which a concept's own features are silent because others took it over.

use attention_probes_errors::Stop;
use attention_probes_kernels::dot_in_f64 as dot;
use attention_probes_probes::{Features, LinearReadout};
use serde::Serialize;

use super::main_features::{f1, main_features};
use super::texts::check_width;
use crate::{Sae, SaeError};

/// Above this a main feature counts as active.
const SILENT: f32 = 1e-8;

/// How absorption is measured; the defaults are `SAEBench`'s.
#[derive(Clone, Debug, PartialEq)]
pub struct AbsorptionConfig {
    /// Cosine of a feature to the probe from which it can absorb wholly. 0.025
    pub full_absorption_cosine: f64,
    /// Cosine of a feature to the probe from which it can absorb partly. 0.1
    pub absorption_fraction_cosine: f64,
    /// Share of the probe's projection that absorbing features must have. 0.4
    pub projection_proportion: f64,
    /// Most features that absorb together. 3
    pub max_absorbing_features: usize,
    /// Rise of F1 with one more feature from which a concept counts as split. 0.03
    pub f1_jump_threshold: f64,
    /// Most features of one concept. 10
    pub max_k_value: usize,
    /// F1 that a class's probe must exceed for the class to count. 0.6
    pub min_probe_f1: f64,
    /// Classes that must count for there to be a result. 20
    pub min_classes: usize,
    /// Asked before each class and each pass over the rows of a probe. Never by default.
    pub stop: Stop,
}

impl Default for AbsorptionConfig {
    fn default() -> Self {
        Self {
            full_absorption_cosine: 0.025,
            absorption_fraction_cosine: 0.1,
            projection_proportion: 0.4,
            max_absorbing_features: 3,
            f1_jump_threshold: 0.03,
            max_k_value: 10,
            min_probe_f1: 0.6,
            min_classes: 20,
            stop: Stop::never(),
        }
    }
}

/// What happened on one word.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct WordAbsorption {
    /// `x · p` with the probe's direction `p` of norm 1.
    pub probe_projection: f64,
    /// Sum over the main features of `f cos(p, d_f)`.
    pub main_projection: f64,
    /// Features that may absorb, the one with the largest projection first.
    pub absorbing: Vec<u32>,
    /// Share of the concept that others hold, from 0 to 1.
    pub absorption_fraction: f64,
    /// Whether all main features are silent and one other feature holds the concept.
    pub is_full_absorption: bool,
}

/// Measures absorption word by word, all words of one class.
///
/// ```text
/// projection_f = f cos(p, d_f)           p: the probe's direction, d_f: the decoder's row
/// A = sum of the 3 largest projections > 0 of features that are not main, with cos(p, d_f) ≥ 0.1
/// M = sum of the main features' projections          x·p: that of the activation
/// fraction = 0 if M ≥ x·p or A / x·p < 0.4;  1 if M ≤ 0;  else a / (a + M), a = min(A, x·p - M)
/// full: every main f < 1e-8, x·p ≥ 0, and the largest projection has cos ≥ 0.025 and ≥ 0.4 x·p
/// ```
///
/// `SAEBench` 0.6.0, `absorption/feature_absorption_calculator.py`. *Quirk*: projections take the
/// decoder's rows for unit vectors, whatever their norms are. Where `x·p` is 0, which `SAEBench`
/// divides by, nothing is absorbed.
///
/// # Shapes
///
/// - `activations`: `[n_words, d_in]`
///
/// # Errors
///
/// [`SaeError::SizeMismatch`] if a width differs, or a main feature is no feature.
pub fn word_absorption(
    sae: &Sae,
    activations: &[f32],
    concept: Concept<'_>,
    config: &AbsorptionConfig,
) -> Result<Vec<WordAbsorption>, SaeError> {
    let Concept { direction, main_features: main } = concept;
    check_width(sae, direction.len())?;
    let expected = sae.config.d_sae;
    if let Some(found) = main.iter().map(|f| *f as usize).find(|feature| *feature >= expected) {
        return Err(SaeError::SizeMismatch { what: "a main feature", found, expected });
    }
    let encoded = sae.encode(activations)?;
    let cosines = cosines(sae, direction);
    let norm = norm(direction);
    let rows = activations.chunks_exact(sae.config.d_in).zip(encoded.codes.rows());
    Ok(rows
        .map(|(x, codes)| {
            let projection = if norm > 0.0 { dot(x, direction) / norm } else { 0.0 };
            absorption_of(codes, projection, &cosines, main, config)
        })
        .collect())
}

fn absorption_of(
    (features, values): (&[u32], &[f32]),
    probe_projection: f64,
    cosines: &[f64],
    main: &[u32],
    config: &AbsorptionConfig,
) -> WordAbsorption {
    let mut projections: Vec<(u32, f64)> = features
        .iter()
        .zip(values)
        .map(|(feature, value)| (*feature, f64::from(*value) * cosines[*feature as usize]))
        .collect();
    let is_main = |feature: &u32| main.contains(feature);
    let main_projection: f64 =
        projections.iter().filter(|(feature, _)| is_main(feature)).map(|(_, p)| p).sum();
    projections.sort_by(|a, b| b.1.total_cmp(&a.1));
    let absorbers: Vec<(u32, f64)> = projections
        .iter()
        .filter(|(feature, projection)| {
            let cosine = cosines[*feature as usize];
            !is_main(feature) && cosine >= config.absorption_fraction_cosine && *projection > 0.0
        })
        .take(config.max_absorbing_features)
        .copied()
        .collect();
    let absorbed: f64 = absorbers.iter().map(|(_, projection)| projection).sum();
    let enough = |part: f64| {
        probe_projection != 0.0 && part / probe_projection >= config.projection_proportion
    };
    let absorption_fraction = if main_projection >= probe_projection || !enough(absorbed) {
        0.0
    } else if main_projection <= 0.0 {
        1.0
    } else {
        let absorbed = absorbed.min(probe_projection - main_projection);
        (absorbed / (absorbed + main_projection)).clamp(0.0, 1.0)
    };
    let fired = features.iter().zip(values).any(|(f, value)| is_main(f) && *value >= SILENT);
    let is_full_absorption = !fired
        && probe_projection > 0.0
        && projections.first().is_some_and(|(feature, projection)| {
            cosines[*feature as usize] >= config.full_absorption_cosine && enough(*projection)
        });
    let absorbing = absorbers.into_iter().map(|(feature, _)| feature).collect();
    WordAbsorption {
        probe_projection,
        main_projection,
        absorbing,
        absorption_fraction,
        is_full_absorption,
    }
}

/// Data that something is chosen or trained on, and data of the same kind that it is measured on.
#[derive(Clone, Copy, Debug)]
pub struct TrainTest<T> {
    /// What is trained on.
    pub train: T,
    /// What is measured on.
    pub test: T,
}

/// A concept, as a probe and as features know it.
#[derive(Clone, Copy, Debug)]
pub struct Concept<'a> {
    /// Direction of its probe, `[d_in]`, of any norm.
    pub direction: &'a [f32],
    /// The features that stand for it.
    pub main_features: &'a [u32],
}

/// Activations at words, and the class of each, such as its first letter.
#[derive(Clone, Copy, Debug)]
pub struct ClassifiedWords<'a> {
    /// `[n_words, d_in]`
    pub activations: &'a [f32],
    /// `[n_words]`, each below the number of classes.
    pub labels: &'a [usize],
}

/// What says which words are of a class, and which features may stand for it.
#[derive(Clone, Copy, Debug)]
pub struct AbsorptionProbes<'a> {
    /// The truth: one output for each class, above 0 where a word is of it.
    pub truth: &'a LinearReadout,
    /// A weight of each feature for each class, `[n_classes, d_sae]`, such as
    /// [`train_selection`](super::train_selection) gives; the largest are chosen.
    pub selection: &'a [f32],
}

/// What happened to the words of one class.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct ClassAbsorption {
    /// The class.
    pub class: usize,
    /// F1 of its probe on the test words.
    pub probe_f1: f64,
    /// Its main features, the first chosen first.
    pub main_features: Vec<u32>,
    /// Test words of the class that its probe tells right; means are over these.
    pub num_probe_true_positives: usize,
    /// Mean of [`WordAbsorption::absorption_fraction`].
    pub mean_absorption_fraction: f64,
    /// Words with [`WordAbsorption::is_full_absorption`].
    pub num_full_absorption: usize,
    /// Share of those.
    pub full_absorption_rate: f64,
}

/// What happened to all classes.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Absorption {
    /// Classes whose probe is good enough and right about a word at least.
    pub classes: Vec<ClassAbsorption>,
    /// Means and deviations over those; none if fewer probes than needed are good enough.
    pub mean: Option<AbsorptionMeans>,
}

/// Means over classes, and standard deviations with `n - 1`; 0 where there is one class.
#[derive(Clone, Copy, Debug, PartialEq, Serialize)]
pub struct AbsorptionMeans {
    /// Mean of [`ClassAbsorption::mean_absorption_fraction`].
    pub mean_absorption_fraction_score: f64,
    /// Mean of [`ClassAbsorption::full_absorption_rate`].
    pub mean_full_absorption_score: f64,
    /// Mean of the number of main features.
    pub mean_num_split_features: f64,
    /// Deviation of the fractions.
    pub std_dev_absorption_fraction_score: f64,
    /// Deviation of the rates.
    pub std_dev_full_absorption_score: f64,
    /// Deviation of the numbers.
    pub std_dev_num_split_features: f64,
}

/// Finds the main features of each class, and measures what absorbed them.
///
/// Features are chosen by the largest weights, with their sign; a class has as many main features
/// as raise the F1 of a balanced logistic regression on them by more than a threshold each.
/// `SAEBench` 0.6.0, `absorption/k_sparse_probing.py` and `main.py`. Not kept: it runs the model on
/// test words twice, in contexts that it draws anew; here both steps see the same activations.
///
/// # Errors
///
/// - [`SaeError::SizeMismatch`] if a width, the number of labels, or a label does not fit.
/// - [`SaeError::Probe`] if a logistic regression fails, as where a class has no word.
/// - [`SaeError::Stopped`] if [`AbsorptionConfig::stop`] is given.
///
/// # Memory
///
/// Codes of all words.
pub fn absorption(
    sae: &Sae,
    TrainTest { train, test }: TrainTest<ClassifiedWords<'_>>,
    probes: AbsorptionProbes<'_>,
    config: &AbsorptionConfig,
) -> Result<Absorption, SaeError> {
    let AbsorptionProbes { truth, selection } = probes;
    let n_classes = truth.n_out();
    check_width(sae, truth.d_model())?;
    let (found, expected) = (selection.len(), n_classes * sae.config.d_sae);
    if found != expected {
        let what = "the number of weights that choose features";
        return Err(SaeError::SizeMismatch { what, found, expected });
    }
    for words in [train, test] {
        check_words(words, sae.config.d_in, n_classes)?;
    }
    let train_codes = sae.encode(train.activations)?.codes;
    let test_codes = sae.encode(test.activations)?.codes;
    let outputs = truth.outputs(Features::new(test.activations, sae.config.d_in)?)?;
    let logit = |word: usize, class: usize| outputs[word * n_classes + class];
    let mut classes = Vec::new();
    let mut n_good = 0;
    for (class, weights) in selection.chunks_exact(sae.config.d_sae).enumerate() {
        config.stop.check()?;
        let is_class: Vec<bool> = test.labels.iter().map(|label| *label == class).collect();
        let said: Vec<bool> = (0..is_class.len()).map(|word| logit(word, class) > 0.0).collect();
        let probe_f1 = f1(&is_class, &said);
        if probe_f1 <= config.min_probe_f1 {
            continue;
        }
        n_good += 1;
        let labels = [train.labels, test.labels].map(|labels| {
            labels.iter().map(|label| usize::from(*label == class)).collect::<Vec<_>>()
        });
        let main = main_features(weights, [&train_codes, &test_codes], &labels, config)?;
        let found = (0..is_class.len()).filter(|word| is_class[*word] && said[*word]);
        let words: Vec<f32> = found
            .flat_map(|word| &test.activations[word * sae.config.d_in..][..sae.config.d_in])
            .copied()
            .collect();
        let direction = &truth.weight()[class * sae.config.d_in..][..sae.config.d_in];
        let concept = Concept { direction, main_features: &main };
        let words = word_absorption(sae, &words, concept, config)?;
        let n = words.len();
        let num_full_absorption = words.iter().filter(|word| word.is_full_absorption).count();
        classes.push(ClassAbsorption {
            class,
            probe_f1,
            main_features: main,
            num_probe_true_positives: n,
            mean_absorption_fraction: words
                .iter()
                .map(|word| word.absorption_fraction)
                .sum::<f64>()
                / n as f64,
            num_full_absorption,
            full_absorption_rate: num_full_absorption as f64 / n as f64,
        });
    }
    let mean = (n_good >= config.min_classes && n_good > 0).then(|| means(&classes));
    Ok(Absorption { classes, mean })
}

fn means(classes: &[ClassAbsorption]) -> AbsorptionMeans {
    let n = classes.len() as f64;
    let moments = |of: fn(&ClassAbsorption) -> f64| {
        let mean = classes.iter().map(of).sum::<f64>() / n;
        let squares: f64 = classes.iter().map(|class| (of(class) - mean).powi(2)).sum();
        (mean, if n > 1.0 { (squares / (n - 1.0)).sqrt() } else { 0.0 })
    };
    let (mean_absorption_fraction_score, std_dev_absorption_fraction_score) =
        moments(|class| class.mean_absorption_fraction);
    let (mean_full_absorption_score, std_dev_full_absorption_score) =
        moments(|class| class.full_absorption_rate);
    let (mean_num_split_features, std_dev_num_split_features) =
        moments(|class| class.main_features.len() as f64);
    AbsorptionMeans {
        mean_absorption_fraction_score,
        mean_full_absorption_score,
        mean_num_split_features,
        std_dev_absorption_fraction_score,
        std_dev_full_absorption_score,
        std_dev_num_split_features,
    }
}

pub(super) fn check_words(
    words: ClassifiedWords<'_>,
    d_in: usize,
    n_classes: usize,
) -> Result<(), SaeError> {
    let (found, expected) = (words.activations.len(), words.labels.len() * d_in);
    if found != expected {
        let what = "the number of activations of all words";
        return Err(SaeError::SizeMismatch { what, found, expected });
    }
    match words.labels.iter().find(|label| **label >= n_classes) {
        Some(&found) => {
            let what = "a label that a probe must be for";
            Err(SaeError::SizeMismatch { what, found, expected: n_classes - 1 })
        }
        None => Ok(()),
    }
}

/// Cosine of every decoder row to a direction, `[d_sae]`.
fn cosines(sae: &Sae, direction: &[f32]) -> Vec<f64> {
    let length = norm(direction);
    let rows = sae.decoder.chunks_exact(sae.config.d_in);
    // As torch's `cosine_similarity` keeps its division finite.
    rows.map(|row| dot(row, direction) / (norm(row) * length).max(1e-8)).collect()
}

fn norm(a: &[f32]) -> f64 {
    dot(a, a).sqrt()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::eval::testing::identity_sae;
    use crate::eval::{SelectionConfig, train_selection};

    fn fraction(x: [f32; 2], main: &[u32]) -> (f64, bool) {
        let config = AbsorptionConfig::default();
        let concept = Concept { direction: &[3.0, 4.0], main_features: main };
        let found = word_absorption(&identity_sae(2, 0.0), &x, concept, &config).unwrap();
        (found[0].absorption_fraction, found[0].is_full_absorption)
    }

    #[test]
    fn what_main_features_leave_is_absorbed() {
        // Cosines are 0.6 and 0.8; on (1, 1) feature 1 has 0.8 of 1.4, and 0 has 0.6.
        let (found, is_full) = fraction([1.0, 1.0], &[0]);
        assert!((found - 0.8 / 1.4).abs() < 1e-6 && !is_full);
        assert_eq!(fraction([0.0, 1.0], &[0]), (1.0, true));
        assert_eq!(fraction([1.0, 0.0], &[0]), (0.0, false));
        assert_eq!(fraction([4.0, 0.1], &[0]), (0.0, false));
        assert_eq!(fraction([0.0, 0.0], &[0]), (0.0, false));
    }

    #[test]
    fn a_feature_beyond_the_last_is_refused() {
        let config = AbsorptionConfig::default();
        let concept = Concept { direction: &[1.0; 2], main_features: &[2] };
        let found = word_absorption(&identity_sae(2, 0.0), &[1.0; 2], concept, &config);
        assert!(matches!(found, Err(SaeError::SizeMismatch { found: 2, expected: 2, .. })));
    }

    #[test]
    fn a_split_concept_has_several_main_features() {
        // Words of class 0 show in one of two places, those of class 1 in a third.
        let rows = 120;
        let labels: Vec<usize> = (0..rows).map(|row| row % 2).collect();
        let x: Vec<f32> = (0..rows)
            .flat_map(|row| {
                let place = if row % 2 == 1 { 2 } else { row / 2 % 2 };
                (0..4).map(move |i| if i == place { 1.0 } else { 0.0 })
            })
            .collect();
        let words = ClassifiedWords { activations: &x, labels: &labels };
        let sides = TrainTest { train: words, test: words };
        let weight = [1.0, 1.0, -1.0, 0.0, -1.0, -1.0, 1.0, 0.0];
        let probes = LinearReadout::new(&weight, &[0.0, 0.0]).unwrap();
        let sae = identity_sae(4, 0.0);
        let trained = SelectionConfig { batch_size: 8, ..SelectionConfig::default() };
        let selection = train_selection(&sae, words, 2, &trained).unwrap();
        let probes = AbsorptionProbes { truth: &probes, selection: &selection };
        let config = AbsorptionConfig { min_classes: 2, ..AbsorptionConfig::default() };
        let found = absorption(&sae, sides, probes, &config).unwrap();
        let mut main = found.classes[0].main_features.clone();
        main.sort_unstable();
        assert_eq!(main, [0, 1]);
        assert_eq!(found.classes[1].main_features, [2]);
        assert_eq!(found.classes[0].num_probe_true_positives, 60);
        let mean = found.mean.unwrap();
        assert_eq!((mean.mean_absorption_fraction_score, mean.mean_num_split_features), (0.0, 1.5));
        let config = AbsorptionConfig { min_classes: 3, ..config };
        let found = absorption(&sae, sides, probes, &config).unwrap();
        assert_eq!(found.mean, None);
        let probes = AbsorptionProbes { selection: &selection[1..], ..probes };
        let error = absorption(&sae, sides, probes, &config).unwrap_err();
        assert!(matches!(error, SaeError::SizeMismatch { found: 7, expected: 8, .. }), "{error}");
    }
}
