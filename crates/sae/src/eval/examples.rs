//! Balanced sets of labelled texts, and their rows, dense or sparse.

use rand::SeedableRng;
use rand::seq::SliceRandom;
use rand_chacha::ChaCha8Rng;

use super::encoded::Texts;
use super::texts::TextActivations;
use crate::{SaeError, SparseCodes};

/// How texts are drawn where only some are used.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Sampling {
    /// The first ones, in the order in which they are given.
    InOrder,
    /// Any, the same for the same seed.
    Seeded(u64),
}

impl Default for Sampling {
    /// `SAEBench`'s seed, 42.
    fn default() -> Self {
        Self::Seeded(42)
    }
}

/// Texts of some classes.
#[derive(Clone, Debug, PartialEq)]
pub struct ClassTexts<T = TextActivations> {
    classes: Vec<(String, T)>,
}

impl<T: Texts> ClassTexts<T> {
    /// Puts classes together, in an order that stays.
    ///
    /// # Errors
    ///
    /// - [`SaeError::SizeMismatch`] if there are fewer than two, or they differ in width.
    /// - [`SaeError::SameClass`] if two have one name.
    pub fn new(classes: Vec<(String, T)>) -> Result<Self, SaeError> {
        if classes.len() < 2 {
            let (what, found) = ("the number of classes", classes.len());
            return Err(SaeError::SizeMismatch { what, found, expected: 2 });
        }
        let expected = classes[0].1.d_in();
        for (i, (name, texts)) in classes.iter().enumerate() {
            if texts.d_in() != expected {
                let (what, found) = ("the width of the activations", texts.d_in());
                return Err(SaeError::SizeMismatch { what, found, expected });
            }
            if classes[..i].iter().any(|(other, _)| other == name) {
                return Err(SaeError::SameClass { class: name.clone() });
            }
        }
        Ok(Self { classes })
    }

    /// Names of the classes.
    pub fn names(&self) -> impl Iterator<Item = &str> {
        self.classes.iter().map(|(name, _)| &name[..])
    }

    /// Width of the activations.
    pub fn d_in(&self) -> usize {
        self.classes[0].1.d_in()
    }

    /// Texts of each class.
    pub(super) fn texts(&self) -> impl Iterator<Item = &T> {
        self.classes.iter().map(|(_, texts)| texts)
    }

    /// Number of texts of each class.
    pub(super) fn counts(&self) -> Vec<usize> {
        self.texts().map(T::n_texts).collect()
    }

    /// Refuses test data of other classes than those of the training.
    pub(super) fn check_same_classes(&self, test: &Self) -> Result<(), SaeError> {
        let (found, expected) = (test.classes.len(), self.classes.len());
        if !self.names().eq(test.names()) {
            let what = "the number of the training's classes that the test data has in its order";
            let found = self.names().zip(test.names()).filter(|(a, b)| a == b).count();
            return Err(SaeError::SizeMismatch { what, found, expected });
        }
        if test.d_in() != self.d_in() || found != expected {
            let what = "the width of the test data";
            return Err(SaeError::SizeMismatch { what, found: test.d_in(), expected: self.d_in() });
        }
        Ok(())
    }
}

/// One text of a balanced set.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Example {
    /// Which of several sources it is from.
    pub(super) source: usize,
    /// Which text of it.
    pub(super) text: usize,
    /// Whether it is of the class in question.
    pub(super) is_positive: bool,
}

/// All texts of a class, and as many of the others, in equal parts from each.
///
/// `SAEBench`'s `prepare_probe_data`: `ceil(P / n_others)` texts of each other class, of those
/// together `P`, and everything shuffled. `split` tells apart draws for several uses.
pub(super) fn one_against_others(
    counts: &[usize],
    class: usize,
    sampling: Sampling,
    split: u64,
) -> Result<Vec<Example>, SaeError> {
    let mut rng = Draw::new(sampling, split, class);
    let n_positive = counts[class];
    let n_of_each = n_positive.div_ceil(counts.len() - 1);
    let mut negative = Vec::new();
    for source in (0..counts.len()).filter(|other| *other != class) {
        let texts = rng.first(counts[source], n_of_each);
        negative.extend(texts.into_iter().map(|text| (source, text)));
    }
    balanced(&mut rng, (class, n_positive), &negative)
}

/// All texts of the source 0, and as many of the source 1.
pub(super) fn one_against_one(
    counts: [usize; 2],
    pair: usize,
    sampling: Sampling,
    split: u64,
) -> Result<Vec<Example>, SaeError> {
    let negative: Vec<(usize, usize)> = (0..counts[1]).map(|text| (1, text)).collect();
    balanced(&mut Draw::new(sampling, split, pair), (0, counts[0]), &negative)
}

