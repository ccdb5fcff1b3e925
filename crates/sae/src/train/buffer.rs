//! A buffer that mixes the rows of many texts, at several places at once.

use rand::SeedableRng;
use rand::seq::SliceRandom;
use rand_chacha::ChaCha8Rng;

/// Keeps rows of activations and hands them out in random batches.
///
/// As in `SAELens`, a share of the rows stays behind whenever the buffer is filled again, so that a
/// batch holds rows of texts that were read long ago beside new ones. What is drawn depends on the
/// seed and on the rows alone; the same order holds at every place.
///
/// # Memory
///
/// `capacity` rows at every place.
#[derive(Clone, Debug, PartialEq)]
pub struct MixingBuffer {
    widths: Vec<usize>,
    capacity: usize,
    batch_size: usize,
    seed: u64,
    /// Rows that stay when the buffer is filled again.
    n_kept: usize,
    pub(crate) state: BufferState,
}

/// What a checkpoint holds of a buffer.
#[derive(Clone, Debug, Default, PartialEq)]
pub(crate) struct BufferState {
    /// Rows of each place, `[n, width]`, wherever they came to lie.
    pub(crate) rows: Vec<Vec<f32>>,
    /// Rows that have not been handed out, in the order in which they will be.
    pub(crate) queue: Vec<u32>,
    /// How often it was filled.
    pub(crate) n_fills: u64,
}

impl MixingBuffer {
    /// Makes an empty buffer for rows of these widths.
    ///
    /// `mix_fraction` of the `capacity` stays when it is filled again; a batch has `batch_size`
    /// rows, and the capacity is at least two batches.
    pub fn new(
        widths: Vec<usize>,
        (capacity, batch_size): (usize, usize),
        mix_fraction: f64,
        seed: u64,
    ) -> Self {
        let batch_size = batch_size.max(1);
        let capacity = capacity.max(2 * batch_size);
        let n_kept = (capacity as f64 * mix_fraction.clamp(0.0, 1.0)) as usize;
        let state = BufferState { rows: vec![Vec::new(); widths.len()], ..BufferState::default() };
        // At least one batch is handed out between two fills.
        Self {
            widths,
            capacity,
            batch_size,
            seed,
            n_kept: n_kept.min(capacity - batch_size),
            state,
        }
    }

    /// Values of a row at every place.
    pub fn widths(&self) -> &[usize] {
        &self.widths
    }

    /// Number of rows that it would take in now.
    ///
    /// 0 while there are batches to hand out.
    pub fn n_wanted(&self) -> usize {
        let n_left = self.state.queue.len();
        if n_left >= self.n_kept + self.batch_size { 0 } else { self.capacity - n_left }
    }

    /// Takes in rows, one slice for each place, as many as are wanted or fewer, and shuffles.
    ///
    /// # Panics
    ///
    /// If the places have different numbers of rows, or more than are wanted.
    pub fn fill(&mut self, rows: &[&[f32]]) {
        assert_eq!(rows.len(), self.widths.len(), "rows at every place");
        let n_new = rows.first().map_or(0, |rows| rows.len() / self.widths[0]);
        assert!(self.state.queue.len() + n_new <= self.capacity, "no more rows than are wanted");
        let n_stored = self.state.rows[0].len() / self.widths[0];
        let mut is_taken = vec![false; n_stored];
        for row in &self.state.queue {
            is_taken[*row as usize] = true;
        }
        // Rows that were handed out make room for new ones.
        let free = (0..n_stored).filter(|row| !is_taken[*row]).chain(n_stored..);
        let places: Vec<usize> = free.take(n_new).collect();
        for ((stored, rows), &width) in self.state.rows.iter_mut().zip(rows).zip(&self.widths) {
            assert_eq!(rows.len(), n_new * width, "as many rows at every place");
            for (place, row) in places.iter().zip(rows.chunks_exact(width)) {
                let range = place * width..(place + 1) * width;
                if range.end > stored.len() {
                    stored.resize(range.end, 0.0);
                }
                stored[range].copy_from_slice(row);
            }
        }
        self.state.queue.extend(places.iter().map(|place| *place as u32));
        let mut rng = ChaCha8Rng::seed_from_u64(self.seed);
        rng.set_stream(self.state.n_fills);
        self.state.queue.shuffle(&mut rng);
        self.state.n_fills += 1;
    }

    /// Rows of a batch.
    pub fn batch_size(&self) -> usize {
        self.batch_size
    }

    /// Writes the next batch of every place, `[batch_size, width]`, into `batch`.
    ///
    /// `false` if there are too few rows; what is left of a stream that ended is never handed out.
    pub fn next_batch(&mut self, batch: &mut Vec<Vec<f32>>) -> bool {
        let state = &mut self.state;
        if state.queue.len() < self.batch_size {
            return false;
        }
        let rows = state.queue.split_off(state.queue.len() - self.batch_size);
        batch.resize_with(self.widths.len(), Vec::new);
        for ((batch, stored), &width) in batch.iter_mut().zip(&state.rows).zip(&self.widths) {
            batch.clear();
            for &row in &rows {
                batch.extend_from_slice(&stored[row as usize * width..][..width]);
            }
        }
        true
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Rows whose number is in every column.
    fn rows(from: usize, n: usize, width: usize) -> Vec<f32> {
        (from..from + n).flat_map(|row| std::iter::repeat_n(row as f32, width)).collect()
    }

    #[test]
    fn every_row_comes_once_and_at_every_place_together() {
        let mut buffer = MixingBuffer::new(vec![1, 3], (10, 4), 0.5, 7);
        let (mut seen, mut next, mut batch) = (Vec::new(), 0, Vec::new());
        while next < 60 || buffer.n_wanted() == 0 {
            let n = buffer.n_wanted();
            if n > 0 {
                buffer.fill(&[&rows(next, n, 1), &rows(next, n, 3)]);
                next += n;
            }
            assert!(buffer.next_batch(&mut batch));
            assert_eq!((batch[0].len(), batch[1].len()), (4, 12));
            for (one, three) in batch[0].iter().zip(batch[1].chunks_exact(3)) {
                assert_eq!(three, [*one; 3]);
            }
            seen.extend(batch[0].iter().map(|row| *row as usize));
        }
        while buffer.next_batch(&mut batch) {
            seen.extend(batch[0].iter().map(|row| *row as usize));
        }
        assert!(seen.len() + 4 > next && seen.len() <= next, "{} of {next}", seen.len());
        let mut sorted = seen.clone();
        sorted.sort_unstable();
        sorted.dedup();
        assert_eq!(sorted.len(), seen.len(), "no row comes twice");
        assert!(seen.windows(2).any(|pair| pair[0] > pair[1] + 5), "rows are mixed: {seen:?}");
    }

    #[test]
    fn a_buffer_that_goes_on_from_its_state_draws_the_same() {
        let mut buffer = MixingBuffer::new(vec![2], (12, 3), 0.5, 1);
        let mut batch = Vec::new();
        buffer.fill(&[&rows(0, 12, 2)]);
        buffer.next_batch(&mut batch);
        let mut other = MixingBuffer::new(vec![2], (12, 3), 0.5, 1);
        other.state = buffer.state.clone();
        for step in 0..5 {
            let n = buffer.n_wanted();
            assert_eq!(n, other.n_wanted());
            if n > 0 {
                let new = rows(100 * step, n, 2);
                buffer.fill(&[&new]);
                other.fill(&[&new]);
            }
            let mut found = Vec::new();
            assert!(buffer.next_batch(&mut batch) && other.next_batch(&mut found));
            assert_eq!(batch, found);
        }
    }
}
