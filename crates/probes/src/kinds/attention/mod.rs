//! Attention probe: weigh the tokens of a text with learned queries, then read out their sum.
//!
//! Follows the reference implementation, `EleutherAI/attention-probes`,
//! `attention_probe/attention_probe.py`, except that under `tanh` padding and dropped tokens weigh
//! 0, where the reference gives them -1.

mod contributions;
mod kernel;
mod kind;
mod stream;
#[cfg(test)]
mod tests;

pub use kind::{Attention, AttentionActivation};
