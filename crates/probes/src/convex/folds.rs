//! Folds of a cross-validation, with the classes in proportion and groups kept whole.

use std::collections::BTreeMap;

use attention_probes_errors::ValueError;
use rand::SeedableRng;
use rand::seq::SliceRandom;
use rand_chacha::ChaCha8Rng;

use crate::ProbeError;

/// Stream of the generator, apart from those of splits, batches, and initial weights.
const STREAM: u64 = (1 << 32) + 16;

/// A division of examples into folds, of which one at a time is held out.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Folds {
    of: Vec<u32>,
    n_folds: usize,
}

impl Folds {
    /// Shuffles each class and deals it out, so that every fold has its share.
    ///
    /// With groups, whole groups are dealt out instead, the largest first, each to the fold where
    /// it brings the classes nearest to equal shares, as scikit-learn's `StratifiedGroupKFold`
    /// does. The same input and seed give the same folds on every machine.
    ///
    /// # Errors
    ///
    /// - [`ProbeError::Hyperparameter`] if `n_folds` is below 2 or above the number of examples.
    /// - [`ProbeError::SizeMismatch`] if groups are more or fewer than the labels.
    /// - [`ProbeError::ClassInOneFold`] if a class, through its groups or by itself, is in one fold
    ///   only: nothing would be trained on it when that is held out.
    ///
    /// # Examples
    ///
    /// ```
    /// use attention_probes::probes::Folds;
    ///
    /// let folds = Folds::stratified(&[0, 1, 0, 1, 0, 1], None, 3, 42)?;
    /// assert_eq!((0..3).map(|fold| folds.held_out(fold).len()).collect::<Vec<_>>(), [2, 2, 2]);
    /// # Ok::<(), attention_probes::probes::ProbeError>(())
    /// ```
    pub fn stratified(
        labels: &[usize],
        groups: Option<&[usize]>,
        n_folds: usize,
        seed: u64,
    ) -> Result<Self, ProbeError> {
        if n_folds < 2 || n_folds > labels.len() {
            let expected = "at least 2, and at most the number of examples";
            let value = n_folds as f64;
            return Err(ValueError::new("n_folds", value, expected).into());
        }
        if let Some(groups) = groups
            && groups.len() != labels.len()
        {
            let what = "the number of groups";
            let (found, expected) = (groups.len(), labels.len());
            return Err(ProbeError::SizeMismatch { what, found, expected });
        }
        let mut rng = ChaCha8Rng::seed_from_u64(seed);
        rng.set_stream(STREAM);
        let of = match groups {
            None => deal_examples(labels, n_folds, &mut rng),
            Some(groups) => deal_groups(labels, groups, n_folds, &mut rng),
        };
        let folds = Self { of, n_folds };
        folds.check(labels)?;
        Ok(folds)
    }

    /// Returns the number of folds.
    pub fn n_folds(&self) -> usize {
        self.n_folds
    }

    /// Returns the fold of each example.
    pub fn of(&self) -> &[u32] {
        &self.of
    }

    /// Returns the examples of a fold, in ascending order.
    pub fn held_out(&self, fold: usize) -> Vec<usize> {
        (0..self.of.len()).filter(|&example| self.of[example] as usize == fold).collect()
    }

    fn check(&self, labels: &[usize]) -> Result<(), ProbeError> {
        let mut seen: BTreeMap<usize, (u32, bool, usize)> = BTreeMap::new();
        for (&label, &fold) in labels.iter().zip(&self.of) {
            let (first, in_two, count) = seen.entry(label).or_insert((fold, false, 0));
            *in_two |= *first != fold;
            *count += 1;
        }
        match seen.into_iter().find(|(_, (_, in_two, _))| !in_two) {
            Some((class, (_, _, n_examples))) => {
                Err(ProbeError::ClassInOneFold { class, n_examples })
            }
            None => Ok(()),
        }
    }
}

/// Fold of each example, one after the other; each class goes on where the last one ended.
fn deal_examples(labels: &[usize], n_folds: usize, rng: &mut ChaCha8Rng) -> Vec<u32> {
    let mut of = vec![0; labels.len()];
    let mut next = 0;
    for mut examples in members(labels).into_values() {
        examples.shuffle(rng);
        for example in examples {
            of[example] = next as u32;
            next = (next + 1) % n_folds;
        }
    }
    of
}