fn balanced(
    rng: &mut Draw,
    (class, n_positive): (usize, usize),
    negative: &[(usize, usize)],
) -> Result<Vec<Example>, SaeError> {
    if negative.len() < n_positive {
        let what = "the number of negative texts for all that are positive";
        return Err(SaeError::SizeMismatch { what, found: negative.len(), expected: n_positive });
    }
    let chosen = rng.first(negative.len(), n_positive);
    let mut examples: Vec<Example> = (0..n_positive)
        .map(|text| Example { source: class, text, is_positive: true })
        .chain(chosen.into_iter().map(|i| {
            let (source, text) = negative[i];
            Example { source, text, is_positive: false }
        }))
        .collect();
    rng.shuffle(&mut examples);
    Ok(examples)
}

/// Draws without replacement.
struct Draw(Option<ChaCha8Rng>);

impl Draw {
    fn new(sampling: Sampling, split: u64, class: usize) -> Self {
        Self(match sampling {
            Sampling::InOrder => None,
            Sampling::Seeded(seed) => {
                let mut rng = ChaCha8Rng::seed_from_u64(seed);
                rng.set_stream(split << 32 | class as u64);
                Some(rng)
            }
        })
    }

    /// `n` of the first `of` numbers, or as many as there are.
    fn first(&mut self, of: usize, n: usize) -> Vec<usize> {
        let mut all: Vec<usize> = (0..of).collect();
        self.shuffle(&mut all);
        all.truncate(n);
        all
    }

    fn shuffle<T>(&mut self, values: &mut [T]) {
        if let Some(rng) = &mut self.0 {
            values.shuffle(rng);
        }
    }
}

/// A row of numbers for each text of a source.
#[derive(Clone, Debug, PartialEq)]
pub(super) enum Rows {
    /// `[n_texts, width]`
    Dense { values: Vec<f32>, width: usize },
    /// `[n_texts, d_sae]`
    Sparse(SparseCodes),
}

impl Rows {
    pub(super) fn width(&self) -> usize {
        match self {
            Self::Dense { width, .. } => *width,
            Self::Sparse(codes) => codes.d_sae(),
        }
    }

    /// Every number of a text that can be other than 0, with its column.
    pub(super) fn visit(&self, text: usize, mut visit: impl FnMut(usize, f32)) {
        match self {
            Self::Dense { values, width } => {
                let row = &values[text * width..][..*width];
                row.iter().enumerate().for_each(|(column, value)| visit(column, *value));
            }
            Self::Sparse(codes) => {
                let (features, values) = codes.row(text);
                features.iter().zip(values).for_each(|(f, value)| visit(*f as usize, *value));
            }
        }
    }

    /// `Σ_j x_j weight_j` of a text.
    pub(super) fn dot(&self, text: usize, weight: &[f64]) -> f64 {
        let mut sum = 0.0;
        self.visit(text, |column, value| sum += f64::from(value) * weight[column]);
        sum
    }
}

/// `mean of the positive rows - mean of the negative ones`, `[width]`.
pub(super) fn mean_difference(sources: &[Rows], examples: &[Example]) -> Vec<f64> {
    let width = sources.first().map_or(0, Rows::width);
    let mut sums = [vec![0.0_f64; width], vec![0.0_f64; width]];
    let mut counts = [0_usize; 2];
    for example in examples {
        let side = usize::from(example.is_positive);
        counts[side] += 1;
        let sums = &mut sums[side];
        sources[example.source].visit(example.text, |j, value| sums[j] += f64::from(value));
    }
    let [n_negative, n_positive] = counts.map(|n| n.max(1) as f64);
    let [negative, positive] = sums;
    positive.iter().zip(negative).map(|(p, n)| p / n_positive - n / n_negative).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_class_stands_against_equal_parts_of_the_others() {
        let examples = one_against_others(&[3, 5, 4], 0, Sampling::InOrder, 0).unwrap();
        let places: Vec<(usize, usize)> = examples.iter().map(|e| (e.source, e.text)).collect();
        assert_eq!(places, [(0, 0), (0, 1), (0, 2), (1, 0), (1, 1), (2, 0)]);
    }

    #[test]
    fn a_seed_draws_the_same_balanced_set_again() {
        let draw = |seed| one_against_others(&[40, 50, 60], 1, Sampling::Seeded(seed), 0).unwrap();
        assert_eq!(draw(1), draw(1));
        assert_ne!(draw(1), draw(2));
        assert_eq!(draw(1).iter().filter(|example| example.is_positive).count(), 50);
        assert_eq!(draw(1).iter().filter(|example| example.source == 0).count(), 25);
    }

    #[test]
    fn too_few_negative_texts_are_refused() {
        let error = one_against_one([3, 2], 0, Sampling::InOrder, 0).unwrap_err().to_string();
        assert_eq!(
            error,
            "the number of negative texts for all that are positive is 2, expected 3"
        );
    }
}
