//! Which fields of a `config.json` can change what a forward pass computes, whatever the family.
//!
//! A family reads the fields of its own architecture. Of the others, three kinds are told apart:
//! those that are known to change nothing, those whose name speaks of an architecture, which may
//! be that of a variant that is not computed here, and those that say nothing of the kind.

use serde_json::Value;

/// What a field that no family reads means for the numbers.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Effect {
    /// It is known to change nothing, or is set to what changes nothing.
    None,
    /// Its name is not known, and speaks of no part of a model.
    Unknown,
    /// It may change what a forward pass computes.
    Possible,
}

/// Fields of transformers' `PretrainedConfig` and of older versions of it.
const BOOKKEEPING: [&str; 38] = [
    "architectures",
    "attn_implementation",
    "auto_map",
    "chunk_size_feed_forward",
    "cross_attention_hidden_size",
    "custom_pipelines",
    "dtype",
    "finetuning_task",
    "gradient_checkpointing",
    "id2label",
    "initializer_range",
    "is_assistant",
    "is_composition",
    "is_decoder",
    "is_encoder_decoder",
    "keys_to_ignore_at_inference",
    "label2id",
    "model_max_length",
    "model_type",
    "n_special",
    "num_labels",
    "predict_special_tokens",
    "prefix",
    "pretraining_tp",
    "problem_type",
    "return_dict",
    "task_specific_params",
    "tf_legacy_loss",
    "tie_encoder_decoder",
    "torch_dtype",
    "torchscript",
    "transformers.js_config",
    "use_bfloat16",
    "use_flash_attention",
    "use_flash_attention_2",
    "use_flash_attn",
    "use_memory_efficient_attention",
    "xla_device",
];

/// Settings of generation, which older versions of transformers write among the others.
const GENERATION: [&str; 49] = [
    "bad_words_ids",
    "begin_suppress_tokens",
    "cache_config",
    "cache_implementation",
    "compile_config",
    "constraints",
    "disable_compile",
    "diversity_penalty",
    "do_sample",
    "dola_layers",
    "early_stopping",
    "encoder_no_repeat_ngram_size",
    "encoder_repetition_penalty",
    "epsilon_cutoff",
    "eta_cutoff",
    "exponential_decay_length_penalty",
    "force_words_ids",
    "forced_decoder_ids",
    "generation_config",
    "generation_kwargs",
    "guidance_scale",
    "length_penalty",
    "low_memory",
    "max_length",
    "max_new_tokens",
    "max_time",
    "min_length",
    "min_new_tokens",
    "min_p",
    "no_repeat_ngram_size",
    "num_beam_groups",
    "num_beams",
    "num_return_sequences",
    "penalty_alpha",
    "prefill_chunk_size",
    "remove_invalid_values",
    "renormalize_logits",
    "repetition_penalty",
    "return_dict_in_generate",
    "return_legacy_cache",
    "sequence_bias",
    "stop_strings",
    "suppress_tokens",
    "temperature",
    "token_healing",
    "top_k",
    "top_p",
    "typical_p",
    "watermarking_config",
];

/// How the names of fields begin that change nothing: those of libraries and of heads for tasks,
/// which are never run, and whatever asks for an output or a cache.
const PREFIXES: [&str; 12] = [
    "_",
    "assistant_",
    "boi_token",
    "classifier_",
    "eoi_token",
    "output_",
    "summary_",
    "tokenizer_",
    "transformers_",
    "unsloth_",
    "use_cache",
    "wandb_",
];

/// How the names of fields end that change nothing: ids of tokens, and dropout, which is for
/// training.
const SUFFIXES: [&str; 8] = [
    "_dropout",
    "_dropout_prob",
    "_pdrop",
    "_token",
    "_token_id",
    "_token_ids",
    "_token_index",
    "_tokens_per_image",
];

