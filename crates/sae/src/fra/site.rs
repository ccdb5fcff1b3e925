//! Where an autoencoder must read for its features to add up to a layer's scores.

use attention_probes_models::HookPoint;

use crate::{Sae, SaeError};

/// How the activations that an autoencoder reads become what queries and keys read.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum FraSite {
    /// `blocks.{l}.ln1.hook_normalized`: gain and bias of the norm are all that is between.
    Normalized,
    /// The residual stream that enters the block, `blocks.{l}.hook_resid_pre` or
    /// `blocks.{l-1}.hook_resid_post`: the norm is between, with its scale.
    Residual,
}

impl FraSite {
    /// The site of a hook, and the layer whose scores read it; `None` if no layer's do.
    pub fn of(hook: HookPoint) -> Option<(Self, usize)> {
        match hook {
            HookPoint::Ln1Normalized(layer) => Some((Self::Normalized, layer)),
            HookPoint::ResidPre(layer) => Some((Self::Residual, layer)),
            HookPoint::ResidPost(layer) => Some((Self::Residual, layer.checked_add(1)?)),
            _ => None,
        }
    }

    /// The site of an autoencoder's hook for the scores of `layer`.
    ///
    /// # Errors
    ///
    /// [`SaeError::NotDecomposed`] if the scores of that layer do not read it.
    pub fn for_layer(hook: HookPoint, layer: usize) -> Result<Self, SaeError> {
        match Self::of(hook) {
            Some((site, of)) if of == layer => Ok(site),
            _ => Err(not_decomposed(hook, layer)),
        }
    }
}

/// The hook that an autoencoder names.
///
/// # Errors
///
/// - [`SaeError::NoHook`] if it names none.
/// - [`SaeError::Model`] if it is no hook's name.
pub fn hook_of(sae: &Sae) -> Result<HookPoint, SaeError> {
    Ok(sae.config.metadata.hook_name().ok_or(SaeError::NoHook)?.parse()?)
}

fn not_decomposed(hook: HookPoint, layer: usize) -> SaeError {
    let (normalized, entering) = (HookPoint::Ln1Normalized(layer), HookPoint::ResidPre(layer));
    let possible = match layer.checked_sub(1) {
        Some(before) => {
            format!("`{normalized}`, `{entering}`, or `{}`", HookPoint::ResidPost(before))
        }
        None => format!("`{normalized}` or `{entering}`"),
    };
    SaeError::NotDecomposed { hook: hook.to_string(), layer, possible }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_what_the_scores_read_is_a_site() {
        let site = |name: &str, layer| FraSite::for_layer(name.parse().unwrap(), layer);
        assert_eq!(site("blocks.5.ln1.hook_normalized", 5).unwrap(), FraSite::Normalized);
        assert_eq!(site("blocks.5.hook_resid_pre", 5).unwrap(), FraSite::Residual);
        assert_eq!(site("blocks.4.hook_resid_post", 5).unwrap(), FraSite::Residual);
        for name in ["blocks.5.attn.hook_z", "blocks.5.hook_resid_post", "blocks.5.hook_resid_mid"]
        {
            let error = site(name, 5).unwrap_err().to_string();
            let expected = format!(
                "the scores of layer 5 do not read `{name}`, so its features do not add up to \
                 them; expected an autoencoder of `blocks.5.ln1.hook_normalized`, \
                 `blocks.5.hook_resid_pre`, or `blocks.4.hook_resid_post`"
            );
            assert_eq!(error, expected);
        }
        let error = site("blocks.0.attn.hook_z", 0).unwrap_err().to_string();
        assert!(error.ends_with("`blocks.0.ln1.hook_normalized` or `blocks.0.hook_resid_pre`"));
    }
}
