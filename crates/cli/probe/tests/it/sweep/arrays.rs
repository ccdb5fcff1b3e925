//! Activations as data: what `probe extract` writes is swept as its texts, and arrays of others as
//! what they say they are.

use std::collections::BTreeMap;
use std::fs;

use attention_probes_activations::{NpzArray, NpzData, read_npz, write_npz};
use serde_json::{Value, json};

use crate::call;
use crate::sweep::folder::{Folder, RUN, best};

/// Arrays of every saved probe of an experiment, without what is said about them.
fn trained(folder: &Folder, experiment: &str) -> BTreeMap<String, BTreeMap<String, NpzArray>> {
    let names = folder.tree(&format!("{RUN}/{experiment}/trained")).into_keys();
    let states = names.filter(|name| name.ends_with("_state.npz"));
    states
        .map(|name| {
            let path = folder.path(RUN).join(experiment).join("trained").join(&name);
            let mut arrays = read_npz(path).unwrap();
            arrays.remove("metadata");
            (name, arrays)
        })
        .collect()
}

/// What the chosen probe of an experiment says about itself.
fn metadata(folder: &Folder, experiment: &str) -> Value {
    let report = best(folder, experiment);
    let file = report["architectures"][0]["file"].as_str().unwrap();
    let path = folder.path(RUN).join(experiment).join("trained").join(file);
    let NpzData::U8(json) = read_npz(path).unwrap().remove("metadata").unwrap().data else {
        panic!("bytes");
    };
    serde_json::from_slice(&json).unwrap()
}

fn largest_difference(a: &NpzArray, b: &NpzArray) -> f32 {
    let [a, b] = [a, b].map(|array| array.data.clone().into_f32().unwrap());
    a.iter().zip(&b).fold(0.0, |largest, (a, b)| (a - b).abs().max(largest))
}

#[test]
fn what_extract_writes_is_swept_as_the_texts_it_was_made_from() {
    let texts = Folder::with(&[("layers = [1]", "layers = [1, 3]")]);
    texts.succeed(&[]);
    let places = ["L01-resid_post", "L03-resid_post"];
    let mut of_folder = None;
    for output in ["acts", "acts.npz", "acts.safetensors"] {
        let path = format!("name = \"acts\"\npath = \"{output}\"");
        let folder = Folder::with(&[("path = \"data.csv\"", &path), ("layers = [1]", "")]);
        let hooks = "blocks.1.hook_resid_post,blocks.3.hook_resid_post,ln_final.hook_scale";
        let args = ["extract", "--model", "demo-gpt2", "--data", "data.csv", "--hooks", hooks];
        let args = [&args[..], &["--output", output, "--max-tokens", "64"]].concat();
        call::succeed(&mut call::command(&folder.path(""), &args));
        let (_, stderr) = folder.succeed(&[]);
        assert!(stderr.contains("a layer that is asked for: ln_final.hook_scale"), "{stderr}");
        for place in places {
            let found = best(&folder, &format!("acts-{place}"));
            let expected = best(&texts, &format!("data-{place}"));
            for key in [
                "layer",
                "component",
                "classes",
                "n_train",
                "n_validation",
                "n_test",
                "n_skipped",
                "baselines",
            ] {
                assert_eq!(found[key], expected[key], "{output} {place} {key}");
            }
            let [a, b] = [&found, &expected].map(|report| &report["architectures"][0]);
            assert_eq!(a["file"], b["file"]);
            let [a, b] = [a, b].map(|report| report["test"]["log_loss"].as_f64().unwrap());
            assert!((a - b).abs() < 1e-3, "{output} {place}: {a} and {b}");
            // Rows of a text differ in their last bits by what it is batched with.
            let pairs = trained(&texts, &format!("data-{place}"));
            for (name, arrays) in trained(&folder, &format!("acts-{place}")) {
                for (array, values) in arrays {
                    let difference = largest_difference(&values, &pairs[&name][&array]);
                    assert!(difference < 1e-3, "{output} {name} {array}: {difference}");
                }
            }
            let [found, expected] = [(&folder, "acts"), (&texts, "data")]
                .map(|(folder, data)| metadata(folder, &format!("{data}-{place}")));
            for key in ["model", "layer", "component", "convention", "task", "class_names"] {
                assert_eq!(found[key], expected[key], "{output} {place} {key}");
            }
            assert_eq!(found["max_tokens"], 64);
        }
        // The three forms hold the same numbers, so they train the same probes.
        let all = places.map(|place| trained(&folder, &format!("acts-{place}")));
        assert_eq!(*of_folder.get_or_insert_with(|| all.clone()), all, "{output}");

        // The probe knows its model and layer, so texts need no flag.
        let report = best(&folder, "acts-L03-resid_post");
        let file = report["architectures"][0]["file"].as_str().unwrap();
        let probe = format!("{RUN}/acts-L03-resid_post/trained/{file}");
        let args = ["score", "--probe", &probe, "--data", "data.csv", "--no-tokens"];
        let (lines, _) = call::succeed(&mut call::command(&folder.path(""), &args));
        assert_eq!(lines.lines().count(), 60);
        assert!(!lines.contains("error"), "{lines}");
        // The configuration beside the results names the hook, and is a whole one.
        let kept = folder.path(RUN).join("acts-L03-resid_post/config.toml");
        let kept = fs::read_to_string(kept).unwrap();
        assert!(kept.contains("hook = \"blocks.3.hook_resid_post\""), "{kept}");
    }
}

