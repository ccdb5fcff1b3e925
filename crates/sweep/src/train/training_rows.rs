//! The training examples of a site, in memory.

use attention_probes_activations::ActivationSource;
use attention_probes_probes::Pool;
use attention_probes_probes::engine::{self, RaggedBatch};

use crate::SweepError;
use crate::train::fit_data::FitData;
use crate::train::passes::with_batches;

/// The training examples of a site, in memory.
pub(crate) struct TrainingRows {
    values: Vec<f32>,
    /// Where each example ends in `values`.
    ends: Vec<usize>,
    pub(crate) d_model: usize,
}

impl TrainingRows {
    /// Reads the training examples of a site.
    ///
    /// # Memory
    ///
    /// Every token of every example.
    pub(crate) fn read(
        source: &mut dyn ActivationSource,
        data: &FitData<'_>,
        site: usize,
        batch_size: usize,
    ) -> Result<Self, SweepError> {
        let mut found = Self::new(source.d_model());
        for batch in data.train.chunks(batch_size) {
            let examples: Vec<_> = batch.iter().map(|&example| data.examples[example]).collect();
            with_batches(source, &examples, |sites| {
                sites[site].rows.iter().for_each(|rows| found.push(rows));
            })?;
        }
        Ok(found)
    }

    /// Reads the training examples once for several sites and pools, each example as one token.
    ///
    /// # Memory
    ///
    /// A row of every example for each site and pool.
    pub(crate) fn read_pooled(
        source: &mut dyn ActivationSource,
        data: &FitData<'_>,
        keys: &[(usize, Pool)],
        batch_size: usize,
    ) -> Result<Vec<Self>, SweepError> {
        let mut found: Vec<Self> = keys.iter().map(|_| Self::new(source.d_model())).collect();
        if keys.is_empty() {
            return Ok(found);
        }
        for batch in data.train.chunks(batch_size) {
            let examples: Vec<_> = batch.iter().map(|&example| data.examples[example]).collect();
            with_batches(source, &examples, |sites| {
                for (found, &(site, pool)) in found.iter_mut().zip(keys) {
                    for row in engine::pool(pool, &sites[site]).chunks(found.d_model) {
                        found.push(row);
                    }
                }
            })?;
        }
        Ok(found)
    }

    fn new(d_model: usize) -> Self {
        Self { values: Vec::new(), ends: Vec::new(), d_model }
    }

    fn push(&mut self, rows: &[f32]) {
        self.values.extend_from_slice(rows);
        self.ends.push(self.values.len());
    }

    /// All numbers; a row per example where there was a pool.
    pub(crate) fn values(&self) -> &[f32] {
        &self.values
    }

    /// The examples in batches.
    pub(crate) fn batches(&self, batch_size: usize) -> Vec<RaggedBatch<'_>> {
        let start = |i: usize| if i == 0 { 0 } else { self.ends[i - 1] };
        let rows: Vec<&[f32]> =
            (0..self.ends.len()).map(|i| &self.values[start(i)..self.ends[i]]).collect();
        let batches = rows.chunks(batch_size);
        batches.map(|rows| RaggedBatch { rows: rows.to_vec(), d_model: self.d_model }).collect()
    }
}
