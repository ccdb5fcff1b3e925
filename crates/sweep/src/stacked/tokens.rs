//! Stacked probes that read every token: all trials in two products per block.

use attention_probes_kernels::{Matrix, Write, matmul, vectorize};
use attention_probes_probes::ProbeState;
use rand::{Rng as _, SeedableRng};
use rand_chacha::ChaCha8Rng;
use rayon::prelude::*;

use super::trials::take_array;
use super::{RaggedBatch, Stack, StackedProbes, Targets};
use crate::adamw::Rate;

/// Tokens per block: activations of a block stay in the cache between the two products.
const BLOCK_TOKENS: usize = 1024;

/// Part of the stack with the rows that meet the tokens, `[n_trials, n_rows, d_model]`.
const ROWS: usize = 0;
/// Part of the stack with everything else, `[n_trials, n_small]`.
const SMALL: usize = 1;

/// First random stream of attention dropout: streams below are those of weights and batches.
const DROPOUT_STREAM: u64 = 1 << 32;

/// What one kind of probe does with the products of its rows and the tokens.
///
/// The products of one trial are `[n_rows, n_tokens]`: what each of its rows says about each token
/// of a block.
pub(crate) trait TokenKernel: Send + Sync {
    /// The weights of a trial.
    fn layout(&self) -> Layout;

    /// Logits per example.
    fn n_out(&self) -> usize;

    /// Writes the logits of a block, `[n_examples, n_out]`; may overwrite the products.
    fn forward(&self, block: &Block<'_>, small: &[f32], products: &mut [f32], logits: &mut [f32]);

    /// Replaces the products by the gradients of the loss, adds those of the other weights to
    /// `gradient`, and returns what the block adds to the loss.
    fn backward(&self, block: &Block<'_>, targets: &Targets<'_>, trial: TrialOfBlock<'_>) -> f64;

    /// Turns a token into what the rows read; nothing by default.
    fn prepare_token(&self, _token: &mut [f32]) {}

    /// Heads and probability of attention dropout, where the kind has it.
    fn dropout(&self) -> Option<(usize, f64)> {
        None
    }
}

/// The arrays of a probe's state, in the order in which the weights of a trial lie.
pub(crate) struct Layout {
    /// Names and numbers of rows, each `d_model` wide, which meet the tokens.
    pub(crate) rows: Vec<(&'static str, usize)>,
    /// Names and shapes of what is not multiplied with activations.
    pub(crate) small: Vec<(&'static str, Vec<usize>)>,
}

impl Layout {
    fn n_rows(&self) -> usize {
        self.rows.iter().map(|(_, n_rows)| n_rows).sum()
    }

    fn n_small(&self) -> usize {
        self.small.iter().map(|(_, shape)| shape.iter().product::<usize>()).sum()
    }
}

/// What of one trial a kernel sees of a block.
pub(crate) struct TrialOfBlock<'a> {
    /// The weights that are not multiplied with activations, as the layout has them.
    pub(crate) small: &'a [f32],
    /// `[n_rows, n_tokens]`
    pub(crate) products: &'a mut [f32],
    /// Gradients of `small`.
    pub(crate) gradient: &'a mut [f32],
}

/// Some examples of a batch, their tokens one after another.
pub(crate) struct Block<'a> {
    /// Tokens of each example.
    pub(crate) lengths: &'a [usize],
    /// Tokens of all of them.
    pub(crate) n_tokens: usize,
    /// Which tokens a head does not see, `[n_heads, n_tokens]`; only while training.
    pub(crate) dropped: Option<&'a [bool]>,
}

impl Block<'_> {
    /// First token and number of tokens of each example.
    #[inline(always)]
    pub(crate) fn examples(&self) -> impl Iterator<Item = (usize, usize)> {
        self.lengths.iter().scan(0, |next, &length| {
            let from = *next;
            *next += length;
            Some((from, length))
        })
    }
}

/// Trials of one kind that reads every token.
///
/// One product of the rows of all trials with the tokens of a block gives everything that the kind
/// needs; after its forward and backward pass, one product with the same tokens gives the gradients
/// of all rows.
pub(crate) struct StackedTokens<K> {
    kernel: K,
    layout: Layout,
    d_model: usize,
    n_trials: usize,
    rates: Vec<Rate>,
    stack: Stack,
    seed: u64,
    x: Vec<f32>,
    products: Vec<f32>,
    gradients: Vec<Vec<f32>>,
}

impl<K: TokenKernel> StackedTokens<K> {
    /// Stacks trials from their initial weights; the seed is that of dropout.
    pub(crate) fn new(
        kernel: K,
        d_model: usize,
        states: &[ProbeState],
        rates: Vec<Rate>,
        seed: u64,
    ) -> Self {
        let layout = kernel.layout();
        let (mut rows, mut small) = (Vec::new(), Vec::new());
        for state in states {
            rows.extend(layout.rows.iter().flat_map(|(name, _)| &state[*name].values));
            small.extend(layout.small.iter().flat_map(|(name, _)| &state[*name].values));
        }
        Self {
            kernel,
            layout,
            d_model,
            n_trials: states.len(),
            rates,
            stack: Stack::new(vec![rows, small]),
            seed,
            x: Vec::new(),
            products: Vec::new(),
            gradients: Vec::new(),
        }
    }

