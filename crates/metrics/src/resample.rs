//! How resamples of a bootstrap are drawn: within classes, or as whole groups.

use rand::{Rng, SeedableRng};
use rand_chacha::ChaCha8Rng;

use crate::{MetricError, check};

/// Draws of whole groups for one resample. A class that all of them lack is so rare that the
/// statistic has to do without it.
const MAX_DRAWS: usize = 20;

/// How the resamples of an interval are drawn.
#[derive(Clone, Copy, Debug)]
pub struct Bootstrap<'a> {
    /// Number of resamples; 1000 unless told.
    pub n_resamples: usize,
    /// Confidence level of the interval, between 0 and 1; 0.95 unless told.
    pub level: f64,
    /// Fixes the resamples, on every machine alike; 0 unless told.
    pub seed: u64,
    /// Group of each example, such as the text that its token is from. Whole groups are drawn, as
    /// their examples are not independent; where there are classes, a resample that lacks one is
    /// drawn again. Without groups, examples are drawn within their class, so that no class can be
    /// missing.
    pub groups: Option<&'a [usize]>,
}

impl Default for Bootstrap<'_> {
    fn default() -> Self {
        Self { n_resamples: 1000, level: 0.95, seed: 0, groups: None }
    }
}

impl<'a> Bootstrap<'a> {
    /// Number of resamples of a comparison, whose p-value they bound from below.
    pub const PAIRED: usize = 2000;

    /// Draws whole groups, if there are any: one group of all examples is none, and neither are
    /// groups of one example each.
    #[must_use]
    pub fn of_groups(self, groups: Option<&'a [usize]>) -> Self {
        let is_grouping = |groups: &&[usize]| {
            let n_groups = members(groups).len();
            1 < n_groups && n_groups < groups.len()
        };
        Self { groups: groups.filter(is_grouping), ..self }
    }
}

/// Draws indices of examples with replacement, one by one or as whole groups.
pub(crate) struct Resampler {
    rng: ChaCha8Rng,
    n_examples: usize,
    /// Examples of each group, if they are drawn as such.
    groups: Option<Vec<Vec<usize>>>,
}

impl Resampler {
    /// Checks how resamples of so many examples are to be drawn.
    pub(crate) fn new(n_examples: usize, config: &Bootstrap<'_>) -> Result<Self, MetricError> {
        check_numbers(config)?;
        if n_examples == 0 {
            return Err(MetricError::Empty { name: "n_examples" });
        }
        let groups = config.groups.map(|groups| members_of(groups, n_examples)).transpose()?;
        Ok(Self { rng: ChaCha8Rng::seed_from_u64(config.seed), n_examples, groups })
    }

    /// Draws the indices of a resample.
    pub(crate) fn draw(&mut self, indices: &mut Vec<usize>) {
        // A range of `usize` would draw differently on 32-bit machines.
        let mut index = |n: usize| self.rng.random_range(0..n as u64) as usize;
        indices.clear();
        match &self.groups {
            None => indices.extend((0..self.n_examples).map(|_| index(self.n_examples))),
            Some(groups) => {
                let drawn = groups.iter().map(|_| &groups[index(groups.len())]);
                indices.extend(drawn.flatten());
            }
        }
    }
}

/// Draws how often each example occurs in a resample.
pub(crate) struct Sampler {
    rng: ChaCha8Rng,
    kind: Kind,
    /// Resamples that lacked a class and were drawn again.
    pub(crate) n_redrawn: usize,
}

enum Kind {
    /// Examples, within lists of them.
    Strata(Vec<Vec<usize>>),
    /// Lists of examples, as a whole.
    Groups(Vec<Group>),
}

/// Examples that are drawn together.
struct Group {
    examples: Vec<usize>,
    /// Their classes, each once.
    classes: Vec<usize>,
}

impl Sampler {
    /// Checks how resamples of examples of these classes are to be drawn.
    pub(crate) fn new(classes: &[usize], config: &Bootstrap<'_>) -> Result<Self, MetricError> {
        check_numbers(config)?;
        let kind = match config.groups {
            None => Kind::Strata(members(classes)),
            Some(groups) => Kind::Groups(groups_of(groups, classes)?),
        };
        Ok(Self { rng: ChaCha8Rng::seed_from_u64(config.seed), kind, n_redrawn: 0 })
    }

    /// Draws a resample with every class, if there is one within [`MAX_DRAWS`] draws.
    pub(crate) fn draw(&mut self, weights: &mut [u32]) {
        // A range of `usize` would draw differently on 32-bit machines.
        let mut index = |n: usize| self.rng.random_range(0..n as u64) as usize;
        weights.fill(0);
        match &self.kind {
            Kind::Strata(strata) => {
                for examples in strata {
                    for _ in examples {
                        weights[examples[index(examples.len())]] += 1;
                    }
                }
            }
            Kind::Groups(groups) => {
                let n_classes = n_classes(groups);
                let mut drawn = Vec::new();
                for draw in 0..MAX_DRAWS {
                    drawn = groups.iter().map(|_| &groups[index(groups.len())]).collect();
                    if self::n_classes(drawn.iter().copied()) == n_classes {
                        break;
                    }
                    self.n_redrawn += usize::from(draw + 1 < MAX_DRAWS);
                }
                for &example in drawn.iter().flat_map(|group| &group.examples) {
                    weights[example] += 1;
                }
            }
        }
    }
}

/// Balanced accuracies of resamples of the same examples, of one classifier or of several.
pub(crate) struct Recalls<const N: usize> {
    labels: Vec<usize>,
    /// Which classifiers are right about each example.
    is_right: Vec<[bool; N]>,
    /// Recall of each class of all examples; `None` of a class without an example.
    whole: Vec<Option<[f64; N]>>,
}

