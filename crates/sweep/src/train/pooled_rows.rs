//! What groups read pooled of the training examples, kept between epochs.

use attention_probes_probes::Pool;
use attention_probes_probes::engine::{RaggedBatch, pool};

use crate::train::fit_data::FitData;
use crate::train::group::TrialGroup;

/// Most memory of the rows; what does not fit is pooled again in every epoch.
const MOST_BYTES: usize = 1 << 30;

/// A row of each training example for every site and pool that groups read, from the first epoch on.
#[derive(Debug)]
pub(crate) struct PooledRows {
    keys: Vec<(usize, Pool)>,
    /// For each key `[n_train, d_model]`.
    rows: Vec<Vec<f32>>,
    d_model: usize,
    /// Place of each example among the training examples.
    places: Vec<usize>,
    /// Which training examples have been read.
    is_read: Vec<bool>,
}

impl PooledRows {
    pub(crate) fn new(data: &FitData<'_>, groups: &[TrialGroup], d_model: usize) -> Self {
        let mut keys: Vec<(usize, Pool)> = Vec::new();
        for group in groups {
            let key = group.probe.kind().reads().pool().map(|pool| (group.site, pool));
            keys.extend(key.filter(|key| !keys.contains(key)));
        }
        let n = data.train.len() * d_model;
        keys.truncate(MOST_BYTES / (n * size_of::<f32>()).max(1));
        let mut places = vec![usize::MAX; data.examples.len()];
        for (place, &example) in data.train.iter().enumerate() {
            places[example] = place;
        }
        let rows = keys.iter().map(|_| vec![0.0; n]).collect();
        Self { keys, rows, d_model, places, is_read: vec![false; data.train.len()] }
    }

    /// Pools examples whose tokens are there, those of each site.
    pub(crate) fn fill(&mut self, examples: &[usize], sites: &[RaggedBatch<'_>]) {
        if self.keys.is_empty() || self.has(examples) {
            return;
        }
        for (&(site, how), rows) in self.keys.iter().zip(&mut self.rows) {
            let pooled = pool(how, &sites[site]);
            for (&example, row) in examples.iter().zip(pooled.chunks(self.d_model)) {
                rows[self.places[example] * self.d_model..][..self.d_model].copy_from_slice(row);
            }
        }
        for &example in examples {
            self.is_read[self.places[example]] = true;
        }
    }

    /// The rows of some examples as a group reads them, if they are there.
    pub(crate) fn batch(&self, group: &TrialGroup, examples: &[usize]) -> Option<RaggedBatch<'_>> {
        let pool = group.probe.kind().reads().pool()?;
        let key = self.keys.iter().position(|key| *key == (group.site, pool))?;
        if !self.has(examples) {
            return None;
        }
        let row = |&example: &usize| {
            &self.rows[key][self.places[example] * self.d_model..][..self.d_model]
        };
        Some(RaggedBatch { rows: examples.iter().map(row).collect(), d_model: self.d_model })
    }

    fn has(&self, examples: &[usize]) -> bool {
        examples.iter().all(|&example| self.is_read[self.places[example]])
    }
}
