//! Training on activations that a source hands out.

use attention_probes_activations::ActivationSource;
use attention_probes_errors::{Stop, ValueError};
use rand::SeedableRng;
use rand::seq::SliceRandom;
use rand_chacha::ChaCha8Rng;

use super::buffer::MixingBuffer;
use super::report::StepReport;
use super::trainer::SaeTrainer;
use crate::SaeError;

/// Share of the buffer that stays when it is filled again, as in `SAELens`.
const MIX_FRACTION: f64 = 0.5;

/// Batches that the buffer holds.
const BUFFERED: usize = 16;

/// How an autoencoder trains on what a source hands out.
#[derive(Clone, Debug)]
pub struct SourceTraining<'a> {
    /// Number of tokens of each sequence of the source.
    pub lengths: &'a [usize],
    /// Index of the site. Default 0.
    pub site: usize,
    /// Rows of a step. Default 4096.
    pub batch_size: usize,
    /// Steps; the source is read as often as they need. Default 1000.
    pub n_steps: u64,
    /// Seed of the order of sequences and rows. Default 0.
    pub seed: u64,
    /// Asked before each step. Never by default.
    pub stop: Stop,
}

impl<'a> SourceTraining<'a> {
    /// Trains on sequences of these lengths, else as by default.
    pub fn new(lengths: &'a [usize]) -> Self {
        let stop = Stop::never();
        Self { lengths, site: 0, batch_size: 4096, n_steps: 1000, seed: 0, stop }
    }
}

impl SaeTrainer {
    /// Trains on the rows of a source, mixed over its sequences; `on_step` hears of each step.
    ///
    /// Sequences that the source [skips](ActivationSource::skipped) are left out. The result depends
    /// on the source, the configuration, and the seeds alone.
    ///
    /// # Errors
    ///
    /// - [`SaeError::Hyperparameter`] if there are not as many lengths as sequences, no such site, no rows, or
    ///   a batch or the steps are 0
    /// - [`SaeError::Activation`] if the source fails
    /// - [`SaeError::Stopped`] if [`SourceTraining::stop`] is given
    /// - as [`SaeTrainer::step`]
    ///
    /// # Memory
    ///
    /// 16 batches of rows, and the sequences that they come from, as they are read.
    ///
    /// # Examples
    ///
    /// ```
    /// use attention_probes::activations::RowsSource;
    /// use attention_probes::sae::{SaeTrainConfig, SaeTrainer, SourceTraining};
    ///
    /// let rows: Vec<f32> = (0..512 * 8).map(|i| ((i * 37 + i / 7) % 101) as f32 / 50.0).collect();
    /// let lengths = [16; 32];
    /// let mut source = RowsSource::new(&rows[..], &lengths, 8)?;
    /// let config = SaeTrainConfig { d_sae: 32, ..SaeTrainConfig::default() };
    /// let mut trainer = SaeTrainer::new(config, 8, 0)?;
    /// let training =
    ///     SourceTraining { batch_size: 64, n_steps: 20, ..SourceTraining::new(&lengths) };
    /// let mut errors = Vec::new();
    /// trainer.train_on(&mut source, &training, &mut |report| errors.push(report.mse))?;
    /// assert!(errors.len() == 20 && errors[19] < errors[0]);
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    pub fn train_on(
        &mut self,
        source: &mut dyn ActivationSource,
        config: &SourceTraining<'_>,
        on_step: &mut dyn FnMut(&StepReport),
    ) -> Result<(), SaeError> {
        let &SourceTraining { lengths, site, batch_size, n_steps, seed, ref stop } = config;
        let skipped = source.skipped();
        let kept: Vec<usize> =
            (0..lengths.len()).filter(|it| skipped.binary_search(it).is_err()).collect();
        let n_rows: usize = kept.iter().map(|&sequence| lengths[sequence]).sum();
        for (name, value, is_right, expected) in [
            (
                "lengths",
                lengths.len(),
                lengths.len() == source.n_sequences(),
                "one of each sequence",
            ),
            ("site", site, site < source.n_sites(), "a site of the source"),
            (
                "d_model",
                source.d_model(),
                source.d_model() == self.d_in(),
                "what the autoencoder reads",
            ),
            ("batch_size", batch_size, (1..=n_rows).contains(&batch_size), "at most all rows"),
        ] {
            if !is_right {
                return Err(ValueError::new(name, value, expected).into());
            }
        }
        let capacity = BUFFERED * batch_size;
        let mut buffer =
            MixingBuffer::new(vec![source.d_model()], (capacity, batch_size), MIX_FRACTION, seed);
        let mut rows = Rows { source, site, lengths, kept, seed, epoch: 0, order: Vec::new() };
        let (mut pending, mut batch) = (Vec::new(), Vec::new());
        for _ in 0..n_steps {
            stop.check()?;
            while buffer.n_wanted() > 0 {
                let wanted = buffer.n_wanted() * rows.source.d_model();
                rows.read(wanted, &mut pending)?;
                let rest = pending.split_off(wanted);
                buffer.fill(&[&pending]);
                pending = rest;
            }
            buffer.next_batch(&mut batch);
            on_step(&self.step(&batch[0])?);
        }
        Ok(())
    }
}

