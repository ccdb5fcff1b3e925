//! What is known of a pair of features, and how one text adds to it.

/// Sums of a pair of features over all queries and keys of some texts.
///
/// In sums that need no head the values are products of activations, which a head
/// multiplies by `u_i·v_j`; else they are values of the pair term.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub(super) struct PairEntry {
    pub(super) key_feature: u32,
    /// How often both are active, the key seen by the query; stops at the largest number.
    pub(super) count: u32,
    /// Largest magnitude of a value.
    pub(super) max: f32,
    /// What sums of magnitudes may lack, because the pair may have been dropped before.
    pub(super) missed: f32,
    pub(super) sum: f64,
    /// Sum of magnitudes.
    pub(super) sum_abs: f64,
    /// Sum of magnitudes times the distance between query and key.
    pub(super) distance: f64,
    /// Sum of magnitudes where the key is behind the last occurrence of the query's token.
    pub(super) induction: f64,
}

impl PairEntry {
    /// Adds what is known of the same pair from other texts.
    pub(super) fn add(&mut self, other: &Self) {
        self.count = self.count.saturating_add(other.count);
        self.max = self.max.max(other.max);
        self.missed = self.missed.max(other.missed);
        self.sum += other.sum;
        self.sum_abs += other.sum_abs;
        self.distance += other.distance;
        self.induction += other.induction;
    }

    /// No sum of magnitudes can be larger than this.
    pub(super) fn upper_bound(&self) -> f32 {
        let bound = self.sum_abs + f64::from(self.missed);
        let rounded = bound as f32;
        if f64::from(rounded) < bound { rounded.next_up() } else { rounded }
    }
}

/// Sums of one query feature with every key feature of a text, each `[n_slots]`.
#[derive(Debug, Default)]
pub(super) struct RowBuffer {
    pub(super) count: Vec<f32>,
    pub(super) max: Vec<f32>,
    pub(super) sum: Vec<f32>,
    pub(super) sum_abs: Vec<f32>,
    pub(super) distance: Vec<f32>,
    pub(super) induction: Vec<f32>,
    pub(super) entries: Vec<PairEntry>,
}

impl RowBuffer {
    pub(super) fn new(n_slots: usize) -> Self {
        let zero = || vec![0.0; n_slots];
        Self {
            count: zero(),
            max: zero(),
            sum: zero(),
            sum_abs: zero(),
            distance: zero(),
            induction: zero(),
            entries: Vec::with_capacity(n_slots),
        }
    }

    /// Turns the sums into entries, in the order of features, and clears them; `sums_are_positive`
    /// if `sum` is not filled because it is `sum_abs`.
    pub(super) fn finish(&mut self, features: &[u32], sums_are_positive: bool) -> &[PairEntry] {
        self.entries.clear();
        let sums = if sums_are_positive { &self.sum_abs } else { &self.sum };
        for (slot, count) in self.count.iter().enumerate() {
            if *count > 0.0 {
                self.entries.push(PairEntry {
                    key_feature: features[slot],
                    count: *count as u32,
                    max: self.max[slot],
                    missed: 0.0,
                    sum: f64::from(sums[slot]),
                    sum_abs: f64::from(self.sum_abs[slot]),
                    distance: f64::from(self.distance[slot]),
                    induction: f64::from(self.induction[slot]),
                });
            }
        }
        for values in [
            &mut self.count,
            &mut self.max,
            &mut self.sum,
            &mut self.sum_abs,
            &mut self.distance,
            &mut self.induction,
        ] {
            values.fill(0.0);
        }
        &self.entries
    }
}
