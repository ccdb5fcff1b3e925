//! How an autoencoder is trained.

use attention_probes_errors::ValueError;
use serde::{Deserialize, Serialize};

use super::schedule::{CoefficientSchedule, LearningRateSchedule};
use crate::SaeError;

/// How an autoencoder is trained; the mathematics and the defaults are those of `SAELens`.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct SaeTrainConfig {
    /// What keeps the code sparse.
    pub architecture: TrainArchitecture,
    /// Number of features.
    pub d_sae: usize,
    /// Whether the decoder's bias is taken from the activations before they are encoded.
    pub apply_b_dec_to_input: bool,
    /// Norm of the decoder's rows at the beginning; the encoder begins as their transpose.
    pub decoder_init_norm: f64,
    /// Step size, over the steps.
    pub learning_rate: LearningRateSchedule,
    /// Decay of the mean of gradients.
    pub adam_beta1: f64,
    /// Decay of the mean of squared gradients.
    pub adam_beta2: f64,
    /// Norm that the gradient of all weights together is scaled down to.
    pub max_gradient_norm: f64,
    /// Steps without being active after which a feature counts as dead.
    pub dead_feature_window: u64,
}

impl Default for SaeTrainConfig {
    fn default() -> Self {
        Self {
            architecture: TrainArchitecture::default(),
            d_sae: 1024,
            apply_b_dec_to_input: true,
            decoder_init_norm: 0.1,
            learning_rate: LearningRateSchedule::default(),
            adam_beta1: 0.9,
            adam_beta2: 0.999,
            max_gradient_norm: 1.0,
            dead_feature_window: 1000,
        }
    }
}

/// What keeps the code sparse.
///
/// `pre = (x - b_dec) W_enc + b_enc`, `n_i = ‖d_i‖` is the norm of the decoder's row `i`, and every
/// loss is added to the mean over the rows of `‖x̂ - x‖²`.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
#[serde(tag = "name", rename_all = "lowercase", deny_unknown_fields)]
pub enum TrainArchitecture {
    /// `f = max(pre, 0)`, with the loss `l1 · mean Σ_i f_i n_i`.
    Standard {
        /// Weight of that loss.
        l1: CoefficientSchedule,
    },
    /// The `k` largest of `pre_i n_i` in each row, rectified.
    TopK {
        /// Active features of a row.
        k: usize,
        /// Weight of the loss by which dead features learn what the living ones leave.
        #[serde(default = "one")]
        aux_loss_coefficient: f64,
    },
    /// The `k B` largest of `max(pre_i n_i, 0)` in a batch of `B` rows.
    ///
    /// Saved as a `JumpReLU` autoencoder, whose threshold is a running mean of the smallest active
    /// value of each batch.
    BatchTopK {
        /// Active features of a row on average.
        k: f64,
        /// Weight of the loss by which dead features learn what the living ones leave.
        #[serde(default = "one")]
        aux_loss_coefficient: f64,
        /// Share of each batch in the running mean.
        #[serde(default = "hundredth")]
        topk_threshold_lr: f64,
    },
    /// `f_i = pre_i` where `pre_i > threshold_i ≥ 0`, else 0, with the loss `l0 · mean Σ_i [pre_i >
    /// threshold_i]`; thresholds learn through a rectangle of width `bandwidth`.
    JumpRelu {
        /// Weight of that loss.
        l0: CoefficientSchedule,
        /// Threshold at the beginning.
        #[serde(default = "hundredth")]
        init_threshold: f64,
        /// Width of the rectangle.
        #[serde(default = "twentieth")]
        bandwidth: f64,
    },
    /// `f_i = max(exp(r_i) e_i + b_mag_i, 0)` where `π_i = e_i + b_gate_i > 0`, else 0, with
    /// `e = (x - b_dec) W_enc`; losses `l1 · mean Σ_i max(π_i, 0) n_i` and
    /// `mean ‖max(π, 0) W_dec + b_dec - x‖²`.
    Gated {
        /// Weight of the first of them.
        l1: CoefficientSchedule,
    },
}