    /// Gathers the tokens of a block and multiplies them with all rows,
    /// `[n_trials, n_rows, n_tokens]`.
    fn multiply(&mut self, block: &[&[f32]]) {
        self.x.resize(block.iter().map(|rows| rows.len()).sum(), 0.0);
        let mut rest = &mut self.x[..];
        let mut copies = Vec::with_capacity(block.len());
        for rows in block {
            let (copy, tail) = rest.split_at_mut(rows.len());
            copies.push((copy, *rows));
            rest = tail;
        }
        let (kernel, d_model) = (&self.kernel, self.d_model);
        copies.into_par_iter().for_each(|(copy, rows)| {
            copy.copy_from_slice(rows);
            vectorize(
                #[inline(always)]
                || {
                    copy.chunks_mut(d_model).for_each(|token| kernel.prepare_token(token));
                },
            );
        });
        let n_tokens = self.x.len() / self.d_model;
        let n_rows = self.n_trials * self.layout.n_rows();
        self.products.resize(n_rows * n_tokens, 0.0);
        matmul(
            &mut self.products,
            Matrix::new(self.stack.params(ROWS), n_rows, self.d_model),
            Matrix::new(&self.x, n_tokens, self.d_model).transpose(),
            Write::Replace,
        );
    }
}

impl<K: TokenKernel> StackedProbes for StackedTokens<K> {
    fn differentiate(
        &mut self,
        batch: &RaggedBatch<'_>,
        targets: &Targets<'_>,
        losses: &mut [f64],
    ) {
        self.stack.clear_gradients(&mut self.gradients);
        // The same tokens are dropped for every trial, whatever it is stacked with.
        let mut dropout = self.kernel.dropout().map(|(n_heads, probability)| {
            let mut rng = ChaCha8Rng::seed_from_u64(self.seed);
            rng.set_stream(DROPOUT_STREAM + self.stack.step as u64);
            (rng, n_heads, probability)
        });
        for range in blocks(batch) {
            self.multiply(&batch.rows[range.clone()]);
            let lengths: Vec<usize> = range.clone().map(|i| batch.n_tokens(i)).collect();
            let n_tokens = self.x.len() / self.d_model;
            let dropped: Option<Vec<bool>> = dropout.as_mut().map(|(rng, n_heads, probability)| {
                (0..*n_heads * n_tokens).map(|_| rng.random::<f64>() < *probability).collect()
            });
            let block = Block { lengths: &lengths, n_tokens, dropped: dropped.as_deref() };
            let targets = targets.part(range);
            let (kernel, n_small) = (&self.kernel, self.layout.n_small());
            self.products
                .par_chunks_mut(self.layout.n_rows() * n_tokens)
                .zip(self.stack.params(SMALL).par_chunks(n_small))
                .zip(self.gradients[SMALL].par_chunks_mut(n_small))
                .zip(losses.par_iter_mut())
                .for_each(|(((products, small), gradient), loss)| {
                    *loss += vectorize(
                        #[inline(always)]
                        || {
                            let trial = TrialOfBlock {
                                small,
                                products: &mut *products,
                                gradient: &mut *gradient,
                            };
                            kernel.backward(&block, &targets, trial)
                        },
                    );
                });
            let n_rows = self.n_trials * self.layout.n_rows();
            matmul(
                &mut self.gradients[ROWS],
                Matrix::new(&self.products, n_rows, n_tokens),
                Matrix::new(&self.x, n_tokens, self.d_model),
                Write::Add,
            );
        }
    }

