//! Training, validation, and test sides, with the classes in proportion and groups kept whole.

use std::collections::{BTreeMap, BTreeSet};

use rand::seq::SliceRandom;
use rand_chacha::ChaCha8Rng;

use super::random::{SPLIT_STREAM, rng_of_stream};
use crate::{ActivationError, Side, SplitError};

/// From this many examples on, a class must occur on every side.
const MIN_EXAMPLES: usize = 3;

/// Which examples train, select, and judge a probe.
///
/// Every example is on exactly one side; each list is in ascending order.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Split {
    /// Examples to train on.
    pub train: Vec<usize>,
    /// Examples to select hyperparameters on.
    pub validation: Vec<usize>,
    /// Examples that nothing was chosen on.
    pub test: Vec<usize>,
}

/// How to split.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct SplitConfig {
    /// Share of the validation side, from 0 on. Default 0.1.
    pub validation: f64,
    /// Share of the test side, from 0 on. Together with `validation` below 1. Default 0.2.
    pub test: f64,
    /// Seed of the shuffle. Default 42.
    pub seed: u64,
}

impl Default for SplitConfig {
    fn default() -> Self {
        Self { validation: 0.1, test: 0.2, seed: 42 }
    }
}

/// Splits examples by class, and by group if there are groups.
///
/// Without groups, each class is shuffled and cut by the shares. With groups, whole groups are
/// placed, the largest first, each on the side where it brings the classes nearest to their shares;
/// groups are then moved until every side has every class. A class of at least three examples is on
/// every side whose share is above 0. The same input and seed give the same split on every machine.
///
/// # Errors
///
/// - [`SplitError::Shares`] if a share is negative or NaN, or together they reach 1
/// - [`ActivationError::LengthMismatch`] if groups are more or fewer than the labels
/// - [`SplitError::EmptySide`] if there are too few examples, or [`SplitError::RareClasses`] if
///   there are too few of every class
/// - [`SplitError::ClassMissing`] if the groups of a class are too few for the sides
///
/// # Examples
///
/// ```
/// use attention_probes::activations::{SplitConfig, stratified_split};
///
/// let labels = [0, 1, 0, 1, 0, 1, 0, 1, 0, 1];
/// let config = SplitConfig { validation: 0.2, test: 0.2, seed: 7 };
/// let split = stratified_split(&labels, None, &config)?;
/// assert_eq!((split.train.len(), split.validation.len(), split.test.len()), (6, 2, 2));
/// # Ok::<(), attention_probes::activations::ActivationError>(())
/// ```
pub fn stratified_split(
    labels: &[usize],
    groups: Option<&[usize]>,
    config: &SplitConfig,
) -> Result<Split, ActivationError> {
    let shares = shares_from_config(config)?;
    if let Some(groups) = groups
        && groups.len() != labels.len()
    {
        let (length, expected) = (groups.len(), labels.len());
        return Err(ActivationError::LengthMismatch { name: "groups", length, expected });
    }

    let classes = class_numbers(labels);
    let mut rng = rng_of_stream(config.seed, SPLIT_STREAM);
    let sides = match groups {
        None => split_classes(&classes, shares, &mut rng),
        Some(groups) => Grouped::new(&classes, groups, shares, &mut rng).split(),
    };
    check_sides(labels, groups, &sides, shares)?;

    let of = |side: usize| (0..labels.len()).filter(|&index| sides[index] == side).collect();
    Ok(Split { train: of(0), validation: of(1), test: of(2) })
}

/// Shares of train, validation, and test, in the order of [`Side::ALL`].
fn shares_from_config(config: &SplitConfig) -> Result<[f64; 3], ActivationError> {
    let SplitConfig { validation, test, .. } = *config;
    let train = 1.0 - validation - test;
    if validation >= 0.0 && test >= 0.0 && train > 0.0 {
        Ok([train, validation, test])
    } else {
        Err(SplitError::Shares { validation, test }.into())
    }
}

/// The labels, numbered without gaps.
fn class_numbers(labels: &[usize]) -> Vec<usize> {
    let distinct: BTreeSet<usize> = labels.iter().copied().collect();
    let numbers: BTreeMap<usize, usize> = distinct.into_iter().zip(0..).collect();
    labels.iter().map(|label| numbers[label]).collect()
}

