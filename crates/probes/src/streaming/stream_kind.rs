//! What a kind of probe keeps of a text that is read token by token.

use std::fmt::Debug;

/// What a kind of probe keeps of a text that is read token by token: a state whose size does not
/// depend on the length of the text.
pub trait StreamKind: Debug + Send + Sync {
    /// Adds the activation of a token, and writes the logits of the text so far, `[n_out]`.
    ///
    /// A `position` of 0 begins another text: nothing that was read before may count.
    fn push(&mut self, x: &[f32], position: usize, logits: &mut [f32]);

    /// A copy, which reads another text.
    fn boxed_clone(&self) -> Box<dyn StreamKind>;
}

impl Clone for Box<dyn StreamKind> {
    fn clone(&self) -> Self {
        self.boxed_clone()
    }
}