/// Fold of each example, whole groups at a time.
fn deal_groups(
    labels: &[usize],
    groups: &[usize],
    n_folds: usize,
    rng: &mut ChaCha8Rng,
) -> Vec<u32> {
    let classes: BTreeMap<usize, usize> =
        members(labels).into_keys().enumerate().map(|(class, label)| (label, class)).collect();
    let mut sizes = vec![0.0; classes.len()];
    for label in labels {
        sizes[classes[label]] += 1.0;
    }
    let mut groups: Vec<Vec<usize>> = members(groups).into_values().collect();
    groups.shuffle(rng);
    // The sort is stable, so groups of one size stay shuffled.
    groups.sort_by_key(|examples| std::cmp::Reverse(examples.len()));
    let mut of = vec![0; labels.len()];
    let mut shares = vec![vec![0.0; classes.len()]; n_folds];
    for examples in groups {
        let mut added: BTreeMap<usize, f64> = BTreeMap::new();
        for &example in &examples {
            let class = classes[&labels[example]];
            *added.entry(class).or_default() += 1.0 / sizes[class];
        }
        // Growth of the sum of squares, which is least where all shares are equal.
        let cost = |fold: usize| -> f64 {
            added.iter().map(|(&class, share)| share * (2.0 * shares[fold][class] + share)).sum()
        };
        let costs: Vec<f64> = (0..n_folds).map(cost).collect();
        let fold =
            (0..n_folds).fold(0, |best, fold| if costs[fold] < costs[best] { fold } else { best });
        for (class, share) in added {
            shares[fold][class] += share;
        }
        for example in examples {
            of[example] = fold as u32;
        }
    }
    of
}

/// Examples of each key, in ascending order.
fn members(keys: &[usize]) -> BTreeMap<usize, Vec<usize>> {
    let mut members: BTreeMap<usize, Vec<usize>> = BTreeMap::new();
    for (example, &key) in keys.iter().enumerate() {
        members.entry(key).or_default().push(example);
    }
    members
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn every_fold_has_its_share_of_every_class() {
        let labels: Vec<usize> = (0..60).map(|i| usize::from(i % 6 == 0)).collect();
        let folds = Folds::stratified(&labels, None, 5, 7).unwrap();
        for fold in 0..5 {
            let held_out = folds.held_out(fold);
            assert_eq!(held_out.len(), 12);
            assert_eq!(held_out.iter().filter(|&&i| labels[i] == 1).count(), 2);
        }
        assert_eq!(folds, Folds::stratified(&labels, None, 5, 7).unwrap());
        assert_ne!(folds, Folds::stratified(&labels, None, 5, 8).unwrap());
    }

    #[test]
    fn a_class_of_one_group_is_refused() {
        let error = Folds::stratified(&[0, 0, 1, 0], None, 2, 0).unwrap_err();
        assert!(matches!(error, ProbeError::ClassInOneFold { class: 1, n_examples: 1 }));
        let groups = [0, 1, 2, 2, 3];
        let error = Folds::stratified(&[0, 0, 1, 1, 0], Some(&groups), 2, 0).unwrap_err();
        assert!(matches!(error, ProbeError::ClassInOneFold { class: 1, n_examples: 2 }));
        assert!(Folds::stratified(&[0, 1], None, 3, 0).is_err());
        assert!(Folds::stratified(&[0, 1], None, 1, 0).is_err());
        assert!(Folds::stratified(&[0, 1], Some(&[0]), 2, 0).is_err());
    }

    proptest! {
        #[test]
        fn groups_stay_whole(groups in prop::collection::vec(0_usize..12, 24..80), seed: u64) {
            let labels: Vec<usize> = (0..groups.len()).map(|i| i % 2).collect();
            if let Ok(folds) = Folds::stratified(&labels, Some(&groups), 3, seed) {
                for (i, j) in (0..groups.len()).flat_map(|i| (0..i).map(move |j| (i, j))) {
                    prop_assert!(groups[i] != groups[j] || folds.of()[i] == folds.of()[j]);
                }
            }
        }
    }
}
