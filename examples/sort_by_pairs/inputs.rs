//! What the model sorts: every text of six letters out of three, with the letters that follow.

use rand::SeedableRng;
use rand::seq::SliceRandom as _;
use rand_chacha::ChaCha8Rng;

/// Letters of an input.
pub(crate) const N_LETTERS: usize = 6;

/// Tokens that the model reads: the input and its sorted letters but the last.
pub(crate) const N_POS: usize = 2 * N_LETTERS - 1;

/// Letters that there are; a token is the number of its letter.
pub(crate) const LETTERS: [char; 3] = ['A', 'B', 'C'];

/// An input and what the model should answer.
#[derive(Clone, Debug)]
pub(crate) struct Input {
    /// What the model reads, `[N_POS]`.
    pub(crate) ids: Vec<u32>,
    /// The letters in order, `[N_LETTERS]`; the first is to be said at position `N_LETTERS - 1`.
    pub(crate) sorted: Vec<u32>,
}

impl Input {
    /// Positions at which the model answers, and the letter it should say there.
    pub(crate) fn answers(&self) -> impl Iterator<Item = (usize, u32)> + '_ {
        self.sorted.iter().enumerate().map(|(i, letter)| (N_LETTERS - 1 + i, *letter))
    }
}

/// Every input, two thirds to learn from and one third held out, drawn at random.
pub(crate) fn split() -> (Vec<Input>, Vec<Input>) {
    let n_letters = LETTERS.len() as u32;
    let input = |number: u32| {
        let letter = |i: usize| number / n_letters.pow(i as u32) % n_letters;
        let mut ids: Vec<u32> = (0..N_LETTERS).map(letter).collect();
        let mut sorted = ids.clone();
        sorted.sort_unstable();
        ids.extend(&sorted[..N_LETTERS - 1]);
        Input { ids, sorted }
    };
    let mut inputs: Vec<Input> = (0..n_letters.pow(N_LETTERS as u32)).map(input).collect();
    inputs.shuffle(&mut ChaCha8Rng::seed_from_u64(0));
    let held_out = inputs.split_off(inputs.len() * 2 / 3);
    (inputs, held_out)
}
