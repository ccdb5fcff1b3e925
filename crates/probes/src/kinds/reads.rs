//! What the rows of a probe meet.

use burn::tensor::{Bool, Tensor};

use crate::Pool;

/// Keeps the division by the standard deviation finite.
pub const NORM_EPSILON: f32 = 1e-5;

/// What the rows of a probe meet: prepared once, off the tape.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Reads {
    /// Every token as it is.
    Tokens,
    /// One vector for each text: [`Batch::product`](crate::Batch::product) has one position then.
    Pooled(Pool),
    /// Every token, with mean 0 and variance 1 over `d_model`:
    ///
    /// ```text
    /// x̂ = (x - mean) / √(variance + 1e-5)
    /// ```
    NormedTokens,
}

impl Reads {
    /// Prepares a batch.
    ///
    /// # Shapes
    ///
    /// - `x`: `[batch, pos, d_model]`
    /// - `mask_pad`: `[batch, pos]`, `true` where padding is
    /// - returns `[batch, n_points, d_model]`, `n_points` 1 for a pool and else `pos`
    pub fn prepare(self, x: Tensor<3>, mask_pad: Tensor<2, Bool>) -> Tensor<3> {
        match self {
            Self::Tokens => x,
            Self::Pooled(pool) => pool.forward(x, mask_pad).unsqueeze_dim(1),
            Self::NormedTokens => {
                let centred = x.clone() - x.mean_dim(2);
                let variance = centred.clone().square().mean_dim(2);
                centred / (variance + NORM_EPSILON).sqrt()
            }
        }
    }

    /// How texts are pooled, if they are.
    pub fn pool(self) -> Option<Pool> {
        match self {
            Self::Pooled(pool) => Some(pool),
            Self::Tokens | Self::NormedTokens => None,
        }
    }
}
