//! What the words alone say, without a model: a logistic regression on token counts.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use attention_probes_activations::{NpzArray, read_npz, write_npz};
use attention_probes_errors::Stop;
use attention_probes_metrics::predicted_class;
use attention_probes_probes::engine::Targets;
use attention_probes_probes::{
    LinearReadout, LogisticConfig, LogisticTargets, SparseFeatures, SparseLogistic,
    SparseLogisticData, n_out, probabilities_from_logits,
};

use crate::SweepError;
use crate::config::SelectBy;
use crate::tracker::{NoTracker, Tracker};
use crate::train::fit_data::FitData;
use crate::train::score::{Score, compare};

/// Penalties that the bag of words chooses from: scikit-learn's `1 / C` for `C` from 100 to 0.01.
pub(crate) const PENALTIES: [f64; 5] = [0.01, 0.1, 1.0, 10.0, 100.0];

/// Products of one pass from which on the solution of each penalty is kept for a run that is
/// resumed: below, it is found again sooner than read.
const KEPT_FROM: usize = 10_000_000;

/// Tokens of some examples, as counts by id.
#[derive(Clone, Debug)]
pub struct BagOfWords {
    rows: Vec<Vec<(usize, f32)>>,
    n_features: usize,
}

/// A logistic regression on token counts.
#[derive(Clone, Debug)]
pub struct BagOfWordsFit {
    words: BagOfWords,
    vocabulary: Vocabulary,
    readout: LinearReadout,
    n_classes: usize,
    /// Penalty on half the squared weights that validation chose.
    pub penalty: f64,
}

/// The tokens that occur in training; others have no weight.
#[derive(Clone, Debug)]
pub(crate) struct Vocabulary {
    /// Place of each id among those that occur.
    places: Vec<Option<u32>>,
    n_features: usize,
}

/// Who follows the fits, and where they are kept for a run that is resumed.
pub(crate) struct FitFollower<'a> {
    /// Name of the data set.
    pub(crate) data: &'a str,
    /// Folder of the run; nothing is kept without one.
    pub(crate) folder: Option<&'a Path>,
    /// Asked once a pass over the rows.
    pub(crate) stop: &'a Stop,
    pub(crate) tracker: &'a mut dyn Tracker,
}

/// Takes a penalty and its solution.
type Each<'a> = &'a mut dyn FnMut(f64, LinearReadout) -> Result<(), SweepError>;

/// What a regression on words learns.
#[derive(Clone, Copy)]
pub(crate) struct WordTargets<'a> {
    /// One for each training example, in order.
    pub(crate) targets: &'a LogisticTargets,
    /// Weight of each of them in the loss; all weigh 1 if there are none.
    pub(crate) weights: Option<&'a [f64]>,
}

