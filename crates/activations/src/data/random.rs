//! Random choices: one seed, and a stream of its own for each purpose.
//!
//! Two purposes on one stream would see the same numbers, and their choices would hang together.

use rand::SeedableRng;
use rand_chacha::ChaCha8Rng;

/// Streams below are left to those who count epochs or seeds from 0.
const FIRST_STREAM: u64 = 1 << 32;

/// Draws the examples of a token task.
pub(crate) const EXAMPLES_STREAM: u64 = FIRST_STREAM;

/// Shuffles what is split.
pub(crate) const SPLIT_STREAM: u64 = FIRST_STREAM + 1;

/// The random numbers of one purpose.
pub(crate) fn rng_of_stream(seed: u64, stream: u64) -> ChaCha8Rng {
    let mut rng = ChaCha8Rng::seed_from_u64(seed);
    rng.set_stream(stream);
    rng
}

#[cfg(test)]
mod tests {
    use rand::Rng;

    use super::*;

    #[test]
    fn two_purposes_draw_different_numbers_from_one_seed() {
        let draw = |stream| rng_of_stream(42, stream).random::<u64>();
        assert_eq!(draw(SPLIT_STREAM), draw(SPLIT_STREAM));
        assert_ne!(draw(SPLIT_STREAM), draw(EXAMPLES_STREAM));
        assert_ne!(draw(SPLIT_STREAM), draw(0));
    }
}