#[test]
fn one_hook_or_joined_layers_are_swept_if_that_is_asked_for() {
    let with = |keys: &str, activations: &str| {
        let path = format!("path = \"acts\"\n{keys}");
        let folder = Folder::with(&[("path = \"data.csv\"", &path), ("layers = [1]", activations)]);
        let hooks = "blocks.0.hook_resid_post,blocks.2.hook_resid_post,blocks.0.attn.hook_z";
        let args = ["extract", "--model", "demo-gpt2", "--data", "data.csv", "--hooks", hooks];
        let args = [&args[..], &["--output", "acts"]].concat();
        call::succeed(&mut call::command(&folder.path(""), &args));
        folder
    };
    let experiments = |folder: &Folder| {
        let files = folder.tree(RUN).into_keys();
        let ends = files.filter_map(|name| name.strip_suffix("/best.json").map(str::to_owned));
        ends.collect::<Vec<_>>()
    };
    let folder = with("hook = \"blocks.2.hook_resid_post\"", "");
    folder.succeed(&[]);
    assert_eq!(experiments(&folder), ["acts-L02-resid_post"]);
    let folder = with("", "concat = true");
    folder.succeed(&[]);
    assert_eq!(experiments(&folder), ["acts-L00+L02-resid_post", "acts-L00-z"]);
    assert_eq!(metadata(&folder, "acts-L00+L02-resid_post")["layers"], json!([0, 2]));
    let folder = with("", "layers = [0]");
    folder.succeed(&[]);
    assert_eq!(experiments(&folder), ["acts-L00-resid_post", "acts-L00-z"]);
    let folder = with("", "layers = [0, 3]");
    let stderr = folder.refused(&[]);
    assert!(stderr.contains("`activations.layers` has 3, but `"), "{stderr}");
    assert!(stderr.contains("acts` has layers [0, 2]"), "{stderr}");
    let folder = with("hook = \"blocks.1.hook_resid_post\"", "");
    assert!(folder.refused(&[]).contains("has no hook `blocks.1.hook_resid_post`; hooks: "));

    // Held out from another model: no word of it would make the figures of nothing.
    let folder = with("test = \"other\"", "");
    let hooks = "blocks.0.hook_resid_post,blocks.2.hook_resid_post,blocks.0.attn.hook_z";
    let args = ["extract", "--model", "demo-gemma", "--data", "data.csv", "--hooks", hooks];
    call::succeed(&mut call::command(
        &folder.path(""),
        &[&args[..], &["--output", "other"]].concat(),
    ));
    let stderr = folder.refused(&[]);
    assert!(stderr.contains("other` has activations of the model `"), "{stderr}");
}

/// 40 rows of one token, of which one layer tells the classes apart.
fn layers(seed: usize, tells: bool) -> NpzArray {
    let value = |row: usize, d: usize| {
        let noise = ((row * 31 + d * 17 + seed * 7) % 13) as f32 / 13.0 - 0.5;
        if tells && d == 0 { noise + 3.0 * (row % 2) as f32 } else { noise }
    };
    let x: Vec<f32> = (0..40).flat_map(|row| (0..5).map(move |d| value(row, d))).collect();
    NpzArray::new(vec![40, 5], x)
}