/// Side of each example, class by class.
fn split_classes(classes: &[usize], shares: [f64; 3], rng: &mut ChaCha8Rng) -> Vec<usize> {
    let n_classes = classes.iter().max().map_or(0, |class| class + 1);
    let mut members = vec![Vec::new(); n_classes];
    for (index, &class) in classes.iter().enumerate() {
        members[class].push(index);
    }
    let mut sides = vec![0; classes.len()];
    for indices in &mut members {
        indices.shuffle(rng);
        let n = indices.len();
        let n_side = |share: f64| {
            let least = usize::from(share > 0.0 && n >= MIN_EXAMPLES);
            ((n as f64 * share).round() as usize).max(least)
        };
        // One example at least is left to train on.
        let n_test = n_side(shares[2]).min(n - 1);
        let n_validation = n_side(shares[1]).min(n - 1 - n_test);
        // Where rounding up leaves validation nothing, test gives one back.
        let starved = n_validation == 0 && shares[1] > 0.0 && n >= MIN_EXAMPLES;
        let (n_test, n_validation) = if starved { (n_test - 1, 1) } else { (n_test, n_validation) };
        for (rank, &index) in indices.iter().enumerate() {
            sides[index] = match rank {
                rank if rank < n_test => 2,
                rank if rank < n_test + n_validation => 1,
                _ => 0,
            };
        }
    }
    sides
}

/// Whole groups on their way to the sides.
struct Grouped {
    /// Examples of each group, the largest group first.
    members: Vec<Vec<usize>>,
    /// Examples of each class in each group, as (class, count).
    counts: Vec<Vec<(usize, usize)>>,
    /// Examples of each class.
    class_sizes: Vec<usize>,
    /// Groups that hold each class.
    class_groups: Vec<Vec<usize>>,
    /// Examples of each class on each side.
    placed: [Vec<usize>; 3],
    /// Side of each group that is placed.
    side_of: Vec<usize>,
    shares: [f64; 3],
}

impl Grouped {
    fn new(classes: &[usize], groups: &[usize], shares: [f64; 3], rng: &mut ChaCha8Rng) -> Self {
        let n_classes = classes.iter().max().map_or(0, |class| class + 1);
        let mut by_group: BTreeMap<usize, Vec<usize>> = BTreeMap::new();
        for (index, &group) in groups.iter().enumerate() {
            by_group.entry(group).or_default().push(index);
        }
        let mut members: Vec<Vec<usize>> = by_group.into_values().collect();
        members.shuffle(rng);
        // The sort is stable, so groups of one size stay shuffled.
        members.sort_by_key(|indices| std::cmp::Reverse(indices.len()));

        let mut class_sizes = vec![0; n_classes];
        let mut class_groups = vec![Vec::new(); n_classes];
        let mut counts = Vec::with_capacity(members.len());
        for (group, indices) in members.iter().enumerate() {
            let mut of_class: BTreeMap<usize, usize> = BTreeMap::new();
            for &index in indices {
                *of_class.entry(classes[index]).or_default() += 1;
            }
            for (&class, &count) in &of_class {
                class_sizes[class] += count;
                class_groups[class].push(group);
            }
            counts.push(of_class.into_iter().collect());
        }
        Self {
            side_of: vec![0; members.len()],
            placed: [(); 3].map(|()| vec![0; n_classes]),
            members,
            counts,
            class_sizes,
            class_groups,
            shares,
        }
    }

    /// Side of each example.
    fn split(mut self) -> Vec<usize> {
        for group in 0..self.members.len() {
            let side = self.best_side(group);
            self.place(group, side);
        }
        self.fill_gaps();

        let mut sides = vec![0; self.members.iter().map(Vec::len).sum()];
        for (indices, &side) in self.members.iter().zip(&self.side_of) {
            for &index in indices {
                sides[index] = side;
            }
        }
        sides
    }

