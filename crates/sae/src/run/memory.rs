//! Bytes that a training run needs, before any of them is asked for.

use super::config::{RunTraining, SaeTask};

/// Values kept of each weight: itself, its gradient, and two moments.
const VALUES_PER_WEIGHT: u64 = 4;

/// Bytes of an `f32`.
const VALUE_BYTES: u64 = size_of::<f32>() as u64;

/// What a training run keeps in memory at least, beside the model and its activations.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct TrainingMemory {
    /// Weights of all autoencoders, with their gradients and moments, in bytes.
    pub weights_bytes: u64,
    /// The buffer of activations that batches are drawn from, in bytes.
    pub buffer_bytes: u64,
    /// The activations of a batch, and of its features where all are computed, in bytes.
    pub batch_bytes: u64,
}

impl TrainingMemory {
    /// Adds up what some autoencoders need; `widths` holds that of each task's activations.
    ///
    /// Beyond what 64 bits hold a number stands at its largest.
    pub fn new(tasks: &[SaeTask], train: &RunTraining, widths: &[usize]) -> Self {
        let product = |factors: &[u64]| factors.iter().fold(1_u64, |all, n| all.saturating_mul(*n));
        let sum = |all: &mut dyn Iterator<Item = u64>| all.fold(0_u64, u64::saturating_add);
        let of_weights = |(task, width): (&SaeTask, &usize)| {
            let matrix = product(&[task.config.d_sae as u64, *width as u64]);
            product(&[2, matrix, VALUES_PER_WEIGHT, VALUE_BYTES])
        };
        // Tasks that read one hook share its rows, so the widest stands for the least there is.
        let width = widths.iter().max().map_or(0, |width| *width as u64);
        let (batch, n) = (train.batch_size as u64, train.buffer_batches as u64);
        Self {
            weights_bytes: sum(&mut tasks.iter().zip(widths).map(of_weights)),
            buffer_bytes: product(&[n, batch, width, VALUE_BYTES]),
            batch_bytes: product(&[batch, width, VALUE_BYTES]),
        }
    }

    /// All of it.
    pub fn total_bytes(self) -> u64 {
        self.weights_bytes.saturating_add(self.buffer_bytes).saturating_add(self.batch_bytes)
    }

    /// The key of the configuration that most of it is for.
    pub fn largest(self) -> &'static str {
        if self.weights_bytes >= self.buffer_bytes.max(self.batch_bytes) {
            "saes.d_sae"
        } else if self.buffer_bytes > self.batch_bytes.saturating_mul(2) {
            "train.buffer_batches"
        } else {
            "train.batch_size"
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::SaeRunConfig;

    fn memory(d_sae: &str, train: &str) -> TrainingMemory {
        let text = format!(
            "run = \"a\"\nmodel = {{ name = \"demo-gpt2\" }}\ndata = {{ path = \"a.csv\" }}\n\
             [[saes]]\nname = \"a\"\nhook = \"blocks.1.hook_resid_post\"\nd_sae = {d_sae}\n\
             architecture = {{ name = \"standard\", l1 = {{ value = 1.0 }} }}\nseeds = [1, 2]\n[train]\n{train}\n"
        );
        let config: SaeRunConfig = toml::from_str(&text).unwrap();
        TrainingMemory::new(&config.tasks().unwrap(), &config.train, &[10, 10])
    }

    #[test]
    fn weights_gradients_moments_and_the_buffer_are_counted() {
        let found = memory("100", "batch_size = 8\nbuffer_batches = 4\ntokens = 100");
        // Two autoencoders of two matrices of 100 by 10, four values of four bytes for each weight.
        assert_eq!(found.weights_bytes, 2 * 2 * 1000 * 16);
        assert_eq!(found.buffer_bytes, 4 * 8 * 10 * 4);
        assert_eq!(found.total_bytes(), 64_000 + 1280 + 320);
        assert_eq!(found.largest(), "saes.d_sae");
    }

    #[test]
    fn numbers_beyond_any_machine_do_not_wrap_around() {
        let found = memory("100", "batch_size = 8\nbuffer_batches = 9223372036854775807");
        assert_eq!((found.buffer_bytes, found.largest()), (u64::MAX, "train.buffer_batches"));
        assert_eq!(memory("4611686018427387904", "").weights_bytes, u64::MAX);
        let found = memory("100", "batch_size = 1000000\nbuffer_batches = 2\ntokens = 1000000");
        assert_eq!(found.largest(), "train.batch_size");
    }
}
