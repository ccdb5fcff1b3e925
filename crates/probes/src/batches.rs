//! Which examples a step of training sees, and which of their tokens.

use burn::tensor::{Bool, Tensor, TensorData};
use rand::seq::SliceRandom;
use rand::{Rng, SeedableRng};
use rand_chacha::ChaCha8Rng;

use crate::{AnyProbe, Probe, ProbeConfig, ProbeOutput, TrainingData};

/// Shuffled batches: every example once, then shuffled anew.
pub(crate) struct Batches {
    order: Vec<usize>,
    next: usize,
    batch_size: usize,
    rng: ChaCha8Rng,
}

impl Batches {
    pub(crate) fn new(n_examples: usize, batch_size: usize, seed: u64) -> Self {
        let mut rng = ChaCha8Rng::seed_from_u64(seed);
        rng.set_stream(1); // stream 0 draws the initial weights
        Self { order: (0..n_examples).collect(), next: n_examples, batch_size, rng }
    }

    pub(crate) fn next_batch(&mut self, data: &TrainingData) -> TrainingData {
        if self.order.len() <= self.batch_size {
            return data.clone();
        }
        if self.next == self.order.len() {
            self.order.shuffle(&mut self.rng);
            self.next = 0;
        }
        let end = (self.next + self.batch_size).min(self.order.len());
        let batch = data.select(&self.order[self.next..end]);
        self.next = end;
        batch
    }
}

/// Draws which tokens are hidden from which heads, on the host, so that every device agrees.
pub(crate) struct Dropout {
    probability: f64,
    n_heads: usize,
    rng: ChaCha8Rng,
}

impl Dropout {
    /// Nothing is hidden.
    pub(crate) fn none() -> Self {
        Self { probability: 0.0, n_heads: 0, rng: ChaCha8Rng::seed_from_u64(0) }
    }

    pub(crate) fn new(probe: &AnyProbe, seed: u64) -> Self {
        let mut rng = ChaCha8Rng::seed_from_u64(seed);
        rng.set_stream(2); // stream 1 draws the batches
        let (probability, n_heads) = match probe.config() {
            // A single token is never hidden: nothing would be left to read.
            ProbeConfig::Attention(config) if !config.last_only => {
                (config.attention_dropout, config.n_heads)
            }
            _ => (0.0, 0),
        };
        Self { probability, n_heads, rng }
    }

    /// Logits of a batch, its offsets among them.
    pub(crate) fn logits(&mut self, probe: &AnyProbe, batch: &TrainingData) -> Tensor<2> {
        batch.add_offsets(self.forward(probe, batch).logits)
    }

    pub(crate) fn forward(&mut self, probe: &AnyProbe, batch: &TrainingData) -> ProbeOutput {
        let (x, mask_pad) = (batch.x().clone(), batch.mask_pad().clone());
        match probe {
            AnyProbe::Attention(probe) if self.probability > 0.0 => {
                let [n_examples, pos, _] = x.dims();
                let shape = [n_examples, self.n_heads, pos];
                let n = shape.iter().product();
                let dropped: Vec<bool> =
                    (0..n).map(|_| self.rng.random::<f64>() < self.probability).collect();
                let data = TensorData::new(dropped, shape);
                let mask_dropped = Tensor::<3, Bool>::from_data(data, &x.device());
                probe.forward_dropped(x, mask_pad, Some(mask_dropped))
            }
            _ => probe.forward(x, mask_pad),
        }
    }
}