    /// The side with a share where the group costs least; of equals the first.
    fn best_side(&self, group: usize) -> usize {
        let mut best = 0;
        for side in 1..3 {
            if self.shares[side] > 0.0 && self.cost(group, side) < self.cost(group, best) {
                best = side;
            }
        }
        best
    }

    /// Growth of the squared distance from the shares, summed over classes, if the group joins.
    fn cost(&self, group: usize, side: usize) -> f64 {
        self.counts[group]
            .iter()
            .map(|&(class, count)| {
                let n_class = self.class_sizes[class] as f64;
                let before = self.placed[side][class] as f64 / n_class - self.shares[side];
                let added = count as f64 / n_class;
                added * (2.0 * before + added)
            })
            .sum()
    }

    fn place(&mut self, group: usize, side: usize) {
        self.side_of[group] = side;
        for &(class, count) in &self.counts[group] {
            self.placed[side][class] += count;
        }
    }

    fn remove(&mut self, group: usize) {
        let side = self.side_of[group];
        for &(class, count) in &self.counts[group] {
            self.placed[side][class] -= count;
        }
    }

    /// Moves groups to sides that lack one of their classes, where no other side comes to lack one.
    fn fill_gaps(&mut self) {
        for side in 0..3 {
            for class in 0..self.class_sizes.len() {
                if !self.lacks(side, class) {
                    continue;
                }
                let movable = self.class_groups[class].iter().copied().filter(|&group| {
                    let from = self.side_of[group];
                    from != side
                        && self.counts[group].iter().all(|&(class, count)| {
                            self.class_sizes[class] < MIN_EXAMPLES
                                || self.placed[from][class] > count
                        })
                });
                let cheapest = movable
                    .map(|group| (self.cost(group, side), group))
                    .min_by(|a, b| a.0.total_cmp(&b.0).then(a.1.cmp(&b.1)));
                if let Some((_, group)) = cheapest {
                    self.remove(group);
                    self.place(group, side);
                }
            }
        }
    }

    fn lacks(&self, side: usize, class: usize) -> bool {
        self.shares[side] > 0.0
            && self.class_sizes[class] >= MIN_EXAMPLES
            && self.placed[side][class] == 0
    }
}

