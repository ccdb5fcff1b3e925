//! Published autoencoders that were read wrongly, or whose error named no file.

use std::fs;
use std::path::Path;

use attention_probes_activations::{NpzArray, read_npz, write_npz};
use attention_probes_sae::write_sae_lens;
use half::bf16;
use safetensors::Dtype;
use safetensors::tensor::TensorView;
use serde_json::{Value, json};

use super::folder;
use crate::along_the_mean::along_the_mean;
use crate::call::{command, refused_in_a_line, succeed};

/// Writes an autoencoder with one field of its metadata changed.
fn with_metadata(folder: &Path, key: &str, value: Value) {
    let mut sae = along_the_mean();
    sae.config.metadata.set(key, value);
    write_sae_lens(&sae, folder).unwrap();
}

/// Active features of a token, as `sae eval` counts them.
fn l0(folder: &Path, sae: &str) -> f64 {
    let args = ["eval", "core", "--sae", sae, "--data", "texts.csv", "--json"];
    let found: Value = serde_json::from_str(&succeed(&mut command(folder, &args)).0).unwrap();
    found["eval_result_metrics"]["sparsity"]["l0"].as_f64().unwrap()
}

#[test]
fn what_is_no_autoencoder_of_a_layer_is_refused_by_name() {
    let folder = folder();
    for (collection, layer, what) in [
        ("gemma-scope-2b-pt-transcoders", "layer_5", "is a transcoder"),
        ("gemma-scope-2b-pt-res", "embedding", "is an autoencoder of embeddings"),
    ] {
        let path = format!("{collection}/{layer}/width_16k/average_l0_41");
        fs::create_dir_all(folder.path().join(&path)).unwrap();
        let array =
            |shape: &[usize]| NpzArray::new(shape.to_vec(), vec![0.5_f32; shape.iter().product()]);
        let arrays = [
            ("W_enc", array(&[4, 6])),
            ("W_dec", array(&[6, 4])),
            ("b_enc", array(&[6])),
            ("b_dec", array(&[4])),
            ("threshold", array(&[6])),
        ];
        write_npz(folder.path().join(&path).join("params.npz"), &arrays).unwrap();
        let error = refused_in_a_line(&mut command(folder.path(), &["info", &path]));
        assert!(error.contains(&path) && error.contains(what), "{error}");
        let moved = path.replace(collection, "gemma-scope-2b-pt-mlp").replace(layer, "layer_5");
        fs::create_dir_all(folder.path().join(&moved)).unwrap();
        write_npz(folder.path().join(&moved).join("params.npz"), &arrays).unwrap();
        let info = succeed(&mut command(folder.path(), &["info", &moved])).0;
        assert!(info.contains("blocks.5.hook_mlp_out"), "{info}");
    }
}

#[test]
fn centred_weights_are_followed_and_other_processing_is_refused() {
    let folder = folder();
    let path = folder.path();
    for (name, key, value) in [
        ("raw", "center_writing_weights", false),
        ("centred", "center_writing_weights", true),
        ("folded", "fold_value_biases", true),
    ] {
        let kwargs = json!({ key: value });
        with_metadata(&path.join(name), "model_from_pretrained_kwargs", kwargs);
    }
    assert!(l0(path, "raw") > 0.5, "the features look along the mean of the stream");
    // What is left of a mean that was taken away is rounding, below their bias.
    assert!(l0(path, "centred") < 1e-9);
    let eval = ["eval", "core", "--sae", "folded", "--data", "texts.csv"];
    let error = refused_in_a_line(&mut command(path, &eval));
    assert!(
        error.contains("`folded`: `model_from_pretrained_kwargs.fold_value_biases`"),
        "{error}"
    );
}

#[test]
fn one_head_and_positions_are_refused_or_said() {
    let folder = folder();
    let path = folder.path();
    with_metadata(&path.join("head"), "hook_head_index", json!(3));
    with_metadata(&path.join("slice"), "seqpos_slice", json!([10, null]));
    with_metadata(&path.join("all"), "seqpos_slice", json!([null]));
    for args in [
        &["eval", "core", "--sae", "head", "--data", "texts.csv"][..],
        &["view", "--sae", "head", "--data", "texts.csv", "--output", "v.html"],
    ] {
        let error = refused_in_a_line(&mut command(path, args));
        assert!(error.contains("`head`: `hook_head_index` is 3"), "{error}");
        assert!(error.contains("blocks.2.hook_resid_pre"), "{error}");
    }
    let of = |sae: &str| {
        succeed(&mut command(path, &["eval", "core", "--sae", sae, "--data", "texts.csv"])).1
    };
    assert!(of("slice").contains("`seqpos_slice` is [10,null]"));
    assert!(!of("all").contains("seqpos_slice"));
    // Any other width names the hook as well.
    let mut sae = along_the_mean();
    sae.config.metadata.set("hook_name", "blocks.2.mlp.hook_post");
    write_sae_lens(&sae, path.join("narrow")).unwrap();
    let error = refused_in_a_line(&mut command(
        path,
        &["eval", "core", "--sae", "narrow", "--data", "texts.csv"],
    ));
    assert!(error.contains("rows of 160, not `blocks.2.mlp.hook_post`"), "{error}");
}