fn text(values: impl IntoIterator<Item = &'static str>) -> NpzArray {
    let values: Vec<String> = values.into_iter().map(str::to_owned).collect();
    NpzArray::new(vec![values.len()], values)
}

#[test]
fn layers_and_classes_of_others_are_what_they_are_called() {
    let folder = Folder::with(&[
        ("path = \"data.csv\"", "path = \"acts.npz\""),
        ("layers = [1]", ""),
        ("epochs = 3", "epochs = 40"),
        ("path = \"acts.npz\"", "path = \"acts.npz\"\ntest = 0.3"),
    ]);
    // One row has no number at one layer, and is left out at both.
    let mut lower = layers(1, false);
    let NpzData::F32(values) = &mut lower.data else { panic!("floats") };
    values[5 * 7] = f32::NAN;
    let ids = (0..40_i64).map(|row| 100 + row % 2).collect::<Vec<_>>();
    let arrays = [
        ("x.4", lower),
        ("x.12", layers(2, true)),
        ("y", text((0..40).map(|row| ["no", "yes"][row % 2]))),
        ("class_names", text(["yes", "no"])),
        ("input_ids", NpzArray::new(vec![40], ids)),
        ("model", NpzArray::new(vec![], vec!["org/llama".to_owned()])),
    ];
    write_npz(folder.path("acts.npz"), &arrays).unwrap();
    folder.succeed(&[]);
    let reports = ["acts-L04-resid_post", "acts-L12-resid_post"].map(|name| best(&folder, name));
    for report in &reports {
        assert_eq!(report["classes"], json!(["yes", "no"]));
        assert_eq!(report["n_skipped"], 1);
        let bag = &report["baselines"]["bag_of_words"]["balanced_accuracy"];
        assert_eq!(*bag, 1.0, "the token tells the class");
    }
    let of =
        |report: &Value| report["architectures"][0]["test"]["balanced_accuracy"].as_f64().unwrap();
    assert!(of(&reports[1]) > 0.9 && of(&reports[1]) > of(&reports[0]), "{reports:?}");
    let metadata = metadata(&folder, "acts-L12-resid_post");
    assert_eq!((&metadata["model"]["name"], &metadata["layer"]), (&json!("org/llama"), &json!(12)));

    // The page has one curve over the layers, not two data sets.
    let page = fs::read_to_string(folder.path("results/small/report.html")).unwrap();
    assert!(page.contains("acts") && !page.contains("acts-L04-resid_post\",\"name"), "{page}");
}

#[test]
fn numbers_in_y_are_learned_as_numbers() {
    let folder = Folder::with(&[
        ("path = \"data.csv\"", "path = \"acts.npz\""),
        ("[sweep]", "[[architectures]]\nname = \"linear\"\n\n[sweep]"),
    ]);
    let x = layers(3, true);
    let NpzData::F32(values) = &x.data else { panic!("floats") };
    let y: Vec<f64> = values.chunks(5).map(|row| f64::from(row[0]) * 1.5 + 0.25).collect();
    let write = |y: NpzArray| {
        write_npz(folder.path("acts.npz"), &[("x", x.clone()), ("y", y)]).unwrap();
    };
    write(NpzArray::new(vec![40, 1], y));
    folder.succeed(&[]);
    let report = best(&folder, "acts");
    assert_eq!(report["label_kind"], "number");
    let share = report["probes"][0]["test"]["number"]["r_squared"].as_f64().unwrap();
    assert!(share > 0.999, "{share}");
    // Floats that are integers are classes.
    write(NpzArray::new(vec![40], (0..40).map(|row| f64::from(row % 2)).collect::<Vec<_>>()));
    folder.succeed(&["--run-name", "classes"]);
    let path = folder.path("results/classes/seed_42/acts/best.json");
    let report: Value = serde_json::from_slice(&fs::read(path).unwrap()).unwrap();
    assert_eq!(report["classes"], json!(["0", "1"]));

    write(NpzArray::new(vec![40], vec![0_i64; 40]));
    let x = NpzArray::new(vec![40, 2], (0..80).collect::<Vec<i32>>());
    let y = NpzArray::new(vec![40], (0..40).map(|row| row % 2).collect::<Vec<i64>>());
    write_npz(folder.path("acts.npz"), &[("x", x), ("y", y)]).unwrap();
    let stderr = folder.refused(&["--run-name", "integers"]);
    assert!(stderr.contains("holds int32, expected float16, float32, or float64"), "{stderr}");
}
