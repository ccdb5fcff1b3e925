//! What a probe has to beat: the most frequent class, and the words alone, without a model.

use attention_probes_activations::TokenizedDataset;
use attention_probes_metrics::{
    BagOfWordsBaseline, Baselines, Bootstrap, ConfusionMatrix, PairAccuracy,
    bootstrap_balanced_accuracy,
};

use crate::SweepError;
use crate::judge::bag_of_words::{BagOfWords, FitFollower};
use crate::results::predictions::HeldOutExamples;
use crate::train::fit_data::FitData;

/// The baselines, and what the bag of words says about every test example.
pub(crate) struct FittedBaselines {
    pub(crate) report: Baselines,
    /// Classes that the bag of words predicts, where there are tokens.
    pub(crate) bag_of_words: Option<Vec<usize>>,
}

/// What baselines are judged on.
#[derive(Clone, Copy)]
pub(crate) struct BaselineTest<'a> {
    /// Index of each test example.
    pub(crate) indices: &'a [usize],
    pub(crate) examples: &'a HeldOutExamples,
    /// Tokens of the texts; without them there is no bag of words.
    pub(crate) tokens: Option<&'a TokenizedDataset>,
    /// Fixes the bootstrap.
    pub(crate) seed: u64,
}

impl FittedBaselines {
    /// Trains on the training examples and judges on the test examples.
    pub(crate) fn new(
        data: &FitData<'_>,
        test: BaselineTest<'_>,
        follower: FitFollower<'_>,
    ) -> Result<Self, SweepError> {
        let n_classes = data.n_classes();
        let mut counts = vec![0; n_classes];
        for &example in data.train {
            counts[data.labels.classes()[example]] += 1;
        }
        let majority = (0..n_classes).max_by_key(|&class| (counts[class], n_classes - class));
        let HeldOutExamples { labels, groups, pairs, .. } = test.examples;
        let always = vec![majority.unwrap_or(0); labels.len()];
        let majority = ConfusionMatrix::new(labels, &always, n_classes)?;
        let words = test.tokens.map(|tokens| {
            let prefixes = data.examples.iter();
            let texts = prefixes.map(|&(sequence, end)| &tokens.sequence(sequence)[..end]);
            let fit = BagOfWords::new(texts).fit_followed(data, follower)?;
            let predictions = fit.predict(test.indices)?;
            let found = ConfusionMatrix::new(labels, &predictions, n_classes)?;
            let bootstrap = Bootstrap { seed: test.seed, ..Bootstrap::default() };
            let bootstrap = bootstrap.of_groups(groups.as_deref());
            let resampled =
                bootstrap_balanced_accuracy(labels, &predictions, n_classes, &bootstrap)?;
            let pair_accuracy = match pairs.as_ref().filter(|_| n_classes == 2) {
                Some(pairs) => {
                    let logits = fit.logits(test.indices)?;
                    let logits: Vec<f64> = logits.into_iter().map(f64::from).collect();
                    PairAccuracy::new(&logits, labels, pairs)?
                }
                None => None,
            };
            let report = BagOfWordsBaseline {
                balanced_accuracy: found.balanced_accuracy(),
                interval: resampled.interval,
                penalty: fit.penalty,
                pair_accuracy,
            };
            Ok::<_, SweepError>((report, predictions))
        });
        let (report, bag_of_words) = words.transpose()?.unzip();
        let report = Baselines {
            majority_accuracy: majority.accuracy(),
            majority_balanced_accuracy: majority.balanced_accuracy(),
            bag_of_words: report,
        };
        Ok(Self { report, bag_of_words })
    }
}
