//! `sae` as a person calls it: train, look, convert, encode, and what is refused.

use std::fmt::Write as _;
use std::fs;

use attention_probes_activations::{NpzArray, read_npz, write_npz};
use attention_probes_sae::read_sae;
use serde_json::Value;

use crate::call::{command, refused, succeed};

const CONFIG: &str = r#"
run = "small"
[model]
name = "demo-gpt2"
[data]
path = "texts.jsonl"
context_size = 32
[train]
tokens = 6_000
batch_size = 200
buffer_batches = 3
checkpoint_every = 10
learning_rate = 3e-3
[[saes]]
name = "z"
hook = "blocks.1.attn.hook_z"
d_sae = 64
architecture = { name = "topk", k = 6 }
[[saes]]
name = "resid"
hook = "blocks.2.hook_resid_post"
d_sae = 64
architecture = { name = "standard", l1 = { value = 0.5 } }
"#;

/// A folder with a configuration and texts.
fn folder() -> tempfile::TempDir {
    let folder = tempfile::tempdir().unwrap();
    let animals = ["fox", "cat", "dog", "bird", "horse"];
    let mut lines = String::new();
    for i in 0..60 {
        let (a, b) = (animals[i % 5], animals[(i / 5 + 1) % 5]);
        let text = format!("The {a} ran to the {b} {i} times. \"Come,\" said the {a}.");
        writeln!(lines, "{}", serde_json::json!({ "text": text })).unwrap();
    }
    fs::write(folder.path().join("texts.jsonl"), lines).unwrap();
    fs::write(folder.path().join("run.toml"), CONFIG).unwrap();
    folder
}

#[test]
fn autoencoders_are_trained_looked_at_converted_and_used() {
    let folder = folder();
    let path = folder.path();
    let trained: Value =
        serde_json::from_str(&succeed(&mut command(path, &["train", "run.toml", "--json"])).0)
            .unwrap();
    let names: Vec<&str> = trained["saes"]
        .as_array()
        .unwrap()
        .iter()
        .map(|one| one["name"].as_str().unwrap())
        .collect();
    assert_eq!(names, ["z", "resid"]);
    let run = path.join("results/small/sae");
    assert!(!run.join("checkpoint.safetensors").exists());
    let history = fs::read_to_string(run.join("z/history.jsonl")).unwrap();
    let steps: Vec<u64> = history
        .lines()
        .map(|line| serde_json::from_str::<Value>(line).unwrap()["step"].as_u64().unwrap())
        .collect();
    assert_eq!(steps, (1..=30).collect::<Vec<_>>());

    let info = succeed(&mut command(path, &["info", "results/small/sae/z"])).0;
    for fact in ["SAELens", "topk", "blocks.1.attn.hook_z", "hook_z", "demo-gpt2"] {
        assert!(info.contains(fact), "{info}");
    }
    succeed(&mut command(
        path,
        &["convert", "results/small/sae/z", "--output", "half", "--dtype", "f16"],
    ));
    let (full, half) = (read_sae(run.join("z")).unwrap(), read_sae(path.join("half")).unwrap());
    for (a, b) in full.encoder.iter().zip(&half.encoder) {
        assert!((a - b).abs() <= a.abs() * 1e-3 + 1e-6);
    }
    let again =
        refused(&mut command(path, &["convert", "results/small/sae/z", "--output", "half"]));
    assert!(again.contains("holds an autoencoder already"), "{again}");

    let d_in = full.config.d_in;
    let x: Vec<f32> = (0..3 * d_in).map(|i| (i as f32 * 0.37).sin()).collect();
    let heads = 4;
    let array = NpzArray::new(vec![3, heads, d_in / heads], x.clone());
    write_npz(path.join("x.npz"), &[("x", array)]).unwrap();
    let args = ["encode", "--sae", "results/small/sae/z", "--activations", "x.npz"];
    let said = succeed(&mut command(
        path,
        &[&args[..], &["--output", "codes.npz", "--reconstruct"]].concat(),
    ))
    .0;
    assert!(said.starts_with("3 rows, "), "{said}");
    let mut codes = read_npz(path.join("codes.npz")).unwrap();
    let values = codes.remove("values").unwrap().data.into_f32().unwrap();
    let encoded = full.encode(&x).unwrap();
    assert_eq!(values, encoded.codes.rows().flat_map(|(_, v)| v.to_vec()).collect::<Vec<_>>());
    let reconstruction = codes.remove("reconstruction").unwrap();
    assert_eq!(reconstruction.shape, [3, heads, d_in / heads]);
    assert_eq!(reconstruction.data.into_f32().unwrap(), full.decode(&encoded));
    assert_eq!(codes["shape"].clone().data.into_i64().unwrap(), [3, 64]);

    let args = ["eval", "core", "--sae", "results/small/sae/z", "--data", "texts.jsonl"];
    let table = succeed(&mut command(path, &args)).0;
    assert!(table.contains("ce_loss_score") && table.contains("explained_variance_r2"), "{table}");
    succeed(&mut command(path, &[&args[..], &["--output", "core.json"]].concat()));
    let found: Value = serde_json::from_slice(&fs::read(path.join("core.json")).unwrap()).unwrap();
    assert_eq!(found["eval_type_id"], "core");
    let metrics = &found["eval_result_metrics"];
    let number = |category: &str, name: &str| metrics[category][name].as_f64().unwrap();
    assert!((number("sparsity", "l0") - 6.0).abs() < 0.5, "{metrics}");
    let lost = number("model_performance_preservation", "ce_loss_with_sae");
    assert!(lost >= 0.9 * number("model_performance_preservation", "ce_loss_without_sae"));

    for (name, part) in [("z", "Share of each head"), ("resid", "raises")] {
        let sae = format!("results/small/sae/{name}");
        let page = format!("{name}.html");
        succeed(&mut command(
            path,
            &["view", "--sae", &sae, "--data", "texts.jsonl", "--output", &page],
        ));
        let html = fs::read_to_string(path.join(&page)).unwrap();
        assert!(html.contains(part) && html.contains("blocks."), "{name}");
    }
}