impl BagOfWords {
    /// Counts the tokens of each text; rows are scaled to length 1.
    pub fn new<'a>(texts: impl IntoIterator<Item = &'a [u32]>) -> Self {
        let mut n_features = 0;
        let rows = texts
            .into_iter()
            .map(|ids| {
                let mut counts: BTreeMap<usize, f32> = BTreeMap::new();
                for &id in ids {
                    *counts.entry(id as usize).or_default() += 1.0;
                    n_features = n_features.max(id as usize + 1);
                }
                let length = counts.values().map(|count| count * count).sum::<f32>().sqrt();
                counts.into_iter().map(|(id, count)| (id, count / length)).collect()
            })
            .collect();
        Self { rows, n_features }
    }

    /// Number of tokens that there can be.
    pub(crate) fn n_features(&self) -> usize {
        self.n_features
    }

    /// Tokens of a row with their share of its length.
    pub(crate) fn row(&self, row: usize) -> &[(usize, f32)] {
        &self.rows[row]
    }

    /// Fits a logistic regression for each of five penalties; validation chooses.
    ///
    /// It gets what a probe gets: the same examples, the same class weights, and the same choice
    /// of a setting by balanced accuracy and then loss.
    ///
    /// # Errors
    ///
    /// - [`SweepError::Probe`] if the training examples are of one class, or have no token.
    /// - [`SweepError::Metric`] if a label is no class, or a side is empty.
    ///
    /// # Panics
    ///
    /// If an index is not a row.
    pub fn fit(self, data: &FitData<'_>) -> Result<BagOfWordsFit, SweepError> {
        let follower =
            FitFollower { data: "", folder: None, stop: &Stop::never(), tracker: &mut NoTracker };
        self.fit_followed(data, follower)
    }

    /// As [`Self::fit`], told to a tracker, and kept for a run that is resumed.
    pub(crate) fn fit_followed(
        self,
        data: &FitData<'_>,
        follower: FitFollower<'_>,
    ) -> Result<BagOfWordsFit, SweepError> {
        let labels = data.labels.classes();
        let of = |side: &[usize]| side.iter().map(|&i| labels[i]).collect::<Vec<usize>>();
        let (train, validation) = (of(data.train), of(data.validation));
        let weight = |&label: &usize| f64::from(data.class_weights[label]);
        let weights: Vec<f64> = train.iter().map(weight).collect();
        let targets = LogisticTargets::classes(&train, data.n_classes())?;
        let learned = WordTargets { targets: &targets, weights: Some(&weights) };

        let vocabulary = self.vocabulary(data.train);
        let held_out = self.features(&vocabulary, data.validation);
        let judged = Targets::new(&validation, data.class_weights);
        let mut best = (None, None);
        let mut choose = |penalty, readout: LinearReadout| {
            let score = Some(Score::new(&held_out.outputs(&readout)?, &judged, data.n_classes())?);
            if best.1.is_none() || compare(score, best.0, SelectBy::BalancedAccuracy).is_gt() {
                best = (score, Some((penalty, readout)));
            }
            Ok(())
        };
        self.path((&vocabulary, data.train), learned, follower, &mut choose)?;
        let Some((penalty, readout)) = best.1 else {
            return Err(SweepError::Empty { key: "sweep.penalties" });
        };
        let n_classes = data.n_classes();
        Ok(BagOfWordsFit { words: self, vocabulary, readout, n_classes, penalty })
    }

    /// The tokens of some rows.
    pub(crate) fn vocabulary(&self, rows: &[usize]) -> Vocabulary {
        let mut places = vec![None; self.n_features];
        for &(id, _) in rows.iter().flat_map(|&row| &self.rows[row]) {
            places[id] = Some(0);
        }
        let mut n_features = 0;
        for place in places.iter_mut().flatten() {
            *place = n_features as u32;
            n_features += 1;
        }
        Vocabulary { places, n_features }
    }

    /// Some rows, by the tokens of a vocabulary.
    pub(crate) fn features(&self, vocabulary: &Vocabulary, rows: &[usize]) -> SparseFeatures {
        let of_row = |&row: &usize| {
            let known = |&(id, x): &(usize, f32)| Some((vocabulary.places[id]? as usize, x));
            self.rows[row].iter().filter_map(known).collect::<Vec<_>>()
        };
        SparseFeatures::new(vocabulary.n_features, rows.iter().map(of_row))
    }

    /// Solves the problem of every penalty, from the strongest on: each solution is a good start
    /// for the next. `each` gets them, `[n_out, n_features]`.
    pub(crate) fn path(
        &self,
        (vocabulary, train): (&Vocabulary, &[usize]),
        learned: WordTargets<'_>,
        follower: FitFollower<'_>,
        each: Each<'_>,
    ) -> Result<(), SweepError> {
        let features = self.features(vocabulary, train);
        let kept = KeptFits::new(&features, learned, follower.folder);
        path_kept(&features, learned, follower, (&kept, each))
    }
}