#[test]
fn a_context_without_room_for_a_token_is_refused_with_the_file() {
    let folder = folder();
    let path = folder.path();
    for (name, size) in [("zero", json!(0)), ("one", json!(1)), ("less", json!(-1))] {
        with_metadata(&path.join(name), "context_size", size.clone());
        let eval = ["eval", "core", "--sae", name, "--data", "texts.csv"];
        let view = ["view", "--sae", name, "--data", "texts.csv", "--output", "v.html"];
        for args in [&eval[..], &view] {
            let error = refused_in_a_line(&mut command(path, args));
            assert!(error.contains(&format!("`{name}`: `context_size` is {size}")), "{error}");
        }
    }
    with_metadata(&path.join("none"), "context_size", Value::Null);
    let said =
        succeed(&mut command(path, &["eval", "core", "--sae", "none", "--data", "texts.csv"])).1;
    assert!(said.contains("names no `context_size`: contexts have 128 tokens"), "{said}");
    with_metadata(&path.join("long"), "context_size", json!(1024));
    let said =
        succeed(&mut command(path, &["eval", "core", "--sae", "long", "--data", "texts.csv"])).1;
    assert!(said.contains("contexts have 256 tokens"), "{said}");
}

#[test]
fn a_scale_that_is_in_no_file_is_warned_of() {
    let folder = folder();
    let path = folder.path();
    let mut sae = along_the_mean();
    sae.config.normalize_activations = attention_probes_sae::Normalization::ExpectedAverageOnlyIn;
    write_sae_lens(&sae, path.join("unfolded")).unwrap();
    let x = NpzArray::new(vec![2, 160], vec![0.5_f32; 320]);
    write_npz(path.join("x.npz"), &[("x", x)]).unwrap();
    let encode = ["encode", "--sae", "unfolded", "--activations", "x.npz", "--output", "o.npz"];
    for args in [
        &encode[..],
        &["eval", "core", "--sae", "unfolded", "--data", "texts.csv"],
        &["convert", "unfolded", "--output", "converted"],
    ] {
        let said = succeed(&mut command(path, args)).1;
        assert!(said.contains("a factor that is in no file"), "{args:?}: {said}");
    }
}

#[test]
fn arrays_of_two_types_are_read_and_written_the_same_way_every_time() {
    let folder = folder();
    let path = folder.path();
    let (d_in, d_sae) = (8, 16);
    let wave = |n: usize| (0..n).map(|i| ((i * 7 % 13) as f32 - 6.0) / 8.0).collect::<Vec<_>>();
    // Between two numbers of bfloat16, so that rounding it is seen.
    let threshold: Vec<f32> = (0..d_sae).map(|i| 0.1 + i as f32 * 1e-4).collect();
    let narrow = |values: Vec<f32>| -> Vec<u8> {
        values.into_iter().flat_map(|x| bf16::from_f32(x).to_le_bytes()).collect()
    };
    let wide: Vec<u8> = threshold.iter().flat_map(|x| x.to_le_bytes()).collect();
    let arrays = [
        ("W_enc", vec![d_in, d_sae], Dtype::BF16, narrow(wave(d_in * d_sae))),
        ("W_dec", vec![d_sae, d_in], Dtype::BF16, narrow(wave(d_in * d_sae))),
        ("b_enc", vec![d_sae], Dtype::BF16, narrow(vec![0.0; d_sae])),
        ("b_dec", vec![d_in], Dtype::BF16, narrow(vec![0.0; d_in])),
        ("threshold", vec![d_sae], Dtype::F32, wide),
    ];
    let views = arrays.iter().map(|(name, shape, dtype, bytes)| {
        (*name, TensorView::new(*dtype, shape.clone(), bytes).unwrap())
    });
    fs::create_dir(path.join("mixed")).unwrap();
    let bytes = safetensors::serialize(views, None).unwrap();
    fs::write(path.join("mixed/sae_weights.safetensors"), bytes).unwrap();
    let config = json!({
        "architecture": "jumprelu", "d_in": d_in, "d_sae": d_sae, "dtype": "bfloat16",
        "metadata": { "sae_lens_version": "6.54.12" },
    });
    fs::write(path.join("mixed/cfg.json"), config.to_string()).unwrap();
    let x = NpzArray::new(vec![20, d_in], wave(20 * d_in));
    write_npz(path.join("x.npz"), &[("x", x)]).unwrap();
    let encoded = |sae: &str| {
        let output = format!("{sae}.npz");
        let args = ["encode", "--sae", sae, "--activations", "x.npz", "--output", &output];
        succeed(&mut command(path, &args));
        read_npz(path.join(output)).unwrap()
    };
    let expected = encoded("mixed");
    let mut written: Vec<Vec<u8>> = Vec::new();
    for i in 0..8 {
        let output = format!("converted{i}");
        succeed(&mut command(path, &["convert", "mixed", "--output", &output]));
        written.push(fs::read(path.join(output).join("sae_weights.safetensors")).unwrap());
        let info = succeed(&mut command(path, &["info", "mixed", "--json"])).0;
        let info: Value = serde_json::from_str(&info).unwrap();
        assert_eq!(info["dtype"]["threshold"], "float32");
        assert_eq!(info["dtype"]["W_enc"], "bfloat16");
    }
    assert!(written.windows(2).all(|two| two[0] == two[1]));
    assert_eq!(encoded("converted0"), expected);
}

#[test]
fn a_pickle_of_protocol_4_is_read() {
    // Written by `torch.save` with `pickle_protocol=4`, as the README beside it says.
    let origin = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/it/faults/torch_protocol_4");
    let info = succeed(&mut command(&origin, &["info", "."])).0;
    assert!(info.contains("dictionary_learning"), "{info}");
}
