//! The attention probe, by the name that the reference gives it.

use std::ops::Deref;

use crate::{Attention, Probe};

/// A [`Probe`] of the kind [`Attention`].
///
/// The name is that of `EleutherAI/attention-probes`; [`train_probe`](crate::train_probe) returns
/// one.
#[derive(Clone, Debug)]
pub struct AttentionProbe(Probe);

impl AttentionProbe {
    /// A probe that was made of [`Attention`].
    pub(crate) fn new(probe: Probe) -> Self {
        Self(probe)
    }

    /// Its settings.
    pub fn attention(&self) -> &Attention {
        match self.0.config().kind_as() {
            Some(kind) => kind,
            None => unreachable!("it was made of attention"),
        }
    }

    /// Takes a probe, if it is one of attention.
    pub fn of(probe: Probe) -> Option<Self> {
        probe.config().kind_as::<Attention>()?;
        Some(Self(probe))
    }
}

impl Deref for AttentionProbe {
    type Target = Probe;

    fn deref(&self) -> &Probe {
        &self.0
    }
}

impl From<AttentionProbe> for Probe {
    fn from(probe: AttentionProbe) -> Self {
        probe.0
    }
}
