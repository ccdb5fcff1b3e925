//! Trials whose kind has a host kernel: all of them in two products per block.

#![expect(clippy::inline_always, reason = "vectorises only inside the dispatched closure")]

use std::ops::Range;
use std::{iter, vec};

use attention_probes_kernels::{Matrix, Write, dot, matmul, sum, vectorize};
use rayon::prelude::*;

use super::core::{Core, ROWS, SMALL};
use super::kernel::{Block, HostKernel, TrialOfBlock};
use super::pooled::pool;
use super::{RaggedBatch, Targets};
use crate::kinds::{NORM_EPSILON, Reads};

/// Trials of one kind with a host kernel.
///
/// One product of the rows of all trials with the tokens of a block gives everything that the kind
/// needs; after its forward and backward pass, one product with the same tokens gives the gradients
/// of all rows.
pub(super) struct KernelTrials {
    kernel: Box<dyn HostKernel>,
    products: Vec<f32>,
}

/// The activations of a batch, block by block, as rows read them.
pub(super) struct Prepared<'a> {
    reads: Reads,
    batch: &'a RaggedBatch<'a>,
    blocks: vec::IntoIter<Range<usize>>,
    x: Vec<f32>,
}

/// Some texts of a batch, their vectors one after another.
pub(super) struct PreparedBlock<'a> {
    examples: Range<usize>,
    /// Vectors of each text: its tokens, or one.
    lengths: Vec<usize>,
    n_tokens: usize,
    /// `[n_tokens, d_model]`
    x: &'a [f32],
}

impl<'a> Prepared<'a> {
    pub(super) fn new(reads: Reads, batch: &'a RaggedBatch<'a>) -> Self {
        let blocks = match reads {
            // A row for each text: all of them are a block.
            Reads::Pooled(_) => iter::once(0..batch.rows.len()).collect(),
            Reads::Tokens | Reads::NormedTokens => batch.blocks(),
        };
        Self { reads, batch, blocks: blocks.into_iter(), x: Vec::new() }
    }

    /// Gathers the vectors of the next block.
    pub(super) fn next_block(&mut self) -> Option<PreparedBlock<'_>> {
        let examples = self.blocks.next()?;
        let d_model = self.batch.d_model;
        let lengths = match self.reads {
            Reads::Pooled(how) => {
                let texts = self.batch.rows[examples.clone()].to_vec();
                self.x = pool(how, &RaggedBatch { rows: texts, d_model });
                vec![1; examples.len()]
            }
            Reads::Tokens => {
                gather(&mut self.x, &self.batch.rows[examples.clone()], |_| {});
                self.batch.lengths(examples.clone())
            }
            Reads::NormedTokens => {
                let norm = |rows: &mut [f32]| rows.chunks_mut(d_model).for_each(norm);
                gather(&mut self.x, &self.batch.rows[examples.clone()], norm);
                self.batch.lengths(examples.clone())
            }
        };
        let n_tokens = self.x.len() / d_model;
        Some(PreparedBlock { examples, lengths, n_tokens, x: &self.x })
    }
}

/// Copies the rows of some texts one after another, each changed on the way.
fn gather(x: &mut Vec<f32>, texts: &[&[f32]], change: impl Fn(&mut [f32]) + Sync) {
    x.resize(texts.iter().map(|rows| rows.len()).sum(), 0.0);
    let mut rest = &mut x[..];
    let mut copies = Vec::with_capacity(texts.len());
    for rows in texts {
        let (copy, tail) = rest.split_at_mut(rows.len());
        copies.push((copy, *rows));
        rest = tail;
    }
    copies.into_par_iter().for_each(|(copy, rows)| {
        copy.copy_from_slice(rows);
        vectorize(
            #[inline(always)]
            || change(copy),
        );
    });
}

