//! The one list of hook names: places in a transformer where activations can be read.
//!
//! Names are those of `TransformerLens`; a [`HookPoint`] prints and parses as such a name.

use std::collections::BTreeSet;
use std::fmt;
use std::str::FromStr;

use strsim::osa_distance;

use super::other_names;
use crate::ModelError;

/// A place in the model, by layer where it has one.
///
/// Axes: `d_head` is the width of one head, `d_mlp` of the hidden layer of the MLP.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
#[non_exhaustive]
pub enum HookPoint {
    /// Token embedding, `[batch, pos, d_model]`.
    Embed,
    /// Position embedding (GPT-2), `[batch, pos, d_model]`.
    PosEmbed,
    /// Residual stream entering the block, `[batch, pos, d_model]`.
    ResidPre(usize),
    /// Scale that the first norm divides by, `[batch, pos, 1]`.
    Ln1Scale(usize),
    /// Output of the first norm before its weight and bias, `[batch, pos, d_model]`.
    Ln1Normalized(usize),
    /// Queries, `[batch, pos, n_heads, d_head]`.
    Q(usize),
    /// Keys, `[batch, pos, n_key_value_heads, d_head]`.
    K(usize),
    /// Values, `[batch, pos, n_key_value_heads, d_head]`.
    V(usize),
    /// Queries after the norm of queries and rotation (Gemma), `[batch, pos, n_heads, d_head]`.
    RotQ(usize),
    /// Keys after the norm of keys and rotation (Gemma),
    /// `[batch, pos, n_key_value_heads, d_head]`.
    RotK(usize),
    /// Scaled and masked scores before the softmax, `[batch, n_heads, query_pos, key_pos]`;
    /// minus infinity where a key is hidden.
    AttnScores(usize),
    /// Attention pattern after the softmax, `[batch, n_heads, query_pos, key_pos]`.
    Pattern(usize),
    /// Mix of values per head, before the output projection, `[batch, pos, n_heads, d_head]`.
    Z(usize),
    /// What each head adds to the residual stream, without the bias,
    /// `[batch, pos, n_heads, d_model]`.
    Result(usize),
    /// Scale that the norm after attention divides by (Gemma 2 and 3), `[batch, pos, 1]`.
    Ln1PostScale(usize),
    /// Output of the norm after attention before its weight (Gemma 2 and 3),
    /// `[batch, pos, d_model]`.
    Ln1PostNormalized(usize),
    /// What attention adds to the residual stream, `[batch, pos, d_model]`.
    AttnOut(usize),
    /// Residual stream between attention and MLP, `[batch, pos, d_model]`.
    ResidMid(usize),
    /// Scale that the second norm divides by, `[batch, pos, 1]`.
    Ln2Scale(usize),
    /// Output of the second norm before its weight and bias, `[batch, pos, d_model]`.
    Ln2Normalized(usize),
    /// Hidden layer of the MLP before the activation; of a gated MLP the gate,
    /// `[batch, pos, d_mlp]`.
    MlpPre(usize),
    /// What the gate multiplies (Gemma), `[batch, pos, d_mlp]`.
    MlpPreLinear(usize),
    /// Hidden layer of the MLP after the activation, and after the gate,
    /// `[batch, pos, d_mlp]`.
    MlpPost(usize),
    /// Scale that the norm after the MLP divides by (Gemma 2 and 3), `[batch, pos, 1]`.
    Ln2PostScale(usize),
    /// Output of the norm after the MLP before its weight (Gemma 2 and 3),
    /// `[batch, pos, d_model]`.
    Ln2PostNormalized(usize),
    /// What the MLP adds to the residual stream, `[batch, pos, d_model]`.
    MlpOut(usize),
    /// Residual stream leaving the block, `[batch, pos, d_model]`.
    ResidPost(usize),
    /// Scale that the final norm divides by, `[batch, pos, 1]`.
    LnFinalScale,
    /// Output of the final norm before its weight and bias, `[batch, pos, d_model]`.
    LnFinalNormalized,
}

/// Makes the hook of a layer.
type LayerHook = fn(usize) -> HookPoint;

