//! Absorption in a model whose embedding says the first letter of every word.

use std::fs;
use std::path::Path;

use attention_probes_models::demo::DemoModel;
use attention_probes_sae::eval::letter_words;
use attention_probes_sae::{Sae, SaeActivation, write_sae_lens};
use serde_json::Value;

use crate::call::{command, refused, succeed};
use crate::eval::fixture::{check_layout, folder, identity};

/// Width of the embedding.
const D_MODEL: usize = 160;

/// The place of the embedding that marks some words, and the feature that absorbs those in `a`.
const MARK: usize = 26;

/// Every how many words are marked: too few for the feature to count as one of the letter.
const MARKED: usize = 20;

/// The demo model with 1 in the place of a token's first letter, and 0 elsewhere.
fn write_model(folder: &Path) {
    let demo = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../models/demo/demo-gpt2");
    let to = folder.join("letters");
    fs::create_dir(&to).unwrap();
    for file in ["config.json", "tokenizer.json"] {
        fs::copy(demo.join(file), to.join(file)).unwrap();
    }
    let mut bytes = fs::read(demo.join("model.safetensors")).unwrap();
    let length = usize::try_from(u64::from_le_bytes(bytes[..8].try_into().unwrap())).unwrap();
    let header: Value = serde_json::from_slice(&bytes[8..8 + length]).unwrap();
    let tensors = header.as_object().unwrap();
    let (_, embedding) = tensors.iter().find(|(name, _)| name.ends_with("wte.weight")).unwrap();
    assert_eq!(embedding["dtype"], "BF16");
    let start = 8 + length + embedding["data_offsets"][0].as_u64().unwrap() as usize;
    let end = 8 + length + embedding["data_offsets"][1].as_u64().unwrap() as usize;
    bytes[start..end].fill(0);
    let tokenizer = DemoModel::named("demo-gpt2").unwrap().tokenizer().unwrap();
    for (i, word) in letter_words(&tokenizer).into_iter().enumerate() {
        let spelled = word.replace(' ', "Ġ");
        let id = tokenizer.token_to_id(&spelled).unwrap() as usize;
        let letter = word.trim().to_ascii_lowercase().as_bytes()[0] - b'a';
        let mut set = |place: usize| {
            // 1 in bf16.
            bytes[start + 2 * (id * D_MODEL + place)..][..2].copy_from_slice(&[0x80, 0x3f]);
        };
        set(usize::from(letter));
        if i % MARKED == 0 {
            set(MARK);
        }
    }
    fs::write(to.join("model.safetensors"), bytes).unwrap();
}

/// A feature for each letter, and one of marked words that takes the place of that of `a`.
fn absorbing() -> Sae {
    let mut sae = identity(D_MODEL);
    let feature_of_a = 0;
    sae.encoder[feature_of_a * D_MODEL + MARK] = -2.0;
    sae.decoder[MARK * D_MODEL..][..D_MODEL].fill(0.0);
    sae.decoder[MARK * D_MODEL + feature_of_a] = 1.0;
    sae.activation = SaeActivation::Standard { b_enc: vec![0.0; D_MODEL] };
    sae.config.metadata.set("model_name", "letters");
    sae.config.metadata.set("hook_name", "hook_embed");
    sae
}

#[test]
fn a_feature_that_takes_words_from_a_letter_is_found() {
    let folder = folder();
    let path = folder.path();
    write_model(path);
    write_sae_lens(&absorbing(), path.join("absorbing")).unwrap();
    let args = ["eval", "absorption", "--sae", "absorbing"];
    let found: Value =
        serde_json::from_str(&succeed(&mut command(path, &[&args[..], &["--json"]].concat())).0)
            .unwrap();
    check_layout(&found);
    assert_eq!(found["eval_type_id"], "absorption_first_letter");
    let letters = found["eval_result_details"].as_array().unwrap();
    assert!(letters.len() >= 60, "{}", letters.len());
    for letter in letters {
        let fraction = letter["mean_absorption_fraction"].as_f64().unwrap();
        let is_a = letter["first_letter"] == "a";
        assert!(if is_a { fraction <= 0.3 } else { fraction < 1e-9 }, "{letter}");
    }
    let of_a = letters.iter().filter(|letter| letter["first_letter"] == "a");
    let n_full: u64 = of_a.map(|letter| letter["num_full_absorption"].as_u64().unwrap()).sum();
    assert!(n_full > 0);
    let table = succeed(&mut command(path, &args)).0;
    assert!(table.contains("mean_absorption_fraction_score"), "{table}");
    assert!(table.contains("of 26 letters have a probe"), "{table}");
}

#[test]
fn a_model_that_knows_no_letters_has_no_result() {
    let folder = folder();
    let path = folder.path();
    let args = ["eval", "absorption", "--sae", "resid", "--seeds", "1"];
    let args = [&args[..], &["--max-texts", "400"]].concat();
    let said = refused(&mut command(path, &args));
    assert!(said.contains("of 26 letters have a probe with F1 above 0.6, and 20"), "{said}");
    let few = refused(&mut command(path, &[&args[..4], &["--max-texts", "50"]].concat()));
    assert!(few.contains("gives 50, at least 100 are needed"), "{few}");
}
