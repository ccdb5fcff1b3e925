//! Fields of `config.json` that change nothing, those that would, and settings in two spellings.

use serde_json::{Value, json};

use crate::files::{activations, change_config, copy, refusal};

/// Fields of real files that are no setting of the forward pass.
const HARMLESS: &str = r#"{
    "n_special": 0, "_num_labels": 1, "predict_special_tokens": true, "do_sample": false,
    "min_length": 0, "max_length": 20, "num_beams": 1, "temperature": 1.0, "top_k": 50,
    "top_p": 1.0, "repetition_penalty": 1.0, "length_penalty": 1.0, "bad_words_ids": null,
    "num_return_sequences": 1, "decoder_start_token_id": null, "no_repeat_ngram_size": 0,
    "forced_bos_token_id": 3, "diversity_penalty": 0.0, "encoder_no_repeat_ngram_size": 0,
    "return_dict_in_generate": false, "output_scores": false, "early_stopping": false,
    "suppress_tokens": [1, 2], "begin_suppress_tokens": null, "is_decoder": true,
    "task_specific_params": {"text-generation": {"do_sample": true, "max_length": 50}},
    "id2label": {"0": "LABEL_0"}, "tokenizer_class": "X", "unsloth_fixed": true,
    "_attn_implementation": "sdpa", "cross_attention_hidden_size": null, "add_cross_attention": false,
    "classifier_dropout": 0.1, "gradient_checkpointing": true, "xla_device": true,
    "keys_to_ignore_at_inference": ["past_key_values"], "transformers.js_config": {"dtype": "q4"},
    "save_step": 25, "license": "mit", "moe_experts": 0, "use_alibi": false
}"#;

#[test]
fn fields_that_change_nothing_are_left_out_of_account() {
    let fields: serde_json::Map<String, Value> = serde_json::from_str(HARMLESS).unwrap();
    for name in ["gpt2-base", "gemma2-base", "gemma3-base"] {
        let folder = copy(name);
        let plain = activations(folder.path()).unwrap();
        change_config(folder.path(), |config| config.extend(fields.clone()));
        assert_eq!(activations(folder.path()).unwrap(), plain, "{name}");
    }
}

#[test]
fn fields_that_may_change_the_numbers_are_refused_by_name() {
    for name in ["gpt2-base", "gemma3-base"] {
        for (field, value) in [
            ("moe_experts", json!(8)),
            ("use_alibi", json!(true)),
            ("is_causal", json!(false)),
            ("partial_rotary_factor", json!(0.5)),
            ("quantization_config", json!({"bits": 4})),
            ("attention_multiplier", json!(2.0)),
        ] {
            let folder = copy(name);
            change_config(folder.path(), |config| {
                config.insert(field.to_owned(), value);
            });
            let message = refusal(folder.path());
            assert!(message.contains(&format!("`{field}` is ")), "{message}");
        }
    }
}

/// The error of `gemma3-base`, or its bits, with some fields changed; null takes a field out.
#[expect(clippy::needless_pass_by_value, reason = "what `json!` makes is handed over")]
fn gemma3(fields: Value) -> Result<Vec<u32>, String> {
    let folder = copy("gemma3-base");
    change_config(folder.path(), |config| {
        config.extend(fields.as_object().unwrap().clone());
        config.retain(|_, value| !value.is_null());
    });
    activations(folder.path()).map_err(|error| error.to_string())
}

#[test]
fn two_spellings_that_agree_are_one() {
    let old = json!({"rope_parameters": null, "rope_theta": 1e6, "rope_local_base_freq": 1e4});
    let with = |more: Value| {
        let mut fields = old.clone();
        fields.as_object_mut().unwrap().extend(more.as_object().unwrap().clone());
        gemma3(fields)
    };
    let scaled = |scaling: Value| with(json!({ "rope_scaling": scaling }));
    let plain = scaled(json!({"rope_type": "linear", "factor": 4.0})).unwrap();
    assert_eq!(scaled(json!({"type": "linear", "factor": 4.0})).unwrap(), plain);
    let both = json!({"type": "linear", "rope_type": "linear", "factor": 4.0});
    assert_eq!(scaled(both).unwrap(), plain);
    assert_ne!(with(json!({})).unwrap(), plain);
    assert_eq!(scaled(json!({})).unwrap(), with(json!({})).unwrap());
    let newer = |kind: &str, more: Value| {
        let mut full = json!({"rope_theta": 1e6, "rope_type": kind, "factor": 4.0});
        full.as_object_mut().unwrap().extend(more.as_object().unwrap().clone());
        json!({
            "full_attention": full,
            "sliding_attention": {"rope_theta": 1e4, "rope_type": "default"}
        })
    };
    let both = json!({
        "rope_scaling": {"type": "linear", "factor": 4.0},
        "rope_parameters": newer("linear", json!({"type": "linear"}))
    });
    assert_eq!(with(both).unwrap(), plain);

    let patterns = |fields: Value| {
        let mut all = json!({"layer_types": null, "_sliding_window_pattern": null});
        all.as_object_mut().unwrap().extend(fields.as_object().unwrap().clone());
        gemma3(all)
    };
    let one = patterns(json!({"sliding_window_pattern": 3})).unwrap();
    assert_eq!(patterns(json!({"_sliding_window_pattern": 3})).unwrap(), one);
    let both = json!({"sliding_window_pattern": 3, "_sliding_window_pattern": 3});
    assert_eq!(patterns(both).unwrap(), one);
}

#[test]
fn two_spellings_that_differ_are_refused_with_both() {
    let cases = [
        (
            json!({"rope_parameters": null,
                   "rope_scaling": {"rope_type": "linear", "type": "default", "factor": 2.0}}),
            ["rope_scaling.rope_type", "rope_scaling.type"],
        ),
        (
            json!({"sliding_window_pattern": 2, "_sliding_window_pattern": 3}),
            ["sliding_window_pattern", "_sliding_window_pattern"],
        ),
        (json!({"sliding_window_size": 3}), ["sliding_window", "sliding_window_size"]),
        (
            json!({"rope_theta": 5.0, "rope_parameters": {
                "full_attention": {"rope_theta": 1e6}, "sliding_attention": {"rope_theta": 1e4}}}),
            ["rope_theta", "rope_parameters.rope_theta"],
        ),
    ];
    for (fields, names) in cases {
        let message = gemma3(fields).unwrap_err();
        for name in names {
            assert!(message.contains(&format!("`{name}` is ")), "{message}");
        }
        assert!(message.ends_with("make them equal or leave one out"), "{message}");
    }
    let folder = copy("gpt2-base");
    change_config(folder.path(), |config| {
        config.insert("hidden_size".to_owned(), json!(96));
    });
    assert!(refusal(folder.path()).contains("`hidden_size` is 96"));
}

#[test]
fn the_window_may_stand_there_twice() {
    let folder = copy("gemma2-base");
    let plain = activations(folder.path()).unwrap();
    change_config(folder.path(), |config| {
        let window = config["sliding_window"].clone();
        config.insert("sliding_window_size".to_owned(), window);
    });
    assert_eq!(activations(folder.path()).unwrap(), plain);
}

#[test]
fn a_description_that_is_none_is_refused_before_it_is_read() {
    let folder = copy("gpt2-base");
    change_config(folder.path(), |config| {
        config.insert("license".to_owned(), "x".repeat(5 << 20).into());
    });
    assert!(refusal(folder.path()).contains("expected a description of at most 4194304"));
}
