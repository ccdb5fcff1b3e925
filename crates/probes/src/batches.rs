//! Which examples a step of training sees.

use rand::SeedableRng;
use rand::seq::SliceRandom;
use rand_chacha::ChaCha8Rng;

/// Shuffled batches, epoch after epoch; all examples at once where they fit into one batch.
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

    /// The next examples; `None` for all of them in their order.
    pub(crate) fn next_batch(&mut self) -> Option<&[usize]> {
        if self.order.len() <= self.batch_size {
            return None;
        }
        if self.next == self.order.len() {
            self.order.shuffle(&mut self.rng);
            self.next = 0;
        }
        let end = (self.next + self.batch_size).min(self.order.len());
        let batch = &self.order[self.next..end];
        self.next = end;
        Some(batch)
    }
}
