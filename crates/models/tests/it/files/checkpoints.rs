//! Weights beside what is left of other saves, under other names, and with what is not read.

use std::fs;
use std::path::Path;

use attention_probes_models::open_model;
use burn::tensor::Device;
use safetensors::SafeTensors;
use safetensors::tensor::TensorView;

use crate::files::{activations, copy, golden, refusal};

/// Writes the weights of a folder again, under other names; `None` leaves a tensor out.
fn rename(folder: &Path, name: impl Fn(&str) -> Option<String>) {
    let path = folder.join("model.safetensors");
    let bytes = fs::read(&path).unwrap();
    let file = SafeTensors::deserialize(&bytes).unwrap();
    let tensors: Vec<(String, TensorView<'_>)> =
        file.iter().filter_map(|(old, view)| Some((name(old)?, view))).collect();
    fs::write(&path, safetensors::serialize(tensors, None).unwrap()).unwrap();
}

#[test]
fn a_whole_file_is_taken_before_an_index() {
    let folder = copy("gpt2-base");
    let whole = activations(folder.path()).unwrap();
    // An index of shards that are gone, and then the shards of another model.
    let index = "model.safetensors.index.json";
    fs::copy(golden("gpt2-sharded").join(index), folder.path().join(index)).unwrap();
    assert_eq!(activations(folder.path()).unwrap(), whole);
    for shard in ["model-00001-of-00002.safetensors", "model-00002-of-00002.safetensors"] {
        fs::copy(golden("gpt2-sharded").join(shard), folder.path().join(shard)).unwrap();
    }
    assert_eq!(activations(folder.path()).unwrap(), whole);
    // Without the whole file, the index counts.
    let config = golden("gpt2-sharded").join("config.json");
    fs::copy(config, folder.path().join("config.json")).unwrap();
    fs::remove_file(folder.path().join("model.safetensors")).unwrap();
    let sharded = activations(&golden("gpt2-sharded")).unwrap();
    assert_eq!(activations(folder.path()).unwrap(), sharded);
}

#[test]
fn a_tied_table_may_lie_under_the_name_of_the_output() {
    for (name, table) in [("gpt2-base", "wte.weight"), ("gemma3-base", "model.embed_tokens.weight")]
    {
        for prefix in ["", "transformer."].iter().filter(|_| name == "gpt2-base").chain(&[""]) {
            let folder = copy(name);
            let plain = activations(folder.path()).unwrap();
            rename(folder.path(), |old| {
                let new = if old == table {
                    "lm_head.weight".to_owned()
                } else {
                    format!("{prefix}{old}")
                };
                (old != "lm_head.weight").then_some(new)
            });
            assert_eq!(activations(folder.path()).unwrap(), plain, "{name} {prefix}");
        }
    }
}

#[test]
fn a_prefix_of_a_wrapper_is_shown() {
    for prefix in ["_orig_mod.", "module.", "model.", "_orig_mod.transformer."] {
        let folder = copy("gpt2-base");
        rename(folder.path(), |old| Some(format!("{prefix}{old}")));
        let message = refusal(folder.path());
        assert!(message.contains(&format!("`{prefix}h.0.ln_1.weight`")), "{message}");
        assert!(message.contains(&format!("take `{prefix}` off the names")), "{message}");
    }
    let folder = copy("gemma3-base");
    rename(folder.path(), |old| Some(format!("_orig_mod.{old}")));
    let message = refusal(folder.path());
    assert!(message.contains("take `_orig_mod.` off the names"), "{message}");
}

#[test]
fn an_adapter_is_refused_with_the_remedy() {
    let folder = copy("gpt2-base");
    let adapter = folder.path().join("adapter_config.json");
    fs::write(&adapter, "{\"peft_type\": \"LORA\"}").unwrap();
    assert!(refusal(folder.path()).contains("`merge_and_unload()`"));
    // Alone, it is no model that is looked for on the Hub.
    fs::remove_file(folder.path().join("config.json")).unwrap();
    let name = folder.path().to_str().unwrap();
    let message = open_model(name, None, &Device::flex()).err().unwrap().to_string();
    assert!(message.contains("adapter_config.json` is of an adapter"), "{message}");

    let folder = copy("gpt2-base");
    rename(folder.path(), |old| {
        let is_first = old == "h.0.attn.c_attn.bias";
        Some(if is_first { "h.0.attn.c_attn.lora_A.default.weight".to_owned() } else { old.into() })
    });
    let message = refusal(folder.path());
    assert!(message.contains("`h.0.attn.c_attn.lora_A.default.weight`"), "{message}");
}

#[test]
fn pointers_of_git_lfs_are_called_so() {
    let pointer = "version https://git-lfs.github.com/spec/v1\noid sha256:00\nsize 12345\n";
    for file in ["model.safetensors", "config.json", "tokenizer.json"] {
        let folder = copy("gpt2-base");
        fs::write(folder.path().join(file), pointer).unwrap();
        let name = folder.path().to_str().unwrap();
        let message = open_model(name, None, &Device::flex()).err().unwrap().to_string();
        assert!(message.contains(&format!("{file}` is a Git LFS pointer")), "{message}");
    }
}

#[test]
fn names_of_other_libraries_are_understood() {
    let message = |name: &str| open_model(name, None, &Device::flex()).err().unwrap().to_string();
    assert!(message("gpt2-small").contains("`openai-community/gpt2`"));
    assert!(message("gemma-2-2b").contains("`google/gemma-2-2b`"));
}