impl Default for TrainArchitecture {
    fn default() -> Self {
        Self::TopK { k: 32, aux_loss_coefficient: 1.0 }
    }
}

impl TrainArchitecture {
    /// Returns the name, as configurations have it.
    pub fn as_str(&self) -> &'static str {
        match self {
            Self::Standard { .. } => "standard",
            Self::TopK { .. } => "topk",
            Self::BatchTopK { .. } => "batchtopk",
            Self::JumpRelu { .. } => "jumprelu",
            Self::Gated { .. } => "gated",
        }
    }

    /// Whether attention can guide it: the `TopK` kinds and `standard`, whose active features have the
    /// derivatives of their pre-activations.
    pub fn can_be_guided(&self) -> bool {
        self.is_top_k() || matches!(self, Self::Standard { .. })
    }

    /// Whether a number of features is selected.
    pub fn is_top_k(&self) -> bool {
        matches!(self, Self::TopK { .. } | Self::BatchTopK { .. })
    }
}

fn one() -> f64 {
    1.0
}

fn hundredth() -> f64 {
    0.01
}

fn twentieth() -> f64 {
    0.05
}

impl SaeTrainConfig {
    /// Checks every field.
    ///
    /// # Errors
    ///
    /// [`SaeError::Hyperparameter`] if one is out of range.
    pub fn check(&self) -> Result<(), SaeError> {
        let above_0 = |value: f64| value > 0.0 && value.is_finite();
        let from_0 = |value: f64| value >= 0.0 && value.is_finite();
        let below_1 = |value: f64| (0.0..1.0).contains(&value);
        let mut checks = vec![
            ("d_sae", self.d_sae as f64, self.d_sae > 0, "at least 1"),
            (
                "decoder_init_norm",
                self.decoder_init_norm,
                above_0(self.decoder_init_norm),
                "a finite number above 0",
            ),
            ("adam_beta1", self.adam_beta1, below_1(self.adam_beta1), "at least 0 and below 1"),
            ("adam_beta2", self.adam_beta2, below_1(self.adam_beta2), "at least 0 and below 1"),
            (
                "max_gradient_norm",
                self.max_gradient_norm,
                above_0(self.max_gradient_norm),
                "a finite number above 0",
            ),
        ];
        let weight = |name, value: f64| (name, value, from_0(value), "a finite number from 0 on");
        match self.architecture {
            TrainArchitecture::Standard { l1 } | TrainArchitecture::Gated { l1 } => {
                checks.push(weight("l1", l1.value));
            }
            TrainArchitecture::TopK { k, aux_loss_coefficient } => {
                checks.push(("k", k as f64, (1..=self.d_sae).contains(&k), "from 1 to `d_sae`"));
                checks.push(weight("aux_loss_coefficient", aux_loss_coefficient));
            }
            TrainArchitecture::BatchTopK { k, aux_loss_coefficient, topk_threshold_lr } => {
                let is_k = k > 0.0 && k <= self.d_sae as f64;
                checks.push(("k", k, is_k, "above 0 and at most `d_sae`"));
                checks.push(weight("aux_loss_coefficient", aux_loss_coefficient));
                let is_share = topk_threshold_lr > 0.0 && topk_threshold_lr <= 1.0;
                checks.push((
                    "topk_threshold_lr",
                    topk_threshold_lr,
                    is_share,
                    "above 0 and at most 1",
                ));
            }
            TrainArchitecture::JumpRelu { l0, init_threshold, bandwidth } => {
                checks.push(weight("l0", l0.value));
                checks.push(weight("init_threshold", init_threshold));
                checks.push((
                    "bandwidth",
                    bandwidth,
                    above_0(bandwidth),
                    "a finite number above 0",
                ));
            }
        }
        for (name, value, is_right, expected) in checks {
            if !is_right {
                return Err(ValueError::new(name, value, expected).into());
            }
        }
        self.learning_rate.check()
    }
}