/// Parts of names that speak of an architecture.
const WORDS: [&str; 99] = [
    "act",
    "activation",
    "adapter",
    "adapters",
    "alibi",
    "attention",
    "attn",
    "audio",
    "bias",
    "bidirectional",
    "block",
    "blocks",
    "cap",
    "causal",
    "clip",
    "compressed",
    "compression",
    "conv",
    "cross",
    "decoder",
    "depth",
    "dim",
    "dimension",
    "dims",
    "embd",
    "embed",
    "embedding",
    "embeddings",
    "encoder",
    "eps",
    "epsilon",
    "expert",
    "experts",
    "factor",
    "feedforward",
    "ff",
    "ffn",
    "forward",
    "freq",
    "gate",
    "gated",
    "glu",
    "head",
    "heads",
    "hidden",
    "ia3",
    "image",
    "inner",
    "intermediate",
    "kernel",
    "kv",
    "layer",
    "layernorm",
    "layers",
    "logit",
    "logits",
    "loop",
    "loops",
    "lora",
    "mask",
    "memory",
    "mixture",
    "mlp",
    "moe",
    "multiplier",
    "norm",
    "norms",
    "parallel",
    "position",
    "positional",
    "positions",
    "pruned",
    "qk",
    "qkv",
    "quant",
    "quantization",
    "quantized",
    "recurrent",
    "resid",
    "residual",
    "rmsnorm",
    "rope",
    "rotary",
    "router",
    "scalar",
    "scale",
    "scaling",
    "share",
    "shared",
    "sliding",
    "softcap",
    "softcapping",
    "sparse",
    "speech",
    "ssm",
    "swiglu",
    "video",
    "vision",
    "window",
];

/// What a field that no family reads means for the numbers.
pub(super) fn effect_of(field: &str, value: &Value) -> Effect {
    let is_listed = BOOKKEEPING.contains(&field) || GENERATION.contains(&field);
    if is_listed
        || PREFIXES.iter().any(|prefix| field.starts_with(prefix))
        || SUFFIXES.iter().any(|suffix| field.ends_with(suffix))
        || is_neutral(field, value)
    {
        return Effect::None;
    }
    let mut parts = field.split(['_', '.', '-']);
    if parts.any(|part| WORDS.contains(&part)) { Effect::Possible } else { Effect::Unknown }
}

/// Whether a value switches off what its field is about.
fn is_neutral(field: &str, value: &Value) -> bool {
    match value {
        Value::Null => true,
        Value::Bool(on) => *on == (field == "is_causal"),
        Value::Number(number) => number.as_f64() == Some(0.0),
        Value::String(text) => text.is_empty(),
        Value::Array(entries) => entries.is_empty(),
        // A part of a model that is there with its default settings.
        Value::Object(entries) => entries.is_empty() && !field.ends_with("_config"),
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn generation_bookkeeping_and_what_is_switched_off_change_nothing() {
        for (field, value) in [
            ("_num_labels", json!(1)),
            ("n_special", json!(0)),
            ("do_sample", json!(true)),
            ("min_length", json!(3)),
            ("temperature", json!(0.7)),
            ("forced_eos_token_id", json!(2)),
            ("boi_token_index", json!(255_999)),
            ("summary_first_dropout", json!(0.1)),
            ("attention_dropout", json!(0.1)),
            ("unsloth_version", json!("2025.1")),
            ("use_moe", json!(false)),
            ("num_experts", json!(0)),
            ("rope_something", json!(null)),
            ("is_causal", json!(true)),
        ] {
            assert_eq!(effect_of(field, &value), Effect::None, "{field}");
        }
    }

    #[test]
    fn what_speaks_of_an_architecture_may_change_the_numbers() {
        for (field, value) in [
            ("rope_theta", json!(1e4)),
            ("moe_experts", json!(8)),
            ("use_parallel_residual", json!(true)),
            ("audio_config", json!({})),
            ("qk_layernorm", json!(true)),
            ("alibi", json!(true)),
            ("is_causal", json!(false)),
            ("attention_multiplier", json!(0.5)),
            ("clip_qkv", json!(8.0)),
        ] {
            assert_eq!(effect_of(field, &value), Effect::Possible, "{field}");
        }
    }

    #[test]
    fn what_says_nothing_of_the_kind_is_unknown() {
        for (field, value) in
            [("save_step", json!(25)), ("trained_on", json!("tweets")), ("license", json!("mit"))]
        {
            assert_eq!(effect_of(field, &value), Effect::Unknown, "{field}");
        }
    }
}
