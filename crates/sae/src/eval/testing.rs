//! Small autoencoders whose answers can be worked out by hand.

use crate::{Sae, SaeActivation, SaeConfig};

/// `f = max(x + bias, 0)`, decoded as `f`.
pub(crate) fn identity_sae(d: usize, bias: f32) -> Sae {
    let identity: Vec<f32> =
        (0..d * d).map(|i| f32::from(u8::from(i.is_multiple_of(d + 1)))).collect();
    Sae {
        config: SaeConfig::new(d, d),
        activation: SaeActivation::Standard { b_enc: vec![bias; d] },
        encoder: identity.clone(),
        decoder: identity,
        b_dec: vec![0.0; d],
    }
}
