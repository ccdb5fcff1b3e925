//! Probes of one shape at one site.

use attention_probes_probes::{Loss, ProbeConfig};

use crate::config::trial::Trial;
use crate::train::method::Method;

/// Probes of one shape at one site: they train as one stack.
#[derive(Clone, Debug, PartialEq)]
pub struct TrialGroup {
    /// Which site of the activations they read.
    pub site: usize,
    /// Their shape.
    pub probe: ProbeConfig,
    /// What training makes small.
    pub loss: Loss,
    /// How they train.
    pub method: Method,
    /// Their settings.
    pub trials: Vec<Trial>,
}
