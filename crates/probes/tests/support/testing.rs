//! What the tests of this crate share.

use burn::tensor::Tensor;

use crate::{
    Aggregation, Attention, AttentionActivation, GatedBipolar, Linear, Mlp, MultiMax, Pool,
    ProbeConfig, RollingAttention, TokenScores,
};

/// The numbers of a tensor, row-major.
pub(crate) fn host_values<const D: usize>(tensor: Tensor<D>) -> Vec<f32> {
    attention_probes_models::host_values(tensor).unwrap()
}

/// Every kind, in every way that it can be set.
pub(crate) fn every_kind(d_model: usize, n_classes: usize) -> Vec<ProbeConfig> {
    let attention = || Attention { n_heads: 3, ..Attention::default() };
    let tanh = AttentionActivation::Tanh;
    let mut kinds = vec![
        ProbeConfig::new(Attention::default(), d_model, n_classes),
        ProbeConfig::new(attention(), d_model, n_classes),
        ProbeConfig::new(Attention { n_heads: 4, ..attention() }, d_model, n_classes),
        ProbeConfig::new(Attention { activation: tanh, ..attention() }, d_model, n_classes),
        ProbeConfig::new(Attention { hidden_dim: Some(5), ..attention() }, d_model, n_classes),
        ProbeConfig::new(
            Attention { hidden_dim: Some(5), activation: tanh, ..attention() },
            d_model,
            n_classes,
        ),
        ProbeConfig::new(Attention { last_only: true, ..attention() }, d_model, n_classes),
        ProbeConfig::new(MultiMax { n_heads: 1 }, d_model, n_classes),
        ProbeConfig::new(MultiMax { n_heads: 4 }, d_model, n_classes),
        ProbeConfig::new(RollingAttention { n_heads: 1, window: 30 }, d_model, n_classes),
        ProbeConfig::new(RollingAttention { n_heads: 2, window: 5 }, d_model, n_classes),
        ProbeConfig::new(GatedBipolar { d_gate: 6 }, d_model, n_classes),
    ];
    for aggregation in [
        Aggregation::Softmax { temperature: 0.7 },
        Aggregation::TopMean { k: 4 },
        Aggregation::RollingMax { window: 6 },
        Aggregation::Ema { alpha: 0.3 },
    ] {
        kinds.push(ProbeConfig::new(TokenScores { aggregation }, d_model, n_classes));
    }
    for pool in [Pool::Last, Pool::Mean, Pool::Max, Pool::AbsMax] {
        kinds.push(ProbeConfig::new(Linear { pool }, d_model, n_classes));
        kinds.push(ProbeConfig::new(Mlp { pool, hidden_dim: 4 }, d_model, n_classes));
    }
    kinds
}