/// Solves the problem of every penalty, but for those whose solution is kept.
fn path_kept(
    features: &SparseFeatures,
    learned: WordTargets<'_>,
    FitFollower { data: name, stop, tracker, .. }: FitFollower<'_>,
    (kept, each): (&KeptFits, Each<'_>),
) -> Result<(), SweepError> {
    let WordTargets { targets, weights } = learned;
    let data = SparseLogisticData { features, targets, weights };
    let stop = stop.clone();
    let config = LogisticConfig { keep_unconverged: true, stop, ..LogisticConfig::default() };
    let mut regression = SparseLogistic::new(data, config)?;
    tracker.baseline(name, 0, PENALTIES.len());
    for (i, penalty) in PENALTIES.into_iter().rev().enumerate() {
        let readout = if let Some(readout) = kept.read(penalty) {
            readout
        } else {
            let fits = regression.follow_fit(penalty, &mut |n| tracker.baseline_pass(name, n))?;
            let readout = LinearReadout::joined(fits.iter().map(|fit| &fit.readout))?;
            kept.write(penalty, &readout)?;
            readout
        };
        // From what is kept, so that a resumed run goes the same way.
        regression.resume(&divided(&readout, targets)?)?;
        each(penalty, readout)?;
        tracker.baseline(name, i + 1, PENALTIES.len());
    }
    Ok(())
}

/// One readout as those of several labels, if the targets are several.
fn divided(
    readout: &LinearReadout,
    targets: &LogisticTargets,
) -> Result<Vec<LinearReadout>, SweepError> {
    let n_out = readout.n_out() / targets.n_labels();
    let widen = |values: &[f32]| values.iter().map(|&x| f64::from(x)).collect::<Vec<f64>>();
    let weights = readout.weight().chunks_exact(n_out * readout.d_model());
    let labels = weights.zip(readout.bias().chunks_exact(n_out));
    labels.map(|(weight, bias)| Ok(LinearReadout::new(&widen(weight), &widen(bias))?)).collect()
}

/// Solutions of penalties on disk, until the run is complete.
struct KeptFits {
    /// Path without the number of the penalty; `None` if nothing is kept.
    stem: Option<PathBuf>,
    shape: [usize; 2],
}

impl KeptFits {
    /// Named after everything that is learned from, so that no other fit is taken for one of these.
    fn new(features: &SparseFeatures, learned: WordTargets<'_>, folder: Option<&Path>) -> Self {
        let targets = learned.targets;
        let n_out = targets.n_labels() * n_out(targets.n_classes());
        let n_products = features.n_entries().saturating_mul(n_out);
        let stem = folder.filter(|_| n_products >= KEPT_FROM).map(|folder| {
            let mut hasher = blake3::Hasher::new();
            for (feature, x) in (0..features.n_examples()).flat_map(|i| features.row(i)) {
                hasher.update(&feature.to_le_bytes()).update(&x.to_le_bytes());
            }
            for weight in learned.weights.into_iter().flatten() {
                hasher.update(&weight.to_le_bytes());
            }
            for row in (0..targets.n_examples()).map(|example| targets.row(example)) {
                let bytes: Vec<u8> = row.iter().flat_map(|value| value.to_le_bytes()).collect();
                hasher.update(&bytes);
            }
            folder.join(format!("words-{}", &hasher.finalize().to_hex()[..16]))
        });
        Self { stem, shape: [n_out, features.n_features()] }
    }

    fn path(&self, penalty: f64) -> Option<PathBuf> {
        let stem = self.stem.as_ref()?;
        Some(stem.with_extension(format!("{penalty:e}.checkpoint")))
    }

    /// A solution that an earlier run kept; one that cannot be read is found again.
    fn read(&self, penalty: f64) -> Option<LinearReadout> {
        let mut arrays = read_npz(self.path(penalty)?).ok()?;
        let mut take = |name: &str, shape: &[usize]| -> Option<Vec<f64>> {
            let array = arrays.remove(name).filter(|array| array.shape == shape)?;
            Some(array.data.into_f32()?.into_iter().map(f64::from).collect())
        };
        let (weight, bias) = (take("weight", &self.shape)?, take("bias", &self.shape[..1])?);
        LinearReadout::new(&weight, &bias).ok()
    }

    fn write(&self, penalty: f64, readout: &LinearReadout) -> Result<(), SweepError> {
        let Some(path) = self.path(penalty) else { return Ok(()) };
        let weight = NpzArray::new(self.shape.to_vec(), readout.weight().to_vec());
        let bias = NpzArray::new(self.shape[..1].to_vec(), readout.bias().to_vec());
        Ok(write_npz(&path, &[("weight", weight), ("bias", bias)])?)
    }
}

impl BagOfWordsFit {
    /// Class of each of some rows.
    ///
    /// # Errors
    ///
    /// [`SweepError::Probe`], which does not happen.
    ///
    /// # Panics
    ///
    /// If an index is not a row.
    pub fn predict(&self, rows: &[usize]) -> Result<Vec<usize>, SweepError> {
        let probabilities = probabilities_from_logits(&self.logits(rows)?, self.n_classes);
        Ok(probabilities.chunks(self.n_classes).map(|row| predicted_class(row, 0.5)).collect())
    }

    /// Logits of some rows, `[n, n_out]`.
    pub(crate) fn logits(&self, rows: &[usize]) -> Result<Vec<f32>, SweepError> {
        Ok(self.words.features(&self.vocabulary, rows).outputs(&self.readout)?)
    }
}

#[cfg(test)]
mod tests {
    use attention_probes_probes::Labels;

    use super::*;

    /// Trains on the first half of some texts, chooses on the third quarter, predicts the last.
    fn check(texts: &[Vec<u32>], labels: &[usize], n_classes: usize) {
        let examples: Vec<(usize, usize)> = vec![(0, 1); texts.len()];
        let indices: Vec<usize> = (0..texts.len()).collect();
        let (train, rest) = indices.split_at(texts.len() / 2);
        let (validation, test) = rest.split_at(rest.len() / 2);
        let class_weights = vec![1.0; n_classes];
        let examples = &examples[..];
        let class_weights = &class_weights[..];
        let groups = None;
        let of_classes = Labels::numbered(labels.to_vec(), n_classes);
        let data =
            FitData { examples, labels: &of_classes, class_weights, groups, train, validation };
        let bag = BagOfWords::new(texts.iter().map(Vec::as_slice));
        assert_eq!(bag.fit(&data).unwrap().predict(test).unwrap(), labels[test[0]..]);
    }

    #[test]
    fn words_that_tell_the_class_are_found() {
        let texts: Vec<Vec<u32>> = (0..40).map(|i| vec![i % 7 + 10, i % 2, i % 5 + 20]).collect();
        let labels: Vec<usize> = (0..40).map(|i| i % 2).collect();
        check(&texts, &labels, 2);
    }

    #[test]
    fn three_classes_are_told_apart() {
        let texts: Vec<Vec<u32>> = (0..60).map(|i| vec![i % 3, 9, i % 11 + 10]).collect();
        let labels: Vec<usize> = (0..60).map(|i| i % 3).collect();
        check(&texts, &labels, 3);
    }

    #[test]
    fn what_was_kept_is_not_fitted_again_and_gives_the_same() {
        let texts: Vec<Vec<u32>> = (0..60).map(|i| vec![i % 3, 9, i % 11 + 10]).collect();
        let bag = BagOfWords::new(texts.iter().map(Vec::as_slice));
        let rows: Vec<usize> = (0..60).collect();
        let labels: Vec<usize> = (0..60).map(|i| (i + i / 7) % 3).collect();
        let targets = LogisticTargets::classes(&labels, 3).unwrap();
        let learned = WordTargets { targets: &targets, weights: None };
        let vocabulary = bag.vocabulary(&rows);
        assert_eq!(vocabulary.n_features, 15);
        let folder = tempfile::tempdir().unwrap();
        let stem = Some(folder.path().join("words-1"));
        let kept = KeptFits { stem, shape: [3, vocabulary.n_features] };
        let path = |kept: &KeptFits| {
            let mut found = Vec::new();
            let mut each = |penalty, readout| {
                found.push((penalty, readout));
                Ok(())
            };
            let follower = FitFollower {
                data: "",
                folder: None,
                stop: &Stop::never(),
                tracker: &mut NoTracker,
            };
            let features = bag.features(&vocabulary, &rows);
            path_kept(&features, learned, follower, (kept, &mut each)).unwrap();
            found
        };
        let whole = path(&kept);
        assert_eq!(whole.len(), 5);
        // A run that was stopped after two penalties, and one whose file was damaged.
        for penalty in ["1e-1", "1e-2"] {
            std::fs::remove_file(folder.path().join(format!("words-1.{penalty}.checkpoint")))
                .unwrap();
        }
        std::fs::write(folder.path().join("words-1.1e0.checkpoint"), b"PK").unwrap();
        assert_eq!(path(&kept), whole);
        assert_eq!(path(&KeptFits { stem: None, ..kept }), whole);
    }
}
