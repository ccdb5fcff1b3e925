//! What a kind of probe is: the trait, and what it is made of.

use std::any::Any;
use std::fmt::Debug;

use burn::tensor::Tensor;
use rand_chacha::ChaCha8Rng;

use super::batch::Batch;
use super::contribution::TokenContributions;
use super::layout::{Layout, ProbeSize};
use super::reads::Reads;
use crate::engine::HostKernel;
use crate::streaming::StreamKind;
use crate::{ParamArray, ProbeError, ProbeState};

/// A kind of probe, by one definition.
///
/// A value is a kind with its settings, such as three heads. What it does is defined once, in
/// [`forward`](Self::forward); training, sweeping, cross-validation, ensembles, saving, evaluating,
/// and streaming work for every kind through this trait. The three methods without a default are
/// enough. The others make a kind faster, or say more about it:
///
/// | method | what it adds |
/// |---|---|
/// | [`reads`](Self::reads) | activations that are pooled or normed once, before all else |
/// | [`check`](Self::check), [`draw`](Self::draw) | settings that are refused, other initial weights |
/// | [`token_weights`](Self::token_weights), [`pattern`](Self::pattern), [`contributions`](Self::contributions) | weights and shares of tokens, which pages show |
/// | [`host_kernel`](Self::host_kernel) | gradients by hand, on the host |
/// | [`stream`](Self::stream) | a state of fixed size, token by token |
///
/// The settings are the fields of the type, by `serde`: derive `Serialize` and `Deserialize`, and
/// [`Kinds::with`](crate::Kinds::with) makes files and configurations know them.
///
/// # Examples
///
/// The product of the highest and the lowest score of a text:
///
/// ```
/// use attention_probes::probes::{Batch, Layout, ProbeConfig, ProbeKind, ProbeSize};
/// use burn::tensor::Tensor;
/// use serde::{Deserialize, Serialize};
///
/// #[derive(Clone, Debug, Serialize, Deserialize)]
/// struct Contrast {}
///
/// impl ProbeKind for Contrast {
///     fn name(&self) -> &'static str {
///         "contrast"
///     }
///
///     fn layout(&self, size: ProbeSize) -> Layout {
///         Layout::new().rows("weight", size.n_out).small("bias", [size.n_out])
///     }
///
///     fn forward(&self, batch: &Batch) -> Tensor<3> {
///         let [n_trials, n_out, n] = batch.dims();
///         let scores = batch.product("weight"); // [n_trials, n_out, batch, pos]
///         let highest = (scores.clone() + batch.padding()).max_dim(3);
///         let lowest = (scores - batch.padding()).min_dim(3);
///         let contrast = (highest * lowest).reshape([n_trials, n_out, n]);
///         contrast + batch.array("bias", [n_trials, n_out, 1])
///     }
/// }
///
/// let config = ProbeConfig::new(Contrast {}, 8, 2);
/// assert_eq!((config.kind().name(), config.n_params()), ("contrast", 9));
/// ```
pub trait ProbeKind: Any + Debug + erased_serde::Serialize + Send + Sync {
    /// The name that files and configurations call it by: small letters, digits, and `_`.
    fn name(&self) -> &str;

    /// Names and sizes of all arrays of weights.
    fn layout(&self, size: ProbeSize) -> Layout;

    /// What it says of a batch, of all trials at once.
    ///
    /// [`Batch::product`] has the products of the rows of the layout with the activations, and
    /// [`Batch::array`] the other arrays. The activations themselves are [`Batch::x`]: who
    /// multiplies with them makes the tape larger by all activations, once for each trial.
    ///
    /// # Shapes
    ///
    /// - returns `[n_trials, n_out, batch]`
    fn forward(&self, batch: &Batch) -> Tensor<3>;

    /// What its rows meet. Every token by default.
    fn reads(&self) -> Reads {
        Reads::Tokens
    }

    /// Refuses settings that are out of range.
    ///
    /// # Errors
    ///
    /// [`ProbeError::Hyperparameter`] with the name of the setting.
    fn check(&self) -> Result<(), ProbeError> {
        Ok(())
    }

    /// Draws one array of initial weights, `U(±1/√d_model)` by default.
    fn draw(
        &self,
        array: &str,
        shape: &[usize],
        size: ProbeSize,
        rng: &mut ChaCha8Rng,
    ) -> ParamArray {
        let _ = array;
        ParamArray::uniform(shape, size.d_model, rng)
    }

    /// How it weighs tokens, where it does.
    fn token_weights(&self) -> Option<TokenWeights> {
        None
    }

    /// Weight of each token, where it weighs tokens: `[n_trials, n_heads, batch, pos]`.
    fn pattern(&self, batch: &Batch) -> Option<Tensor<4>> {
        let _ = batch;
        None
    }

    /// Score of each token, `[n_trials, n_out, batch, pos]`, where it scores tokens before it makes
    /// one score of many: [`Loss::SoftmaxWeighted`](crate::Loss::SoftmaxWeighted) reads them.
    fn token_scores(&self, batch: &Batch) -> Option<Tensor<4>> {
        let _ = batch;
        None
    }

    /// Whether there are [`token_scores`](Self::token_scores).
    fn scores_tokens(&self) -> bool {
        false
    }

    /// Tokens that are hidden from heads in training, where it has that.
    fn dropout(&self) -> Option<TokenDropout> {
        None
    }

    /// Whether L-BFGS decays an array; by default those of two axes or more, and no biases.
    fn decays(&self, array: &str, shape: &[usize]) -> bool {
        let _ = array;
        shape.len() > 1
    }

    /// The same on the host, with gradients by hand.
    ///
    /// A test of this library holds kernels of its own to [`forward`](Self::forward);
    /// [`check_kernel`](crate::engine::check_kernel) does the same with yours.
    fn host_kernel(&self, size: ProbeSize) -> Option<Box<dyn HostKernel>> {
        let _ = size;
        None
    }

    /// A reader with a state whose size does not depend on the length of a text. Without one, a
    /// stream keeps all activations so far and passes forward over them with every token.
    fn stream(&self, state: &ProbeState, size: ProbeSize) -> Option<Box<dyn StreamKind>> {
        let _ = (state, size);
        None
    }

    /// What each token adds to the logits, where these are a sum over tokens.
    fn contributions<'a>(
        &self,
        state: &'a ProbeState,
        size: ProbeSize,
    ) -> Option<Box<dyn TokenContributions + 'a>> {
        let _ = (state, size);
        None
    }
}

/// How a kind of probe weighs the tokens of a text.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct TokenWeights {
    /// Heads, each with weights of its own.
    pub n_heads: usize,
    /// Whether the weights of a head are above 0 and sum to 1 over the text.
    pub sum_to_one: bool,
}

/// Tokens that training hides from heads.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct TokenDropout {
    /// Heads, each of which is hidden other tokens.
    pub n_heads: usize,
    /// Probability that a token is hidden from a head, at least 0 and below 1.
    pub probability: f64,
}
