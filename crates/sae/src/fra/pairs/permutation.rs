//! Which other feature lends a key its direction, as a null.

use rand::{Rng as _, SeedableRng};
use rand_chacha::ChaCha8Rng;

/// Stands for the other feature of one that has not occurred; no feature has this number.
pub(super) const NONE: u32 = u32::MAX;

/// Another feature for each feature that occurs.
///
/// Sums that depend on distances need it while it is not known yet what will occur. So it grows: the
/// features that a text is the first to have change places in one cycle through them, so that none
/// keeps its own (Sattolo, 1986), and that remains. A text with one such feature gives it the
/// direction of any that occurred before.
#[derive(Clone, Debug, PartialEq)]
pub(super) struct Permutation {
    /// `NONE` where a feature has not occurred, `[d_sae]`.
    pub(super) others: Vec<u32>,
}

impl Permutation {
    pub(super) fn new(d_sae: usize) -> Self {
        Self { others: vec![NONE; d_sae] }
    }

    /// Finds others for those features of a text that have none; `text` is its number.
    pub(super) fn meet(&mut self, features: &[u32], seed: u64, text: u64) {
        let is_new = |feature: &u32| self.others[*feature as usize] == NONE;
        let new: Vec<u32> = features.iter().copied().filter(is_new).collect();
        let mut rng = ChaCha8Rng::seed_from_u64(seed);
        rng.set_stream(text);
        if let [alone] = new[..] {
            let before: Vec<u32> = self.met().collect();
            // The first feature of all can only have that of one that may never occur.
            let other = match before.len() {
                0 => (alone + 1) % self.others.len() as u32,
                n => before[rng.random_range(0..n)],
            };
            self.others[alone as usize] = other;
            return;
        }
        let mut others = new.clone();
        for last in (1..others.len()).rev() {
            others.swap(last, rng.random_range(0..last));
        }
        for (feature, other) in new.into_iter().zip(others) {
            self.others[feature as usize] = other;
        }
    }

    /// The features that occurred.
    pub(super) fn met(&self) -> impl Iterator<Item = u32> + '_ {
        let features = (0..).zip(&self.others);
        features.filter(|(_, other)| **other != NONE).map(|(feature, _)| feature)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn features_that_come_together_change_places_in_one_cycle() {
        let mut permutation = Permutation::new(60);
        let texts = [&[1, 4, 9, 30][..], &[4, 5, 9, 40, 41, 59], &[1, 4], &[4, 7]];
        let mut before = permutation.clone();
        for (text, features) in (0..).zip(texts) {
            permutation.meet(features, 3, text);
            let new: Vec<u32> =
                permutation.met().filter(|f| !before.met().any(|g| g == *f)).collect();
            assert_eq!(
                new,
                features.iter().copied().filter(|f| new.contains(f)).collect::<Vec<_>>()
            );
            // What was given once remains.
            assert!(
                before.met().all(|f| before.others[f as usize] == permutation.others[f as usize])
            );
            if new.len() > 1 {
                let mut at = new[0];
                for step in 1..=new.len() {
                    at = permutation.others[at as usize];
                    assert!(new.contains(&at));
                    assert_eq!(at == new[0], step == new.len());
                }
            }
            before = permutation.clone();
        }
        assert_eq!(permutation.met().collect::<Vec<_>>(), [1, 4, 5, 7, 9, 30, 40, 41, 59]);
        let of_seven = permutation.others[7];
        assert!(of_seven != 7 && permutation.met().any(|feature| feature == of_seven));
        let mut other = Permutation::new(60);
        other.meet(&(0..60).collect::<Vec<_>>(), 4, 0);
        let mut seeded = Permutation::new(60);
        seeded.meet(&(0..60).collect::<Vec<_>>(), 5, 0);
        assert_ne!(other, seeded);
    }

    #[test]
    fn the_first_feature_of_all_is_not_its_own_other() {
        let mut permutation = Permutation::new(3);
        permutation.meet(&[2], 0, 0);
        assert_eq!(permutation.others, [NONE, NONE, 0]);
    }
}
