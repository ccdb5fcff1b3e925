//! What runs, and how.

use attention_probes_errors::Stop;
use attention_probes_models::HookedModel;
use burn::tensor::Device;

use super::batching::Batching;
use super::hook::CaptureHook;

/// What runs, and what is captured.
#[derive(Clone)]
pub struct ModelCapture<'a> {
    /// The model.
    pub model: &'a dyn HookedModel,
    /// Device of the model.
    pub device: &'a Device,
    /// What is captured, in this order.
    pub hooks: &'a [CaptureHook],
    /// How.
    pub options: CaptureOptions<'a>,
}

/// How a model is run over sequences.
#[derive(Clone, Default)]
pub struct CaptureOptions<'a> {
    /// Which sequences share a forward pass. Default [`Batching::ByLength`].
    pub batching: Batching,
    /// In which order sequences are handed on. Default [`CaptureOrder::AsComputed`].
    pub order: CaptureOrder,
    /// What happens to NaN and infinity. Default [`NonFinitePolicy::Skip`].
    pub non_finite: NonFinitePolicy,
    /// Tokens at the beginning of each sequence whose rows are not handed on, such as one that
    /// stands for the beginning of a text. Pairs of positions are whole. Default 0.
    pub n_before: usize,
    /// Who follows it: told after each forward pass how many sequences are done, without those
    /// that have no token. Default nobody.
    pub watch: Watch<'a>,
}

/// Who follows a long computation, and may stop it.
#[derive(Clone, Default)]
pub struct Watch<'a> {
    /// Called with what is done and what there is to do. Default none.
    pub progress: Option<&'a dyn Fn(usize, usize)>,
    /// Asked before each forward pass, and before each block of the model. Default never.
    pub stop: Stop,
}

/// In which order sequences are handed on.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum CaptureOrder {
    /// Batch by batch.
    #[default]
    AsComputed,
    /// In the order given; those that are computed before their turn are kept in memory.
    AsGiven,
}

/// What happens to a sequence with NaN or infinity among what would be handed on. The minus
/// infinity of a score whose key is hidden does not count.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum NonFinitePolicy {
    /// It is not handed on at any hook, and named in
    /// [`CaptureSummary::non_finite`](super::CaptureSummary::non_finite).
    #[default]
    Skip,
    /// It is handed on, and named in
    /// [`CaptureSummary::non_finite`](super::CaptureSummary::non_finite).
    Keep,
    /// The capture ends with [`ActivationError::NotFinite`](crate::ActivationError::NotFinite).
    Refuse,
}
