//! One kind of probe of a sweep as a person writes it.

use attention_probes_probes::{Aggregation, AttentionActivation, Loss, Optimizer, Pool};
use serde::{Deserialize, Serialize};

use crate::train::method::Recipe;

/// One kind of probe.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct ArchitectureConfig {
    /// `linear`, `mlp`, `attention`, `token`, `multimax`, `rolling_attention`, `gated_bipolar`, or the
    /// name of a kind of yours.
    pub name: String,
    /// Prefix of the file names; the kind by default.
    pub config_name: String,
    /// Heads of an attention, rolling attention, or `MultiMax` probe: 1, or 10 of the last two.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub n_heads: Option<usize>,
    /// How an attention probe weighs tokens.
    pub activation: AttentionActivation,
    /// Probability that an attention probe does not see a token in training.
    pub attention_dropout: f64,
    /// Width of the hidden layer of an MLP probe, 64 by default, or of an attention probe, which has
    /// none by default.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub hidden_dim: Option<usize>,
    /// How a linear or MLP probe pools tokens, or `finetune_attn` at its beginning.
    pub pool: Pool,
    /// How a token probe makes one score of many.
    pub aggregation: Aggregation,
    /// Tokens in the window of a rolling attention probe.
    pub window: usize,
    /// Features of a gated bipolar probe.
    pub d_gate: usize,
    /// What training makes small.
    pub loss: Loss,
    /// `adamw`, or `lbfgs` on all training examples at once.
    ///
    /// By default `lbfgs` for a linear probe with cross-entropy and no learning rates, which is then
    /// solved exactly, and `adamw` for everything else.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub optimizer: Option<Optimizer>,
    /// Learning rates of this architecture instead of those of the grid.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub learning_rates: Option<Vec<f64>>,
    /// Weight decays of this architecture instead of those of the grid, or, of a linear probe that is
    /// solved exactly, instead of fifteen from 1e-6 to 10.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub weight_decays: Option<Vec<f64>>,
    /// `finetune_attn` or `ensemble_mean`, of an attention probe.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub recipe: Option<Recipe>,
    /// Training loss in nats above which L-BFGS begins again with another seed; never without it.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub retrain_above: Option<f64>,
    /// How often it does so at most, 5 by default.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub retrains: Option<usize>,
    /// Into how many folds the training examples are divided to choose the weight decay of a linear
    /// probe by cross-validation; it is chosen on validation without them.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub folds: Option<usize>,
    /// Settings of a kind of yours.
    #[serde(skip_serializing_if = "toml::Table::is_empty")]
    pub settings: toml::Table,
}

impl Default for ArchitectureConfig {
    fn default() -> Self {
        Self {
            name: "attention".to_owned(),
            config_name: String::new(),
            n_heads: None,
            activation: AttentionActivation::Softmax,
            attention_dropout: 0.0,
            hidden_dim: None,
            pool: Pool::Mean,
            aggregation: Aggregation::RollingMax { window: 10 },
            window: 10,
            d_gate: 64,
            loss: Loss::CrossEntropy,
            optimizer: None,
            learning_rates: None,
            weight_decays: None,
            recipe: None,
            retrain_above: None,
            retrains: None,
            folds: None,
            settings: toml::Table::new(),
        }
    }
}
