//! What other libraries call the hooks that are known here.

use crate::HookPoint;

/// What stands before the number of a layer in the names of modules.
const LAYERS: [&str; 4] = ["transformer.h.", "model.layers.", "layers.", "h."];

/// The hook of a layer.
type OfLayer = fn(usize) -> HookPoint;

/// Parts of a block, and what leaves them, by the names of modules and of `TransformerBridge`.
const PARTS: [(&str, OfLayer); 14] = [
    ("", HookPoint::ResidPost),
    ("hook_out", HookPoint::ResidPost),
    ("hook_in", HookPoint::ResidPre),
    ("attn", HookPoint::AttnOut),
    ("self_attn", HookPoint::AttnOut),
    ("attn.hook_out", HookPoint::AttnOut),
    ("mlp", HookPoint::MlpOut),
    ("mlp.hook_out", HookPoint::MlpOut),
    ("attn.q.hook_out", HookPoint::Q),
    ("attn.k.hook_out", HookPoint::K),
    ("attn.v.hook_out", HookPoint::V),
    ("attn.o.hook_in", HookPoint::Z),
    ("attn.hook_hidden_states", HookPoint::AttnOut),
    ("mlp.out.hook_in", HookPoint::MlpPost),
];

/// The hook that another library calls by this name.
pub(crate) fn hook(name: &str) -> Option<HookPoint> {
    match name {
        "embed.hook_out" | "transformer.wte" => return Some(HookPoint::Embed),
        "pos_embed.hook_out" | "transformer.wpe" => return Some(HookPoint::PosEmbed),
        _ => {}
    }
    let mut prefixes = LAYERS.iter().chain(&["blocks."]);
    let rest = prefixes.find_map(|prefix| name.strip_prefix(prefix))?;
    let (layer, part) = rest.split_once('.').unwrap_or((rest, ""));
    let layer = layer.parse().ok()?;
    PARTS.iter().find(|(known, _)| *known == part).map(|(_, hook)| hook(layer))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_of_modules_and_of_the_bridge_mean_hooks() {
        for (name, expected) in [
            ("transformer.h.1", "blocks.1.hook_resid_post"),
            ("model.layers.12", "blocks.12.hook_resid_post"),
            ("blocks.1.hook_out", "blocks.1.hook_resid_post"),
            ("blocks.3.hook_in", "blocks.3.hook_resid_pre"),
            ("model.layers.2.self_attn", "blocks.2.hook_attn_out"),
            ("blocks.0.attn.q.hook_out", "blocks.0.attn.hook_q"),
        ] {
            assert_eq!(hook(name).unwrap().to_string(), expected);
        }
        for name in ["transformer.h", "model.layers.x", "lm_head", "blocks.1.attn.z"] {
            assert_eq!(hook(name), None, "{name}");
        }
    }
}