/// Constructors of the hooks that every block has, in the order in which a forward pass meets
/// them, with the part of the name that follows `blocks.{l}.`.
const BLOCK_HOOKS: [(LayerHook, &str); 25] = [
    (HookPoint::ResidPre, "hook_resid_pre"),
    (HookPoint::Ln1Scale, "ln1.hook_scale"),
    (HookPoint::Ln1Normalized, "ln1.hook_normalized"),
    (HookPoint::Q, "attn.hook_q"),
    (HookPoint::K, "attn.hook_k"),
    (HookPoint::V, "attn.hook_v"),
    (HookPoint::RotQ, "attn.hook_rot_q"),
    (HookPoint::RotK, "attn.hook_rot_k"),
    (HookPoint::AttnScores, "attn.hook_attn_scores"),
    (HookPoint::Pattern, "attn.hook_pattern"),
    (HookPoint::Z, "attn.hook_z"),
    (HookPoint::Result, "attn.hook_result"),
    (HookPoint::Ln1PostScale, "ln1_post.hook_scale"),
    (HookPoint::Ln1PostNormalized, "ln1_post.hook_normalized"),
    (HookPoint::AttnOut, "hook_attn_out"),
    (HookPoint::ResidMid, "hook_resid_mid"),
    (HookPoint::Ln2Scale, "ln2.hook_scale"),
    (HookPoint::Ln2Normalized, "ln2.hook_normalized"),
    (HookPoint::MlpPre, "mlp.hook_pre"),
    (HookPoint::MlpPreLinear, "mlp.hook_pre_linear"),
    (HookPoint::MlpPost, "mlp.hook_post"),
    (HookPoint::Ln2PostScale, "ln2_post.hook_scale"),
    (HookPoint::Ln2PostNormalized, "ln2_post.hook_normalized"),
    (HookPoint::MlpOut, "hook_mlp_out"),
    (HookPoint::ResidPost, "hook_resid_post"),
];

/// Hooks outside the blocks and their full names.
const OUTER_HOOKS: [(HookPoint, &str); 4] = [
    (HookPoint::Embed, "hook_embed"),
    (HookPoint::PosEmbed, "hook_pos_embed"),
    (HookPoint::LnFinalScale, "ln_final.hook_scale"),
    (HookPoint::LnFinalNormalized, "ln_final.hook_normalized"),
];

impl HookPoint {
    /// Every hook of a model with `n_layers` layers, of whatever family;
    /// [`HookedModel::hooks`](crate::HookedModel::hooks) gives those that a model has.
    pub fn all(n_layers: usize) -> Vec<Self> {
        let blocks = (0..n_layers).flat_map(|l| BLOCK_HOOKS.iter().map(move |(hook, _)| hook(l)));
        OUTER_HOOKS.iter().map(|(hook, _)| *hook).chain(blocks).collect()
    }

    /// The layer the hook belongs to; `None` before the first block and after the last.
    pub fn layer(self) -> Option<usize> {
        match self {
            Self::Embed | Self::PosEmbed | Self::LnFinalScale | Self::LnFinalNormalized => None,
            Self::ResidPre(l)
            | Self::Ln1Scale(l)
            | Self::Ln1Normalized(l)
            | Self::Q(l)
            | Self::K(l)
            | Self::V(l)
            | Self::RotQ(l)
            | Self::RotK(l)
            | Self::AttnScores(l)
            | Self::Pattern(l)
            | Self::Z(l)
            | Self::Result(l)
            | Self::Ln1PostScale(l)
            | Self::Ln1PostNormalized(l)
            | Self::AttnOut(l)
            | Self::ResidMid(l)
            | Self::Ln2Scale(l)
            | Self::Ln2Normalized(l)
            | Self::MlpPre(l)
            | Self::MlpPreLinear(l)
            | Self::MlpPost(l)
            | Self::Ln2PostScale(l)
            | Self::Ln2PostNormalized(l)
            | Self::MlpOut(l)
            | Self::ResidPost(l) => Some(l),
        }
    }

    /// How many blocks have to run before the hook has been met.
    fn blocks_needed(self, n_layers: usize) -> usize {
        match self {
            Self::Embed | Self::PosEmbed => 0,
            Self::LnFinalScale | Self::LnFinalNormalized => n_layers,
            Self::ResidPre(l) => l,
            other => other.layer().map_or(n_layers, |l| l + 1),
        }
    }
}