impl<const N: usize> Recalls<N> {
    pub(crate) fn new(labels: &[usize], predictions: [&[usize]; N], n_classes: usize) -> Self {
        let is_right = |(i, &label): (usize, &usize)| predictions.map(|list| list[i] == label);
        let mut recalls = Self {
            labels: labels.to_vec(),
            is_right: labels.iter().enumerate().map(is_right).collect(),
            whole: vec![None; n_classes],
        };
        recalls.whole = recalls.by_class(&vec![1; labels.len()]);
        recalls
    }

    /// Mean recall over the classes, each example as often as its weight.
    ///
    /// A class that is missing keeps its recall of all examples, so that the mean is always over
    /// the same classes.
    pub(crate) fn balanced_accuracies(&self, weights: &[u32]) -> [f64; N] {
        let (mut sums, mut n_present) = ([0.0; N], 0.0);
        for (found, whole) in self.by_class(weights).into_iter().zip(&self.whole) {
            let Some(recalls) = found.or(*whole) else { continue };
            for (sum, recall) in sums.iter_mut().zip(recalls) {
                *sum += recall;
            }
            n_present += 1.0;
        }
        sums.map(|sum| sum / n_present)
    }

    fn by_class(&self, weights: &[u32]) -> Vec<Option<[f64; N]>> {
        let mut counts = vec![(0_u64, [0_u64; N]); self.whole.len()];
        for ((&label, is_right), &weight) in self.labels.iter().zip(&self.is_right).zip(weights) {
            let (support, found) = &mut counts[label];
            *support += u64::from(weight);
            for (found, is_right) in found.iter_mut().zip(is_right) {
                *found += u64::from(weight) * u64::from(*is_right);
            }
        }
        let recalls = |(support, found): (u64, [u64; N])| {
            (support > 0).then(|| found.map(|found| found as f64 / support as f64))
        };
        counts.into_iter().map(recalls).collect()
    }
}

/// Number of classes of some groups.
fn n_classes<'a>(groups: impl IntoIterator<Item = &'a Group>) -> usize {
    let mut is_present: Vec<bool> = Vec::new();
    let mut n_present = 0;
    for &class in groups.into_iter().flat_map(|group| &group.classes) {
        if class >= is_present.len() {
            is_present.resize(class + 1, false);
        }
        n_present += usize::from(!is_present[class]);
        is_present[class] = true;
    }
    n_present
}

fn groups_of(groups: &[usize], classes: &[usize]) -> Result<Vec<Group>, MetricError> {
    let groups = members_of(groups, classes.len())?;
    let group = |examples: Vec<usize>| {
        let mut classes: Vec<usize> = examples.iter().map(|&i| classes[i]).collect();
        classes.sort_unstable();
        classes.dedup();
        Group { examples, classes }
    };
    Ok(groups.into_iter().map(group).collect())
}

/// Refuses a number of resamples, or a level, that gives no interval.
fn check_numbers(config: &Bootstrap<'_>) -> Result<(), MetricError> {
    check::rate("level", config.level)?;
    check::at_least_one("n_resamples", config.n_resamples)
}

/// The examples of each group, of which there must be two at least.
fn members_of(groups: &[usize], n_examples: usize) -> Result<Vec<Vec<usize>>, MetricError> {
    check::length("groups", groups.len(), n_examples)?;
    let groups = members(groups);
    if groups.len() < 2 {
        return Err(MetricError::TooFew { name: "groups", n: groups.len(), needed: 2 });
    }
    Ok(groups)
}

/// The positions of each key, by rising key.
fn members(keys: &[usize]) -> Vec<Vec<usize>> {
    let mut order: Vec<usize> = (0..keys.len()).collect();
    order.sort_by_key(|&i| keys[i]);
    order.chunk_by(|&i, &j| keys[i] == keys[j]).map(<[usize]>::to_vec).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_resample_has_every_class_and_those_drawn_again_are_counted() {
        // The only group with class 1 is missing from (3/4)^4 of all draws.
        let (classes, groups) = ([0, 0, 0, 0, 1, 0], [0, 0, 1, 2, 3, 3]);
        let config = Bootstrap::default().of_groups(Some(&groups));
        let mut sampler = Sampler::new(&classes, &config).unwrap();
        let mut weights = [0; 6];
        for _ in 0..1000 {
            sampler.draw(&mut weights);
            assert!(weights[4] > 0 && weights[4] == weights[5] && weights[0] == weights[1]);
        }
        let expected = 1000.0 * 0.316 / (1.0 - 0.316);
        assert!((sampler.n_redrawn as f64 - expected).abs() < 80.0, "{}", sampler.n_redrawn);
    }

    #[test]
    fn classes_too_rare_for_any_resample_end_the_draws() {
        let labels: Vec<usize> = (0..400).map(|i| i / 2).collect();
        let config = Bootstrap { groups: Some(&labels), ..Bootstrap::default() };
        let mut sampler = Sampler::new(&labels, &config).unwrap();
        let mut weights = vec![0; 400];
        sampler.draw(&mut weights);
        assert_eq!((sampler.n_redrawn, weights.iter().sum::<u32>()), (MAX_DRAWS - 1, 400));
    }

    #[test]
    fn groups_that_group_nothing_are_none() {
        for groups in [[7, 7, 7], [0, 1, 2]] {
            assert_eq!(Bootstrap::default().of_groups(Some(&groups)).groups, None);
        }
        assert!(Bootstrap::default().of_groups(Some(&[0, 1, 1])).groups.is_some());
    }
}