    fn gradients(&self) -> &[Vec<f32>] {
        &self.gradients
    }

    fn update(&mut self) {
        self.stack.update(&self.gradients, &self.rates);
    }

    fn logits(&mut self, batch: &RaggedBatch<'_>) -> Vec<f32> {
        let n_out = self.kernel.n_out();
        let per_trial = batch.rows.len() * n_out;
        let mut logits = vec![0.0; self.n_trials * per_trial];
        for range in blocks(batch) {
            self.multiply(&batch.rows[range.clone()]);
            let lengths: Vec<usize> = range.clone().map(|i| batch.n_tokens(i)).collect();
            let n_tokens = self.x.len() / self.d_model;
            let block = Block { lengths: &lengths, n_tokens, dropped: None };
            let (kernel, n_small) = (&self.kernel, self.layout.n_small());
            self.products
                .par_chunks_mut(self.layout.n_rows() * n_tokens)
                .zip(self.stack.params(SMALL).par_chunks(n_small))
                .zip(logits.par_chunks_mut(per_trial))
                .for_each(|((products, small), logits)| {
                    let logits = &mut logits[range.start * n_out..range.end * n_out];
                    vectorize(
                        #[inline(always)]
                        || kernel.forward(&block, small, products, logits),
                    );
                });
        }
        logits
    }

    fn state(&self, trial: usize) -> ProbeState {
        let (n_rows, n_small) = (self.layout.n_rows() * self.d_model, self.layout.n_small());
        let mut rows = &self.stack.params(ROWS)[trial * n_rows..][..n_rows];
        let mut small = &self.stack.params(SMALL)[trial * n_small..][..n_small];
        let mut state = ProbeState::new();
        for (name, n_rows) in &self.layout.rows {
            state.insert((*name).to_owned(), take_array(&[*n_rows, self.d_model], &mut rows));
        }
        for (name, shape) in &self.layout.small {
            state.insert((*name).to_owned(), take_array(shape, &mut small));
        }
        state
    }

    fn stack(&self) -> &Stack {
        &self.stack
    }

    fn stack_mut(&mut self) -> &mut Stack {
        &mut self.stack
    }
}

/// Divides a batch into runs of examples of about [`BLOCK_TOKENS`] tokens.
fn blocks(batch: &RaggedBatch<'_>) -> Vec<std::ops::Range<usize>> {
    let mut blocks = Vec::new();
    let (mut from, mut n_tokens) = (0, 0);
    for example in 0..batch.rows.len() {
        n_tokens += batch.n_tokens(example);
        if n_tokens >= BLOCK_TOKENS {
            blocks.push(from..example + 1);
            (from, n_tokens) = (example + 1, 0);
        }
    }
    if from < batch.rows.len() {
        blocks.push(from..batch.rows.len());
    }
    blocks
}
