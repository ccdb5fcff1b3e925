//! What each token of a text adds to the logits.

/// What the probe made of one text.
#[derive(Clone, Copy, Debug)]
pub struct TextReading<'a> {
    /// Activations, `[n_tokens, d_model]`.
    pub rows: &'a [f32],
    /// Weight of each token for each head, `[n_heads, n_tokens]`, where the probe weighs tokens.
    pub pattern: Option<&'a [&'a [f32]]>,
}

/// Shares of tokens in the logits of a probe whose logits are a sum over tokens.
pub trait TokenContributions {
    /// What each token adds to each logit, `[n_tokens]` lists of `[n_out]`, biases left out; `None`
    /// if the text has no pattern that is needed for it.
    fn of_text(&self, text: TextReading<'_>) -> Option<Vec<Vec<f32>>>;
}

/// A number for each token and logit.
pub(super) fn per_token(
    n_tokens: usize,
    n_out: usize,
    value: impl Fn(usize, usize) -> f32,
) -> Vec<Vec<f32>> {
    (0..n_tokens).map(|p| (0..n_out).map(|logit| value(p, logit)).collect()).collect()
}
