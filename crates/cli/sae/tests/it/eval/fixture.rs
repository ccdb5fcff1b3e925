//! A folder with autoencoders that were never trained, texts of two subjects, and activations.

use std::fmt::Write as _;
use std::fs;
use std::path::Path;

use attention_probes_activations::{NpzArray, write_npz};
use attention_probes_sae::{Sae, SaeActivation, SaeConfig, write_sae_lens};
use serde_json::{Value, json};

/// Width of the demo model's activations.
const D_MODEL: usize = 160;

/// A folder with `resid`, an autoencoder of the demo model, `four`, one of rows of four numbers,
/// `texts.jsonl`, and `x.npz`.
pub(crate) fn folder() -> tempfile::TempDir {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path();
    let mut resid = drawn(D_MODEL, 128);
    resid.config.metadata.set("model_name", "demo-gpt2");
    resid.config.metadata.set("hook_name", "blocks.1.hook_resid_post");
    resid.config.metadata.set("context_size", 16);
    write_sae_lens(&resid, path.join("resid")).unwrap();
    write_sae_lens(&identity(4), path.join("four")).unwrap();
    write_texts(path);
    write_activations(path);
    folder
}

/// `f = max(x, 0)`, decoded as `f`.
pub(crate) fn identity(d: usize) -> Sae {
    let unit = |i: usize| if i.is_multiple_of(d + 1) { 1.0 } else { 0.0 };
    let matrix: Vec<f32> = (0..d * d).map(unit).collect();
    Sae {
        config: SaeConfig::new(d, d),
        activation: SaeActivation::Standard { b_enc: vec![0.0; d] },
        encoder: matrix.clone(),
        decoder: matrix,
        b_dec: vec![0.0; d],
    }
}

/// Features in directions that nothing chose.
fn drawn(d_in: usize, d_sae: usize) -> Sae {
    let wave = |i: usize| (i as f32 * 12.9898).sin() * 43_758.547;
    let weight = |i: usize| wave(i) - wave(i).floor() - 0.5;
    let encoder: Vec<f32> = (0..d_in * d_sae).map(|i| weight(i) * 0.1).collect();
    let decoder = encoder.clone();
    let b_enc = vec![0.0; d_sae];
    Sae {
        config: SaeConfig::new(d_in, d_sae),
        activation: SaeActivation::TopK { b_enc, k: 16, rescale_acts_by_decoder_norm: false },
        encoder,
        decoder,
        b_dec: vec![0.0; d_in],
    }
}

/// Texts about a garden or the sea, told or asked, and of a rare third subject.
fn write_texts(folder: &Path) {
    let garden = ["the flowers", "the tree", "the grass", "the garden", "the roses"];
    let sea = ["the water", "the river", "the boat", "the bank", "the fish"];
    let mut lines = String::new();
    for i in 0..160 {
        let (subject, words) = if i % 2 == 0 { ("garden", garden) } else { ("sea", sea) };
        let (a, b) = (words[i / 4 % 5], words[(i / 20 + 1) % 5]);
        let (form, text) = if i % 4 < 2 {
            ("told", format!("There was {a} and {b}, and all day long they saw {a} there."))
        } else {
            ("asked", format!("'Where is {a}?' said she. 'Is it by {b}? Do you see {a}?'"))
        };
        let row = json!({ "text": text, "subject": subject, "form": form, "all": "one" });
        writeln!(lines, "{row}").unwrap();
    }
    let rare = json!({ "text": "A clock.", "subject": "house", "form": "told", "all": "one" });
    fs::write(folder.join("texts.jsonl"), &lines).unwrap();
    writeln!(lines, "{rare}").unwrap();
    fs::write(folder.join("rare.jsonl"), lines).unwrap();
}

/// Two classes of ragged examples, each with a number of its own; in both the last one is noise.
fn write_activations(folder: &Path) {
    let (n, pos, d) = (400, 3, 4);
    let (mut x, mut mask) = (Vec::new(), Vec::new());
    for i in 0..n {
        for at in 0..pos {
            mask.push(u8::from(at <= i % pos));
            for j in 0..d {
                let noise = ((i * 7 + at * 5 + j * 3) % 11) as f32 / 40.0;
                x.push(if j == i % 2 { 2.0 + noise } else { noise });
            }
        }
    }
    let y: Vec<i64> = (0..n as i64).map(|i| i % 2).collect();
    let arrays = [
        ("x", NpzArray::new(vec![n, pos, d], x)),
        ("mask", NpzArray::new(vec![n, pos], mask)),
        ("y", NpzArray::new(vec![n], y)),
    ];
    write_npz(folder.join("x.npz"), &arrays).unwrap();
    write_npz(folder.join("no_y.npz"), &arrays[..2]).unwrap();
}

/// Refuses an object that has not the fields of `SAEBench`'s file.
pub(crate) fn check_layout(found: &Value) {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../sae/tests/golden/saebench");
    let layouts: Value =
        serde_json::from_slice(&fs::read(path.join("layout.json")).unwrap()).unwrap();
    let layout = &layouts[found["eval_type_id"].as_str().unwrap()];
    check_fields(found, layout, "the result");
}

fn check_fields(found: &Value, layout: &Value, at: &str) {
    match (found, layout) {
        (Value::Object(found), Value::Object(layout)) => {
            let field = |key: &str| layout.get(key).or_else(|| layout.get(&format!("{key}?")));
            for (key, value) in found {
                let layout = field(key).unwrap_or_else(|| panic!("{at} has `{key}`"));
                check_fields(value, layout, &format!("{at}.{key}"));
            }
            for key in layout.keys().filter(|key| !key.ends_with('?')) {
                assert!(found.contains_key(key), "{at} lacks `{key}`");
            }
        }
        (Value::Array(found), Value::Array(layout)) => {
            for one in found {
                check_fields(one, &layout[0], at);
            }
        }
        (value, Value::String(types)) => {
            let is = |name: &str| match name {
                "any" => true,
                "null" => value.is_null(),
                "string" => value.is_string(),
                "boolean" => value.is_boolean(),
                "integer" => value.is_u64() || value.is_i64(),
                "number" => value.is_number(),
                _ => value.is_object(),
            };
            assert!(types.split('|').any(is), "{at} is {value}, expected {types}");
        }
        _ => panic!("{at} is {found}, expected {layout}"),
    }
}