/// A token with mean 0 and variance 1.
#[inline(always)]
fn norm(token: &mut [f32]) {
    let n = token.len() as f32;
    let mean = sum(token) / n;
    for x in token.iter_mut() {
        *x -= mean;
    }
    let scale = 1.0 / (dot(token, token) / n + NORM_EPSILON).sqrt();
    for x in token {
        *x *= scale;
    }
}

impl KernelTrials {
    pub(super) fn new(kernel: Box<dyn HostKernel>) -> Self {
        Self { kernel, products: Vec::new() }
    }

    /// Multiplies the vectors of a block with all rows, `[n_trials, n_rows, n_tokens]`.
    fn multiply(&mut self, core: &Core, block: &PreparedBlock<'_>) {
        let (per_trial, n_tokens) = (core.layout.n_rows(), block.n_tokens);
        let n_rows = core.n_trials * per_trial;
        self.products.resize(n_rows * n_tokens, 0.0);
        let write = match core.layout.place_of_first() {
            None => Write::Replace,
            Some(place) => {
                let all = core.stack.params(SMALL).chunks(core.small_stride());
                let first = all.flat_map(|small| &small[place..place + per_trial]);
                for (products, first) in self.products.chunks_mut(n_tokens).zip(first) {
                    products.fill(*first);
                }
                Write::Add
            }
        };
        matmul(
            &mut self.products,
            Matrix::new(core.stack.params(ROWS), n_rows, core.d_model),
            Matrix::new(block.x, n_tokens, core.d_model).transpose(),
            write,
        );
    }

    /// Adds the gradients and losses of a block.
    pub(super) fn differentiate(
        &mut self,
        core: &mut Core,
        block: &PreparedBlock<'_>,
        targets: &Targets<'_>,
        losses: &mut [f64],
    ) {
        self.multiply(core, block);
        let n_tokens = block.n_tokens;
        let dropped = core.dropout.as_mut().map(|dropout| dropout.draw(n_tokens));
        let of_block = Block { lengths: &block.lengths, n_tokens, dropped: dropped.as_deref() };
        let targets = targets.part(block.examples.clone()).of(core.loss, core.n_out, core.scale);
        let (kernel, stride, n_small) = (&*self.kernel, core.small_stride(), core.layout.n_small());
        self.products
            .par_chunks_mut(core.layout.n_rows() * n_tokens)
            .zip(core.stack.params(SMALL).par_chunks(stride))
            .zip(core.gradients[SMALL].par_chunks_mut(stride))
            .zip(losses.par_iter_mut())
            .for_each(|(((products, small), gradient), loss)| {
                let (small, gradient) = (&small[..n_small], &mut gradient[..n_small]);
                let trial = TrialOfBlock { small, products, gradient };
                *loss += kernel.backward(&of_block, &targets, trial);
            });
        let n_rows = core.n_trials * core.layout.n_rows();
        matmul(
            &mut core.gradients[ROWS],
            Matrix::new(&self.products, n_rows, n_tokens),
            Matrix::new(block.x, n_tokens, core.d_model),
            Write::Add,
        );
    }

    /// Writes the logits of a block where they belong in `[n_trials, n_examples, n_out]`.
    pub(super) fn logits(&mut self, core: &Core, block: &PreparedBlock<'_>, logits: &mut [f32]) {
        self.multiply(core, block);
        let (n_tokens, n_out) = (block.n_tokens, core.n_out);
        let of_block = Block { lengths: &block.lengths, n_tokens, dropped: None };
        let (kernel, stride, n_small) = (&*self.kernel, core.small_stride(), core.layout.n_small());
        let per_trial = logits.len() / core.n_trials.max(1);
        let Range { start, end } = block.examples;
        self.products
            .par_chunks_mut(core.layout.n_rows() * n_tokens)
            .zip(core.stack.params(SMALL).par_chunks(stride))
            .zip(logits.par_chunks_mut(per_trial))
            .for_each(|((products, small), logits)| {
                let logits = &mut logits[start * n_out..end * n_out];
                kernel.forward(&of_block, &small[..n_small], products, logits);
            });
    }
}
