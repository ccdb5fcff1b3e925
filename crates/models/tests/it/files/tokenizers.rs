//! Tokens that are added beside a vocabulary, and tokenizers that are hostile.

use std::fs;
use std::path::Path;

use attention_probes_models::{PaddingSide, TokenBatch, Tokenizer};
use burn::tensor::Device;
use serde_json::{Value, json};

use crate::files::golden;

/// `vocab.json` and `merges.txt` of a golden byte-level tokenizer, which has 512 ids.
fn write_pair(folder: &Path) -> u32 {
    let json = fs::read(golden("gpt2-base").join("tokenizer.json")).unwrap();
    let json: Value = serde_json::from_slice(&json).unwrap();
    let vocab = json["model"]["vocab"].as_object().unwrap();
    fs::write(folder.join("vocab.json"), serde_json::to_vec(vocab).unwrap()).unwrap();
    let line = |merge: &Value| match merge {
        Value::Array(pair) => {
            format!("{} {}", pair[0].as_str().unwrap(), pair[1].as_str().unwrap())
        }
        line => line.as_str().unwrap().to_owned(),
    };
    let merges = json["model"]["merges"].as_array().unwrap().iter().map(line);
    fs::write(folder.join("merges.txt"), merges.collect::<Vec<_>>().join("\n")).unwrap();
    1 + vocab.values().map(|id| id.as_u64().unwrap() as u32).max().unwrap()
}

#[test]
fn added_tokens_have_the_ids_that_transformers_gives_them() {
    let folder = tempfile::tempdir().unwrap();
    let n = write_pair(folder.path());
    let ids = |text: &str| Tokenizer::from_dir(folder.path()).unwrap().encode(text).unwrap().ids;
    let is_special = |id: u32| Tokenizer::from_dir(folder.path()).unwrap().is_special(id);
    let hash = || Tokenizer::from_dir(folder.path()).unwrap().hash().to_owned();
    let (plain, plain_hash) = (ids("[PAD] a<|speaker1|>"), hash());
    assert!(plain.len() > 5);

    let added = json!({"[PAD]": n, "<|speaker1|>": n + 1});
    fs::write(folder.path().join("added_tokens.json"), added.to_string()).unwrap();
    let special = json!({"pad_token": "[PAD]", "eos_token": {"content": "<|endoftext|>"}});
    fs::write(folder.path().join("special_tokens_map.json"), special.to_string()).unwrap();
    let a = ids(" a");
    let expected: Vec<u32> = [&[n], &a[..], &[n + 1]].concat();
    assert_eq!(ids("[PAD] a<|speaker1|>"), expected);
    assert!(is_special(n) && !is_special(n + 1));
    assert_ne!(hash(), plain_hash);

    // Newer files have them in one place, with how they take white space.
    fs::remove_file(folder.path().join("added_tokens.json")).unwrap();
    let decoder = json!({"added_tokens_decoder": {
        n.to_string(): {"content": "<mask>", "lstrip": true, "special": true},
        (n + 1).to_string(): {"content": "[PAD]", "special": true}
    }});
    fs::write(folder.path().join("tokenizer_config.json"), decoder.to_string()).unwrap();
    assert_eq!(ids(" a <mask>[PAD]"), [&a[..], &[n, n + 1]].concat());

    // An id that is taken.
    let taken = json!({"added_tokens_decoder": {"7": {"content": "<mask>"}}});
    fs::write(folder.path().join("tokenizer_config.json"), taken.to_string()).unwrap();
    let error = Tokenizer::from_dir(folder.path()).unwrap_err();
    let source = std::error::Error::source(&error).unwrap().to_string();
    assert!(source.starts_with("id 7 is of token"), "{source}");
}

#[test]
fn ids_that_no_tensor_holds_are_refused() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("tokenizer.json");
    let json = fs::read_to_string(golden("gpt2-base").join("tokenizer.json")).unwrap();
    let mut json: Value = serde_json::from_str(&json).unwrap();
    let vocab = json["model"]["vocab"].as_object_mut().unwrap();
    let (token, _) = vocab.iter().next().map(|(token, id)| (token.clone(), id.clone())).unwrap();
    for id in [1_u64 << 31, u64::from(u32::MAX)] {
        json["model"]["vocab"][&token] = id.into();
        fs::write(&path, json.to_string()).unwrap();
        let error = Tokenizer::from_dir(folder.path()).unwrap_err();
        let source = std::error::Error::source(&error).unwrap().to_string();
        assert!(source.contains(&format!("has id {id}, expected at most 2147483647")), "{source}");
    }
    let error = TokenBatch::new(&[[1 << 31]], PaddingSide::Right, &Device::flex()).unwrap_err();
    assert!(error.to_string().starts_with("token id 2147483648 "), "{error}");
}

#[test]
fn nesting_is_refused_before_it_is_followed() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("tokenizer.json");
    let json = fs::read_to_string(golden("gpt2-base").join("tokenizer.json")).unwrap();
    let mut json: Value = serde_json::from_str(&json).unwrap();
    for depth in [60, 200, 100_000] {
        let open = "{\"type\": \"Sequence\", \"decoders\": [".repeat(depth);
        json["decoder"] = "here".into();
        let nested = format!("{open}{}", "]}".repeat(depth));
        fs::write(&path, json.to_string().replace("\"here\"", &nested)).unwrap();
        let error = Tokenizer::from_dir(folder.path()).unwrap_err();
        let source = std::error::Error::source(&error).unwrap().to_string();
        assert_eq!(source, "it is nested deeper than 32 levels");
    }
    // Brackets within a string are no nesting.
    json["decoder"] = Value::Null;
    json["model"]["vocab"]["[[[{\\\"".repeat(20)] = 600.into();
    fs::write(&path, json.to_string()).unwrap();
    Tokenizer::from_dir(folder.path()).unwrap();
}

#[test]
fn pieces_of_characters_are_shown_as_bytes_and_put_together_give_the_text() {
    for name in ["gpt2-base", "gemma3-base"] {
        let tokenizer = Tokenizer::from_dir(&golden(name)).unwrap();
        let text = "日本 😀 é";
        let ids = tokenizer.encode_without_special(text).unwrap().ids;
        let shown: String = ids.iter().map(|id| tokenizer.token_text(*id).unwrap()).collect();
        assert!(!shown.contains('\u{fffd}'), "{shown}");
        let (mut bytes, mut rest) = (Vec::new(), &shown[..]);
        while let Some(c) = rest.chars().next() {
            let hex = rest.strip_prefix("<0x").and_then(|rest| rest.split_once('>'));
            if let Some((hex, after)) = hex {
                bytes.push(u8::from_str_radix(hex, 16).unwrap());
                rest = after;
            } else {
                bytes.extend(&rest.as_bytes()[..c.len_utf8()]);
                rest = &rest[c.len_utf8()..];
            }
        }
        assert_eq!(String::from_utf8(bytes).unwrap(), text, "{name}");
    }
}