impl fmt::Display for HookPoint {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if let Some((_, name)) = OUTER_HOOKS.iter().find(|(hook, _)| hook == self) {
            return f.write_str(name);
        }
        let layer = self.layer().unwrap_or_default();
        let (_, name) =
            BLOCK_HOOKS.iter().find(|(hook, _)| hook(layer) == *self).ok_or(fmt::Error)?;
        write!(f, "blocks.{layer}.{name}")
    }
}

impl FromStr for HookPoint {
    type Err = ModelError;

    fn from_str(name: &str) -> Result<Self, ModelError> {
        if let Some((hook, _)) = OUTER_HOOKS.iter().find(|(_, outer)| *outer == name) {
            return Ok(*hook);
        }
        let block = name.strip_prefix("blocks.").and_then(|rest| rest.split_once('.'));
        if let Some((layer, rest)) = block
            && let Ok(layer) = layer.parse::<usize>()
            && let Some((hook, _)) = BLOCK_HOOKS.iter().find(|(_, hook)| *hook == rest)
        {
            return Ok(hook(layer));
        }
        if let Some(first) = of_layer(name, 0).filter(|first| first.parse::<Self>().is_ok()) {
            return Err(ModelError::HookWildcard { name: name.to_owned(), first });
        }
        Err(ModelError::UnknownHook { name: name.to_owned(), near: near_names(name) })
    }
}

/// A name whose layer is `*`, with a layer instead; `None` if the layer is not `*`.
fn of_layer(name: &str, layer: usize) -> Option<String> {
    name.strip_prefix("blocks.*.").map(|rest| format!("blocks.{layer}.{rest}"))
}

/// What another library means by `name`, or the three known names with the smallest edit distance
/// to it, in backticks.
fn near_names(name: &str) -> String {
    if let Some(meant) = other_names::hook(name) {
        return format!("`{meant}`");
    }
    let layer = name
        .strip_prefix("blocks.")
        .and_then(|rest| rest.split('.').next())
        .and_then(|layer| layer.parse().ok())
        .unwrap_or(0);
    let mut known: Vec<String> = OUTER_HOOKS.iter().map(|(_, name)| (*name).to_owned()).collect();
    known.extend(BLOCK_HOOKS.iter().map(|(hook, _)| hook(layer).to_string()));
    known.sort_by_key(|candidate| osa_distance(candidate, name));
    let near: Vec<String> = known.iter().take(3).map(|name| format!("`{name}`")).collect();
    near.join(", ")
}

/// The hooks a run should keep; everything else is dropped as soon as it has been used.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct HookSet {
    hooks: BTreeSet<HookPoint>,
}

impl HookSet {
    /// Collects hooks; duplicates count once.
    pub fn new(hooks: impl IntoIterator<Item = HookPoint>) -> Self {
        Self { hooks: hooks.into_iter().collect() }
    }

    /// No hook.
    pub const fn empty() -> Self {
        Self { hooks: BTreeSet::new() }
    }

