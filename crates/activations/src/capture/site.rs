//! Places of a model whose activations are kept.

use std::fmt;
use std::str::FromStr;

use attention_probes_models::{Convention, HookPoint, ModelShape};
use serde::{Deserialize, Serialize};

use super::hook::CaptureHook;
use crate::ActivationError;

/// A part of a block whose output can be probed.
#[derive(
    Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize,
)]
#[serde(rename_all = "snake_case")]
pub enum Component {
    /// Residual stream entering the block.
    ResidPre,
    /// Residual stream between attention and MLP.
    ResidMid,
    /// Residual stream leaving the block.
    #[default]
    ResidPost,
    /// What attention adds to the residual stream.
    AttnOut,
    /// What the MLP adds to the residual stream.
    MlpOut,
    /// Mix of values per head, heads side by side.
    Z,
}

impl Component {
    /// Every component.
    pub const ALL: [Self; 6] =
        [Self::ResidPre, Self::ResidMid, Self::ResidPost, Self::AttnOut, Self::MlpOut, Self::Z];

    /// Where a model keeps the component of a layer.
    pub fn hook(self, layer: usize) -> HookPoint {
        match self {
            Self::ResidPre => HookPoint::ResidPre(layer),
            Self::ResidMid => HookPoint::ResidMid(layer),
            Self::ResidPost => HookPoint::ResidPost(layer),
            Self::AttnOut => HookPoint::AttnOut(layer),
            Self::MlpOut => HookPoint::MlpOut(layer),
            Self::Z => HookPoint::Z(layer),
        }
    }

    /// Values per token.
    pub fn width(self, shape: &ModelShape) -> usize {
        match self {
            Self::Z => shape.n_heads * shape.d_head,
            _ => shape.d_model,
        }
    }

    pub(crate) fn name(self) -> &'static str {
        match self {
            Self::ResidPre => "resid_pre",
            Self::ResidMid => "resid_mid",
            Self::ResidPost => "resid_post",
            Self::AttnOut => "attn_out",
            Self::MlpOut => "mlp_out",
            Self::Z => "z",
        }
    }
}

impl fmt::Display for Component {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}

impl FromStr for Component {
    type Err = ActivationError;

    fn from_str(name: &str) -> Result<Self, ActivationError> {
        Self::ALL
            .into_iter()
            .find(|component| component.name() == name)
            .ok_or_else(|| ActivationError::Component { name: name.to_owned() })
    }
}

/// One place whose activations are kept; prints as `L05-resid_post`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Site {
    /// The layer, from 0.
    pub layer: usize,
    /// The part of the layer.
    pub component: Component,
    /// Which numbers are kept.
    pub convention: Convention,
}

impl Site {
    /// Where a model keeps these activations.
    pub fn hook(self) -> HookPoint {
        self.component.hook(self.layer)
    }
}

impl From<Site> for CaptureHook {
    fn from(site: Site) -> Self {
        Self { hook: site.hook(), convention: site.convention }
    }
}

impl fmt::Display for Site {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "L{:02}-{}", self.layer, self.component)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn components_print_as_they_parse() {
        for component in Component::ALL {
            let name = component.to_string();
            assert_eq!(name.parse::<Component>().unwrap(), component);
            assert_eq!(serde_json::to_string(&component).unwrap(), format!("\"{name}\""));
            assert!(component.hook(4).to_string().ends_with(&name));
        }
        assert_eq!(
            "resid".parse::<Component>().unwrap_err().to_string(),
            "component `resid` is not known, expected resid_pre, resid_mid, resid_post, attn_out, \
             mlp_out, or z"
        );
    }
}