/// Refuses an empty side, and a side without one of the larger classes.
fn check_sides(
    labels: &[usize],
    groups: Option<&[usize]>,
    sides: &[usize],
    shares: [f64; 3],
) -> Result<(), ActivationError> {
    let mut present: BTreeMap<usize, [usize; 3]> = BTreeMap::new();
    for (&label, &side) in labels.iter().zip(sides) {
        present.entry(label).or_default()[side] += 1;
    }
    for (index, side) in Side::ALL.into_iter().enumerate().filter(|(i, _)| shares[*i] > 0.0) {
        if !sides.contains(&index) {
            let (n_examples, n_classes) = (labels.len(), present.len());
            let most = present.values().map(|counts| counts.iter().sum()).max().unwrap_or(0);
            if most < MIN_EXAMPLES && n_classes > MIN_EXAMPLES {
                return Err(SplitError::RareClasses { side, n_examples, n_classes, most }.into());
            }
            let different = |groups: &[usize]| groups.iter().collect::<BTreeSet<_>>().len();
            let n_groups = groups.map(different);
            return Err(SplitError::EmptySide { side, n_examples, n_groups }.into());
        }
        let missing = present
            .iter()
            .map(|(&class, counts)| (class, counts[index], counts.iter().sum::<usize>()))
            .find(|&(_, on_side, in_all)| on_side == 0 && in_all >= MIN_EXAMPLES);
        if let Some((class, _, n_examples)) = missing {
            let of_class = |(index, label): (usize, &usize)| {
                (*label == class).then(|| groups.map_or(index, |groups| groups[index]))
            };
            let n_groups =
                labels.iter().enumerate().filter_map(of_class).collect::<BTreeSet<_>>().len();
            return Err(SplitError::ClassMissing { side, class, n_examples, n_groups }.into());
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    const CONFIG: SplitConfig = SplitConfig { validation: 0.1, test: 0.2, seed: 1 };

    fn sides(split: &Split) -> [&[usize]; 3] {
        [&split.train, &split.validation, &split.test]
    }

    /// Every example once, in order within its side.
    fn assert_partition(split: &Split, n_examples: usize) {
        let mut all: Vec<usize> = sides(split).concat();
        all.sort_unstable();
        assert_eq!(all, (0..n_examples).collect::<Vec<_>>());
        assert!(sides(split).iter().all(|side| side.is_sorted()));
    }

    #[test]
    fn each_class_is_cut_by_the_shares() {
        let labels: Vec<usize> = (0..200).map(|i| usize::from(i % 4 == 0)).collect();
        let split = stratified_split(&labels, None, &CONFIG).unwrap();
        assert_partition(&split, 200);
        let n_positive = |side: &[usize]| side.iter().filter(|&&i| labels[i] == 1).count();
        assert_eq!(sides(&split).map(<[usize]>::len), [140, 20, 40]);
        assert_eq!(sides(&split).map(n_positive), [35, 5, 10]);
    }

    #[test]
    fn the_seed_decides_and_nothing_else() {
        let labels: Vec<usize> = (0..60).map(|i| i % 3).collect();
        let groups: Vec<usize> = (0..60).map(|i| i / 2).collect();
        for groups in [None, Some(&groups[..])] {
            let split =
                |seed| stratified_split(&labels, groups, &SplitConfig { seed, ..CONFIG }).unwrap();
            assert_eq!(split(5), split(5));
            assert_ne!(split(5), split(6));
        }
    }

    #[test]
    fn a_split_is_the_same_in_every_version() {
        let labels: Vec<usize> = (0..20).map(|i| i % 2).collect();
        let split = stratified_split(&labels, None, &CONFIG).unwrap();
        assert_eq!(split.validation, [13, 18]);
        assert_eq!(split.test, [5, 8, 12, 15]);
    }

    #[test]
    fn a_side_without_a_share_stays_empty() {
        let labels = [0, 1, 0, 1, 0, 1];
        let config = SplitConfig { validation: 0.0, test: 0.0, seed: 1 };
        let split = stratified_split(&labels, None, &config).unwrap();
        assert_eq!(sides(&split).map(<[usize]>::len), [6, 0, 0]);
        let groups = [0, 0, 1, 1, 2, 2];
        assert_eq!(stratified_split(&labels, Some(&groups), &config).unwrap(), split);
    }

    #[test]
    fn three_examples_of_a_class_reach_all_three_sides() {
        let labels = [7, 7, 7];
        for (validation, test) in [(0.01, 0.01), (0.49, 0.49), (0.01, 0.9), (0.9, 0.01)] {
            let config = SplitConfig { validation, test, seed: 1 };
            let split = stratified_split(&labels, None, &config).unwrap();
            assert_eq!(sides(&split).map(<[usize]>::len), [1, 1, 1]);
        }
    }

    #[test]
    fn a_rare_class_in_large_groups_is_moved_where_it_lacks() {
        // Class 1 lies in three groups only, each beside many examples of class 0.
        let (mut labels, mut groups) = (Vec::new(), Vec::new());
        for group in 0..10 {
            for i in 0..10 {
                labels.push(usize::from(group < 3 && i == 0));
                groups.push(group);
            }
        }
        for seed in 0..20 {
            let config = SplitConfig { seed, ..CONFIG };
            let split = stratified_split(&labels, Some(&groups), &config).unwrap();
            for side in sides(&split) {
                assert!(side.iter().any(|&i| labels[i] == 1));
            }
        }
    }

    #[test]
    fn what_cannot_be_split_is_refused() {
        let config = |validation, test| SplitConfig { validation, test, seed: 1 };
        for config in [config(0.5, 0.5), config(-0.1, 0.1), config(f64::NAN, 0.1)] {
            let result = stratified_split(&[0, 1, 0, 1], None, &config);
            assert!(matches!(
                result,
                Err(ActivationError::Split { source: SplitError::Shares { .. } })
            ));
        }
        assert!(matches!(
            stratified_split(&[], None, &CONFIG),
            Err(ActivationError::Split {
                source: SplitError::EmptySide { side: Side::Train, n_examples: 0, .. }
            })
        ));
        assert!(matches!(
            stratified_split(&[0, 1], None, &CONFIG),
            Err(ActivationError::Split {
                source: SplitError::EmptySide { side: Side::Validation, .. }
            })
        ));
        assert!(matches!(
            stratified_split(&[0, 1], Some(&[0]), &CONFIG),
            Err(ActivationError::LengthMismatch { name: "groups", length: 1, expected: 2 })
        ));
        let labels: Vec<usize> = (0..300).collect();
        assert_eq!(
            stratified_split(&labels, None, &CONFIG).unwrap_err().to_string(),
            "300 examples have 300 classes, each at most once, which leaves the validation side \
             empty; is this the column of the label?"
        );
        let labels = [0, 0, 0, 0, 1, 1, 1, 1];
        let error = stratified_split(&labels, Some(&[0, 1, 2, 3, 4, 4, 5, 5]), &CONFIG);
        assert_eq!(
            error.unwrap_err().to_string(),
            "the validation side has no example of class 1, whose 4 examples lie in 2 groups, \
             equal texts being one group; add other texts of the class, or group by a finer column"
        );
    }

    proptest! {
        #[test]
        fn classes_stay_in_proportion(
            // Of eleven examples in five classes, some class has three, so no side stays empty.
            labels in prop::collection::vec(0_usize..5, 11..300),
            validation in 0.05..0.3_f64,
            test in 0.05..0.3_f64,
            seed in any::<u64>(),
        ) {
            let config = SplitConfig { validation, test, seed };
            let split = stratified_split(&labels, None, &config).unwrap();
            assert_partition(&split, labels.len());
            for class in 0..5 {
                let of_class =
                    |side: &[usize]| side.iter().filter(|&&i| labels[i] == class).count();
                let counts = sides(&split).map(of_class);
                let n: usize = counts.iter().sum();
                prop_assert!(n < 3 || counts.iter().all(|&count| count > 0));
                prop_assert!((counts[1] as f64 - n as f64 * validation).abs() <= 1.0);
                prop_assert!((counts[2] as f64 - n as f64 * test).abs() <= 1.0);
            }
        }

        #[test]
        fn groups_never_straddle(
            examples in prop::collection::vec((0_usize..3, 0_usize..25), 20..200),
            seed in any::<u64>(),
        ) {
            // A side that lacks a class then finds a group to take: of five groups on two sides,
            // three share a side, and at most two of them hold all that it has of another class.
            for class in 0..3 {
                let of_class = examples.iter().filter(|(label, _)| *label == class);
                let n_groups = of_class.clone().collect::<BTreeSet<_>>().len();
                prop_assume!(n_groups >= 5 || of_class.count() < MIN_EXAMPLES);
            }
            let (labels, groups): (Vec<usize>, Vec<usize>) = examples.into_iter().unzip();
            let config = SplitConfig { validation: 0.2, test: 0.2, seed };
            let split = stratified_split(&labels, Some(&groups), &config).unwrap();
            assert_partition(&split, labels.len());
            let groups_of = |side: &[usize]| -> BTreeSet<usize> {
                side.iter().map(|&index| groups[index]).collect()
            };
            let [train, validation, test] = sides(&split).map(groups_of);
            prop_assert!(train.is_disjoint(&validation));
            prop_assert!(train.is_disjoint(&test) && validation.is_disjoint(&test));
        }

        #[test]
        fn many_small_groups_come_near_the_shares(
            labels in prop::collection::vec(0_usize..3, 300..400),
            seed in any::<u64>(),
        ) {
            let groups: Vec<usize> = (0..labels.len()).map(|index| index / 3).collect();
            let config = SplitConfig { validation: 0.2, test: 0.2, seed };
            let split = stratified_split(&labels, Some(&groups), &config).unwrap();
            for class in 0..3 {
                let of_class = |side: &[usize]| {
                    side.iter().filter(|&&i| labels[i] == class).count() as f64
                };
                let [train, validation, test] = sides(&split).map(of_class);
                let n = train + validation + test;
                prop_assert!((validation / n - 0.2).abs() < 0.06);
                prop_assert!((test / n - 0.2).abs() < 0.06);
            }
        }
    }
}