/// The rows of a source, its sequences shuffled every time that it is read.
struct Rows<'a> {
    source: &'a mut dyn ActivationSource,
    site: usize,
    lengths: &'a [usize],
    kept: Vec<usize>,
    seed: u64,
    epoch: u64,
    /// Sequences that are still to be read this time, the next one last.
    order: Vec<usize>,
}

impl Rows<'_> {
    /// Reads on until there are so many numbers.
    fn read(&mut self, wanted: usize, rows: &mut Vec<f32>) -> Result<(), SaeError> {
        while rows.len() < wanted {
            if self.order.is_empty() {
                self.order.clone_from(&self.kept);
                let mut rng = ChaCha8Rng::seed_from_u64(self.seed);
                rng.set_stream(self.epoch + 1);
                self.order.shuffle(&mut rng);
                self.epoch += 1;
            }
            let (mut n, mut prefixes) = (rows.len(), Vec::new());
            while n < wanted
                && let Some(sequence) = self.order.pop()
            {
                let length = self.lengths[sequence];
                prefixes.push((sequence, length));
                n += length * self.source.d_model();
            }
            let site = self.site;
            self.source.with_rows(&prefixes, &mut |sites| {
                sites[site].iter().for_each(|row| rows.extend_from_slice(row));
            })?;
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use attention_probes_activations::RowsSource;

    use super::*;
    use crate::{SaeTrainConfig, TrainArchitecture};

    fn rows() -> Vec<f32> {
        (0..300 * 6).map(|i| ((i * 7919 + i / 6 * 31) % 2003) as f32 / 1001.0 - 1.0).collect()
    }

    fn trainer() -> SaeTrainer {
        let architecture = TrainArchitecture::TopK { k: 3, aux_loss_coefficient: 1.0 };
        let config = SaeTrainConfig { architecture, d_sae: 24, ..SaeTrainConfig::default() };
        SaeTrainer::new(config, 6, 1).unwrap()
    }

    #[test]
    fn an_autoencoder_learns_the_rows_of_a_source_to_the_same_bits_every_time() {
        let (rows, lengths) = (rows(), [3; 100]);
        let train = |seed| {
            let mut source = RowsSource::new(&rows[..], &lengths, 6).unwrap();
            let training = SourceTraining {
                batch_size: 40,
                n_steps: 200,
                seed,
                ..SourceTraining::new(&lengths)
            };
            let (mut trainer, mut seen) = (trainer(), Vec::new());
            trainer.train_on(&mut source, &training, &mut |one| seen.push(one.fvu)).unwrap();
            (trainer.sae(), seen)
        };
        let ((first, seen), (again, _), (other, _)) = (train(0), train(0), train(1));
        let mean = |of: &[f64]| of.iter().sum::<f64>() / of.len() as f64;
        assert!(mean(&seen[190..]) < 0.9 * mean(&seen[..10]), "{seen:?}");
        assert_eq!(first, again);
        assert_ne!(first, other);
    }

    #[test]
    fn what_does_not_fit_is_refused() {
        let (rows, lengths) = (rows(), [3; 100]);
        let refused = |training: &SourceTraining<'_>| {
            let mut source = RowsSource::new(&rows[..], &lengths, 6).unwrap();
            trainer().train_on(&mut source, training, &mut |_| ()).unwrap_err().to_string()
        };
        let base = SourceTraining::new(&lengths);
        assert!(refused(&base).contains("`batch_size` is 4096, expected at most all rows"));
        let site = SourceTraining { site: 1, batch_size: 10, ..base.clone() };
        assert!(refused(&site).contains("`site` is 1"));
        assert!(refused(&SourceTraining::new(&lengths[1..])).contains("`lengths` is 99"));
    }
}
