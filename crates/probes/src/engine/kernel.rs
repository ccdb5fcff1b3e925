//! What a kind of probe does on the host, with gradients by hand.

#![expect(clippy::inline_always, reason = "vectorises only inside the dispatched closure")]

use std::fmt::Debug;

use attention_probes_kernels::vectorize;

use super::targets::Targets;

/// What a kind of probe does with the products of its rows and the tokens of a block, on the host.
///
/// The products of one trial are `[n_rows, n_tokens]`: what each of its rows says about each token.
/// Loops over tokens are at their best inside [`Vectorized`], in methods that are
/// `#[inline(always)]`.
pub trait HostKernel: Debug + Send + Sync {
    /// The weights of a trial in the order in which they lie here.
    fn layout(&self) -> KernelLayout;

    /// Writes the logits of a block, `[n_examples, n_out]`; may overwrite the products.
    fn forward(&self, block: &Block<'_>, small: &[f32], products: &mut [f32], logits: &mut [f32]);

    /// Replaces the products by the gradients of the loss, adds those of the other weights to
    /// `gradient`, and returns what the block adds to the loss.
    ///
    /// [`Targets::loss_and_gradient`] makes gradients of logits.
    fn backward(&self, block: &Block<'_>, targets: &Targets<'_>, trial: TrialOfBlock<'_>) -> f64;
}

/// The arrays of a probe in the order in which the weights of a trial lie: all rows, then the rest.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct KernelLayout {
    /// Names and numbers of rows, each `d_model` wide, which meet the tokens.
    pub rows: Vec<(&'static str, usize)>,
    /// Names and shapes of what is not multiplied with activations.
    pub small: Vec<(&'static str, Vec<usize>)>,
    /// The array of `small` that products begin with, one number for each row; else they begin with
    /// 0.
    pub first: Option<&'static str>,
}

impl KernelLayout {
    /// Number of rows.
    pub fn n_rows(&self) -> usize {
        self.rows.iter().map(|(_, n_rows)| n_rows).sum()
    }

    /// Number of the other weights.
    pub fn n_small(&self) -> usize {
        self.small.iter().map(|(_, shape)| shape.iter().product::<usize>()).sum()
    }

    /// Where among the other weights of a trial those lie that products begin with.
    pub(super) fn place_of_first(&self) -> Option<usize> {
        let first = self.first?;
        let before = self.small.iter().take_while(|(name, _)| *name != first);
        Some(before.map(|(_, shape)| shape.iter().product::<usize>()).sum())
    }
}

/// What of one trial a kernel sees of a block.
#[derive(Debug)]
pub struct TrialOfBlock<'a> {
    /// The weights that are not multiplied with activations, as the layout has them.
    pub small: &'a [f32],
    /// `[n_rows, n_tokens]`
    pub products: &'a mut [f32],
    /// Gradients of `small`.
    pub gradient: &'a mut [f32],
}

/// Some texts of a batch, their tokens one after another; where texts are pooled, each is one token.
#[derive(Clone, Copy, Debug)]
pub struct Block<'a> {
    /// Tokens of each text.
    pub lengths: &'a [usize],
    /// Tokens of all of them.
    pub n_tokens: usize,
    /// Which tokens a head does not see, `[n_heads, n_tokens]`; only while training.
    pub dropped: Option<&'a [bool]>,
}

impl Block<'_> {
    /// First token and number of tokens of each text.
    #[inline(always)]
    pub fn examples(&self) -> impl Iterator<Item = (usize, usize)> {
        self.lengths.iter().scan(0, |next, &length| {
            let from = *next;
            *next += length;
            Some((from, length))
        })
    }
}

/// A kernel whose loops are compiled for the widest registers of the processor it runs on.
#[derive(Clone, Debug)]
pub struct Vectorized<K>(
    /// The kernel.
    pub K,
);

impl<K: HostKernel> HostKernel for Vectorized<K> {
    fn layout(&self) -> KernelLayout {
        self.0.layout()
    }

    fn forward(&self, block: &Block<'_>, small: &[f32], products: &mut [f32], logits: &mut [f32]) {
        vectorize(
            #[inline(always)]
            || self.0.forward(block, small, products, logits),
        );
    }

    fn backward(&self, block: &Block<'_>, targets: &Targets<'_>, trial: TrialOfBlock<'_>) -> f64 {
        let TrialOfBlock { small, products, gradient } = trial;
        vectorize(
            #[inline(always)]
            || {
                let trial =
                    TrialOfBlock { small, products: &mut *products, gradient: &mut *gradient };
                self.0.backward(block, targets, trial)
            },
        )
    }
}
