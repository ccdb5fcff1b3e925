//! Trials of any kind of probe, by its configuration.

use attention_probes_probes::{Loss, ProbeConfig, ProbeState};

use super::attention::AttentionKernel;
use super::gated_bipolar::GatedBipolarKernel;
use super::linear::StackedLinear;
use super::mlp::StackedMlp;
use super::multi_max::MultiMaxKernel;
use super::rolling_attention::RollingAttentionKernel;
use super::token::TokenScoreKernel;
use super::tokens::{StackedTokens, TokenKernel};
use super::trials::StackedProbes;
use crate::adamw::Rate;

/// Stacks trials of one shape, each from its own initial weights; the seed is that of dropout.
pub(crate) fn stack(
    config: &ProbeConfig,
    loss: Loss,
    states: &[ProbeState],
    rates: Vec<Rate>,
    seed: u64,
) -> Box<dyn StackedProbes> {
    fn tokens<K: TokenKernel + 'static>(
        kernel: K,
        d_model: usize,
        states: &[ProbeState],
        rates: Vec<Rate>,
        seed: u64,
    ) -> Box<dyn StackedProbes> {
        Box::new(StackedTokens::new(kernel, d_model, states, rates, seed))
    }

    let d_model = config.d_model();
    match config {
        ProbeConfig::Linear(config) => Box::new(StackedLinear::new(config, states, rates, loss)),
        ProbeConfig::Mlp(config) => Box::new(StackedMlp::new(config, states, rates, loss)),
        ProbeConfig::Attention(config) => {
            tokens(AttentionKernel::new(config, loss), d_model, states, rates, seed)
        }
        ProbeConfig::Token(config) => {
            tokens(TokenScoreKernel::new(config, loss), d_model, states, rates, seed)
        }
        ProbeConfig::MultiMax(config) => {
            tokens(MultiMaxKernel::new(config, loss), d_model, states, rates, seed)
        }
        ProbeConfig::RollingAttention(config) => {
            tokens(RollingAttentionKernel::new(config, loss), d_model, states, rates, seed)
        }
        ProbeConfig::GatedBipolar(config) => {
            tokens(GatedBipolarKernel::new(config, loss), d_model, states, rates, seed)
        }
    }
}