    /// Parses names such as `blocks.5.hook_resid_post`.
    ///
    /// # Errors
    ///
    /// [`ModelError::UnknownHook`] if a name is not known.
    pub fn parse<'a>(names: impl IntoIterator<Item = &'a str>) -> Result<Self, ModelError> {
        names.into_iter().map(str::parse).collect::<Result<_, _>>().map(|hooks| Self { hooks })
    }

    /// Parses names as [`HookSet::parse`] does, where `*` instead of a layer, as in
    /// `blocks.*.hook_resid_post`, stands for every layer of a model.
    ///
    /// # Errors
    ///
    /// [`ModelError::UnknownHook`] if a name is not known.
    ///
    /// # Examples
    ///
    /// ```
    /// use attention_probes::models::{HookPoint, HookSet};
    ///
    /// let hooks = HookSet::parse_in(["blocks.*.hook_resid_post"], 2)?;
    /// assert_eq!(hooks, HookSet::new([HookPoint::ResidPost(0), HookPoint::ResidPost(1)]));
    /// # Ok::<(), attention_probes::models::ModelError>(())
    /// ```
    pub fn parse_in<'a>(
        names: impl IntoIterator<Item = &'a str>,
        n_layers: usize,
    ) -> Result<Self, ModelError> {
        let mut hooks = BTreeSet::new();
        for name in names {
            match name.parse() {
                Ok(hook) => {
                    hooks.insert(hook);
                }
                Err(ModelError::HookWildcard { .. }) => {
                    for name in (0..n_layers).filter_map(|layer| of_layer(name, layer)) {
                        hooks.insert(name.parse()?);
                    }
                }
                Err(error) => return Err(error),
            }
        }
        Ok(Self { hooks })
    }

    /// Whether a hook is asked for.
    pub fn contains(&self, hook: HookPoint) -> bool {
        self.hooks.contains(&hook)
    }

    /// The hooks in the order of their declaration.
    pub fn iter(&self) -> impl Iterator<Item = HookPoint> + '_ {
        self.hooks.iter().copied()
    }

    /// How many blocks have to run to meet every hook of the set.
    ///
    /// # Errors
    ///
    /// [`ModelError::LayerOutOfRange`] if a hook names a layer the model does not have.
    pub fn blocks_needed(&self, n_layers: usize) -> Result<usize, ModelError> {
        let mut needed = 0;
        for hook in self.iter() {
            if let Some(layer) = hook.layer().filter(|layer| *layer >= n_layers) {
                return Err(ModelError::LayerOutOfRange {
                    hook: hook.to_string(),
                    layer,
                    n_layers,
                });
            }
            needed = needed.max(hook.blocks_needed(n_layers));
        }
        Ok(needed)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_hook_prints_as_a_name_that_parses_back() {
        for hook in HookPoint::all(3) {
            assert_eq!(hook.to_string().parse::<HookPoint>().unwrap(), hook);
        }
    }

    #[test]
    fn an_unknown_name_lists_near_ones() {
        let error = "blocks.5.hook_resid_pots".parse::<HookPoint>().unwrap_err().to_string();
        assert!(error.contains("`blocks.5.hook_resid_post`"), "{error}");
    }

    #[test]
    fn a_star_stands_for_every_layer() {
        let names = |names: &[&str]| -> Vec<String> {
            let hooks = HookSet::parse_in(names.iter().copied(), 3).unwrap();
            hooks.iter().map(|hook| hook.to_string()).collect()
        };
        let all = ["blocks.0.attn.hook_z", "blocks.1.attn.hook_z", "blocks.2.attn.hook_z"];
        assert_eq!(names(&["blocks.*.attn.hook_z"]), all);
        assert_eq!(names(&["blocks.1.attn.hook_z", "blocks.*.attn.hook_z"]), all);
        assert_eq!(names(&["hook_embed"]), ["hook_embed"]);
        let error = |name: &str| HookSet::parse_in([name], 3).unwrap_err().to_string();
        assert!(error("blocks.*.hook_zz").starts_with("unknown hook `blocks.*.hook_zz`"));
        assert_eq!(
            "blocks.*.hook_resid_post".parse::<HookPoint>().unwrap_err().to_string(),
            "`blocks.*.hook_resid_post` stands for the hooks of all layers, expected one such as \
             `blocks.0.hook_resid_post`"
        );
    }

    #[test]
    fn the_model_stops_after_the_last_layer_that_is_needed() {
        let needed = |names: &[&str]| {
            HookSet::parse(names.iter().copied()).unwrap().blocks_needed(12).unwrap()
        };
        assert_eq!(needed(&["hook_embed"]), 0);
        assert_eq!(needed(&["blocks.5.hook_resid_pre"]), 5);
        assert_eq!(needed(&["blocks.5.hook_resid_post", "blocks.2.attn.hook_z"]), 6);
        assert_eq!(needed(&["ln_final.hook_normalized"]), 12);
    }

    #[test]
    fn a_layer_the_model_does_not_have_is_refused() {
        let hooks = HookSet::new([HookPoint::ResidPost(12)]);
        let error = hooks.blocks_needed(12).unwrap_err().to_string();
        assert_eq!(
            error,
            "hook `blocks.12.hook_resid_post` is of layer 12, but the model has 12 layers"
        );
    }
}
