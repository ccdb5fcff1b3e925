//! What a capture hands on, and what it says at its end.

use attention_probes_models::HookPoint;

/// What one sequence has at every hook.
#[derive(Clone, Debug)]
pub struct SequenceRows<'a> {
    /// The sequence, an index into those given.
    pub sequence: usize,
    /// Tokens that have rows: all but the first
    /// [`CaptureOptions::n_before`](super::CaptureOptions::n_before).
    pub n_tokens: usize,
    /// Values at each hook without padding, heads side by side: `[n_tokens, width]`, or
    /// `[n_heads, pos, pos]` for what relates two positions.
    pub values: Vec<&'a [f32]>,
    /// The first value that is not finite, if there is one.
    pub non_finite: Option<NonFinite>,
}

/// A value that is NaN or infinite.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct NonFinite {
    /// The sequence, an index into those given.
    pub sequence: usize,
    /// The first hook, in the order given, where it has such a value.
    pub hook: HookPoint,
    /// Index among the values at this hook.
    pub index: usize,
    /// The value.
    pub value: f32,
}

/// What a capture has done.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct CaptureSummary {
    /// Sequences that ran, those that were skipped included.
    pub n_sequences: usize,
    /// Sequences without a token, which are never handed on.
    pub n_empty: usize,
    /// Tokens that ran, without padding.
    pub n_tokens: usize,
    /// The first value that is not finite, of each sequence that has one, in the order of the
    /// sequences.
    pub non_finite: Vec<NonFinite>,
}