#[test]
fn what_cannot_be_is_refused_in_one_line() {
    let folder = folder();
    let path = folder.path();
    let with = |from: &str, to: &str| {
        assert!(CONFIG.contains(from), "{from}");
        fs::write(path.join("bad.toml"), CONFIG.replacen(from, to, 1)).unwrap();
        refused(&mut command(path, &["train", "bad.toml"]))
    };
    assert!(with("context_size = 32", "context_size = 4000").contains("256 tokens at most"));
    assert!(with("d_sae = 64", "d_sae = 4").contains("`k` is 6, expected from 1 to"));
    assert!(with("attn.hook_z", "attn.hook_zz").contains("hook_z"));
    assert!(with("attn.hook_z", "attn.hook_pattern").contains("has no row for each token"));
    assert!(with("blocks.1", "blocks.9").contains('9'));
    assert!(with("texts.jsonl", "none.jsonl").contains("none.jsonl"));
    let caret = with("tokens = 6_000", "token = 6_000");
    assert!(caret.contains("unknown key `token`") && caret.contains('^'), "{caret}");

    succeed(&mut command(path, &["train", "run.toml", "--tokens", "400"]));
    let again = refused(&mut command(path, &["train", "run.toml"]));
    assert!(again.contains("holds a run already; go on with `--resume`"), "{again}");
    // A finished run is found again, and never written over.
    let weights = path.join("results/small/sae/z/sae_weights.safetensors");
    let before = fs::read(&weights).unwrap();
    let other = refused(&mut command(path, &["train", "run.toml", "--resume"]));
    assert!(other.contains("holds a run with other settings"), "{other}");
    assert_eq!(
        succeed(&mut command(path, &["train", "run.toml", "--tokens", "400", "--resume"])).0,
        ""
    );
    assert_eq!(fs::read(&weights).unwrap(), before);
    let none = refused(&mut command(path, &["info", "texts.jsonl"]));
    assert!(none.contains("is no sparse autoencoder"), "{none}");
    let sae = "results/small/sae/resid";
    let write = |shape: Vec<usize>, values: Vec<f32>| {
        write_npz(path.join("x.npz"), &[("x", NpzArray::new(shape, values))]).unwrap();
        let args = ["encode", "--sae", sae, "--activations", "x.npz", "--output", "y.npz"];
        refused(&mut command(path, &args))
    };
    let narrow = write(vec![2, 7], vec![0.5; 14]);
    assert!(narrow.contains("`x` is [2, 7], but the autoencoder reads rows of"), "{narrow}");
    let d_in = read_sae(path.join(sae)).unwrap().config.d_in;
    let mut values = vec![0.5; 2 * d_in];
    values[d_in + 1] = f32::NAN;
    assert!(write(vec![2, d_in], values).contains("NaN in row 1"));
    let args = ["view", "--sae", sae, "--data", "texts.jsonl", "--output", "v.html"];
    let other =
        refused(&mut command(path, &[&args[..], &["--hook", "blocks.1.attn.hook_z"]].concat()));
    assert!(other.contains("reads `blocks.2.hook_resid_post`, not"), "{other}");
}
