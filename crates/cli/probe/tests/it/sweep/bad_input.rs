//! Wrong input: one line that helps, exit code 2, and nothing lost.

use std::fs;
use std::path::Path;

use attention_probes_activations::{NpzArray, write_npz};
use serde_json::Value;

use crate::call;
use crate::sweep::folder::{Folder, reviews};

/// Runs a sweep that must be refused, without logs; returns the message after `error: `.
///
/// Nothing may be on stdout, and no results folder may be there afterwards that was not before.
fn refused(folder: &Folder, args: &[&str]) -> String {
    let message = refused_in_lines(folder, args);
    assert_eq!(message.lines().count(), 1, "{message}");
    message
}

/// As [`refused`], for messages that show lines of a configuration.
fn refused_in_lines(folder: &Folder, args: &[&str]) -> String {
    let before = folder.tree("results/small");
    let stderr = call::refused(folder.command(args).env("RUST_LOG", "off"));
    assert_eq!(folder.tree("results/small"), before, "a refused run changes nothing");
    let message = stderr.strip_prefix("error: ").unwrap_or_else(|| panic!("{stderr}"));
    message.trim_end_matches('\n').to_owned()
}

/// Runs a sweep whose data set alone is wrong, then with the data mended: nothing is in the way.
fn refused_data(folder: &Folder) -> String {
    let message = refused(folder, &[]);
    folder.write("data.csv", reviews());
    folder.succeed(&["--dry-run"]);
    message
}

pub(crate) fn assert_has(message: &str, parts: &[&str]) {
    for part in parts {
        assert!(message.contains(part), "`{part}` is not in: {message}");
    }
}

fn labelled(label: impl Fn(usize) -> String) -> String {
    let rows = (0..20).map(|i| format!("text number {i},{}\n", label(i)));
    std::iter::once("text,label\n".to_owned()).chain(rows).collect()
}

#[test]
fn a_missing_configuration_is_named() {
    let folder = Folder::new();
    fs::remove_file(folder.path("sweep.toml")).unwrap();
    assert_has(&refused(&folder, &[]), &["cannot read `sweep.toml`: there is no such file"]);
}

#[test]
fn what_other_programs_take_is_refused_with_what_this_one_takes() {
    let folder = Folder::new();
    let stderr = call::refused(&mut folder.command(&["--model_dtype", "f16"]));
    assert!(stderr.contains("'--model_dtype' found") && stderr.contains("'--dtype'"), "{stderr}");
    folder.write("sweep.toml", "model:\n  name: demo-gpt2\n");
    assert_has(&refused_in_lines(&folder, &[]), &["this is YAML, and a configuration is TOML"]);
}

#[test]
fn a_missing_data_file_is_named() {
    let folder = Folder::with(&[("data.csv", "dota.csv")]);
    assert_has(&refused(&folder, &[]), &["cannot read `dota.csv`: there is no such file"]);
    assert_has(&refused(&folder, &["--dry-run"]), &["cannot read `dota.csv`"]);
}

#[test]
fn a_wrong_column_is_named_beside_the_near_one() {
    let folder = Folder::new();
    folder.write("data.csv", reviews().replacen("text,label", "text,labels", 1));
    assert_has(
        &refused_data(&folder),
        &["`data.csv` line 1 has no column `label`", "did you mean `labels`?"],
    );
}

#[test]
fn one_class_alone_is_refused() {
    let folder = Folder::new();
    folder.write("data.csv", labelled(|_| "yes".to_owned()));
    assert_has(&refused_data(&folder), &["`data.csv` is `yes`", "at least two classes"]);
}

#[test]
fn a_class_with_a_line_break_in_its_name_stays_on_one_line() {
    let folder = Folder::new();
    folder.write("data.csv", labelled(|_| "\"a\nb\u{1b}[31m\"".to_owned()));
    let message = refused_data(&folder);
    assert!(!message.contains('\u{1b}'), "{message}");
}

#[test]
fn texts_that_are_all_empty_are_refused() {
    let folder = Folder::new();
    folder.write("data.csv", "text,label\n,a\n  ,b\n");
    assert_has(&refused_data(&folder), &["`data.csv` has no text: 2 rows", "text column?"]);
}

#[test]
fn an_empty_text_among_others_is_skipped_and_noted() {
    let folder = Folder::new();
    folder.write("data.csv", format!("{} ,liked\n\"\",disliked\n", reviews()));
    let (stdout, stderr) = folder.succeed(&["--json"]);
    assert_has(&stderr, &["`data`: 2 empty texts skipped"]);
    let report: Value = serde_json::from_str(&stdout).unwrap();
    let of_side = |side: &str| report["experiments"][0][side].as_u64().unwrap();
    assert_eq!(of_side("n_train") + of_side("n_validation") + of_side("n_test"), 60);
}

#[test]
fn a_label_of_the_wrong_type_is_named_with_its_line() {
    let folder = Folder::with(&[("data.csv", "data.jsonl")]);
    folder.write("data.jsonl", "{\"text\":\"a\",\"label\":1}\n{\"text\":\"b\",\"label\":[1]}\n");
    assert_has(
        &refused(&folder, &[]),
        &["`data.jsonl` line 2: column `label` holds an array", "expected a string, an integer"],
    );
    folder.write("data.jsonl", "{\"text\":\"a\",\"label\":1}\n{\"text\":\"b\"\n");
    assert_has(&refused(&folder, &[]), &["`data.jsonl` line 2 is not a JSON object"]);
}

#[test]
fn a_text_longer_than_the_context_is_cut_and_noted() {
    let folder = Folder::with(&[("validation = 0.2", "validation = 0.2\nmax_tokens = 100000")]);
    folder.write("data.csv", format!("{}{},liked\n", reviews(), "a long day ".repeat(400)));
    let (_, stderr) = folder.succeed(&[]);
    assert_has(&stderr, &["`data`: 1 texts cut to 256 tokens"]);
}

#[test]
fn a_file_that_is_no_data_file_by_its_name_is_refused() {
    let folder = Folder::with(&[("data.csv", "data.xlsx")]);
    folder.write("data.xlsx", "PAR1");
    assert_has(
        &refused(&folder, &[]),
        &["`data.xlsx`", "expected .csv, .tsv, .jsonl, or .parquet"],
    );
}

/// A folder whose data are activations, which are fine.
fn with_activations() -> Folder {
    let folder = Folder::with(&[("data.csv", "acts.npz")]);
    let x: Vec<f32> = (0..20 * 2 * 3_u8).map(f32::from).collect();
    let y: Vec<i64> = (0..20).map(|example| example % 2).collect();
    let arrays = [
        ("x", NpzArray::new(vec![20, 2, 3], x)),
        ("mask", NpzArray::new(vec![20, 2], vec![true; 40])),
        ("y", NpzArray::new(vec![20], y)),
    ];
    write_npz(folder.path("acts.npz"), &arrays).unwrap();
    folder.succeed(&["--dry-run"]);
    folder
}

#[test]
fn an_npz_that_ends_early_is_refused_wherever_it_ends() {
    let folder = with_activations();
    let whole = fs::read(folder.path("acts.npz")).unwrap();
    for length in [0, 1, 100, whole.len() / 2, whole.len() - 1] {
        folder.write("acts.npz", &whole[..length]);
        assert_has(&refused(&folder, &[]), &["`acts.npz` is not a readable npz archive"]);
    }
}

#[test]
fn a_corrupt_npz_is_refused() {
    let folder = with_activations();
    let whole = fs::read(folder.path("acts.npz")).unwrap();
    // A byte of the values of `x`: only the checksum of the entry tells.
    let mut bytes = whole.clone();
    bytes[300] ^= 0x40;
    folder.write("acts.npz", &bytes);
    assert_has(&refused(&folder, &[]), &["`acts.npz`", "array `x`", "damaged"]);
    folder.write("acts.npz", "these are no activations");
    assert_has(&refused(&folder, &[]), &["`acts.npz` is not a readable npz archive"]);
}

#[test]
fn activations_without_labels_or_of_one_class_are_refused() {
    let folder = with_activations();
    let write = |y: Option<Vec<i64>>| {
        let x: Vec<f32> = (0..12_u8).map(f32::from).collect();
        let mut arrays = vec![
            ("x", NpzArray::new(vec![4, 1, 3], x)),
            ("mask", NpzArray::new(vec![4, 1], vec![true; 4])),
        ];
        arrays.extend(y.map(|y| ("y", NpzArray::new(vec![4], y))));
        write_npz(folder.path("acts.npz"), &arrays).unwrap();
    };
    write(None);
    assert_has(&refused(&folder, &[]), &["`acts.npz` has no array `y`"]);
    write(Some(vec![3; 4]));
    assert_has(&refused(&folder, &[]), &["`acts.npz` is `3`", "at least two classes"]);
    write(Some(vec![0, 1, 0, 1]));
    assert_has(&refused(&folder, &[]), &["cannot use `acts.npz`: 4 examples are too few"]);
}

/// Copies the embedded model's files, so that they can be damaged.
fn copy_model(folder: &Folder) {
    let from = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../models/demo/demo-gpt2");
    fs::create_dir(folder.path("model")).unwrap();
    for file in ["config.json", "model.safetensors", "tokenizer.json"] {
        fs::copy(from.join(file), folder.path("model").join(file)).unwrap();
    }
}

#[test]
fn a_damaged_model_is_refused_by_file() {
    let folder = Folder::new();
    copy_model(&folder);
    let args = ["--model", "model"];
    folder.succeed(&["--model", "model", "--dry-run"]);

    let weights = fs::read(folder.path("model/model.safetensors")).unwrap();
    for length in [0, 5, 1000, weights.len() - 1] {
        folder.write("model/model.safetensors", &weights[..length]);
        assert_has(&refused(&folder, &args), &["`model/model.safetensors`", "download it again"]);
    }
    // A header that claims more than any file holds.
    folder.write("model/model.safetensors", [&u64::MAX.to_le_bytes()[..], &weights[8..]].concat());
    assert_has(&refused(&folder, &args), &["`model/model.safetensors`", "download it again"]);
    folder.write("model/model.safetensors", &weights);

    let config = fs::read_to_string(folder.path("model/config.json")).unwrap();
    folder.write("model/config.json", config.replace("\"n_head\": 5", "\"n_head\": 7"));
    assert_has(&refused(&folder, &args), &["`model/config.json`", "`n_head`"]);
    folder.write("model/config.json", config.replace("\"gpt2\"", "\"mamba\""));
    assert_has(&refused(&folder, &args), &["`model/config.json`", "`mamba` is not supported"]);
    folder.write("model/config.json", &config[..50]);
    assert_has(&refused(&folder, &args), &["`model/config.json` is not a valid configuration"]);
    folder.write("model/config.json", &config);

    let tokenizer = fs::read(folder.path("model/tokenizer.json")).unwrap();
    folder.write("model/tokenizer.json", &tokenizer[..1000]);
    assert_has(&refused(&folder, &args), &["tokenizer"]);
    fs::remove_file(folder.path("model/tokenizer.json")).unwrap();
    assert_has(&refused(&folder, &args), &["`model/tokenizer.json` is missing"]);
}

#[test]
fn an_unknown_model_is_refused_beside_the_known_ones() {
    let folder = Folder::new();
    assert_has(&refused(&folder, &["--model", "gpt5"]), &["`gpt5` is neither", "demo-gpt2"]);
}

#[test]
fn a_typo_in_the_configuration_is_shown_with_a_caret() {
    let folder = Folder::with(&[("weight_decays", "weight_decay")]);
    let message = refused_in_lines(&folder, &[]);
    assert_has(&message, &["`sweep.toml` is not a valid sweep", "unknown key `weight_decay`"]);
    let lines: Vec<&str> = message.lines().collect();
    let shown = lines.iter().position(|line| line.contains("weight_decay = ")).unwrap();
    let column = lines[shown].find("weight_decay").unwrap();
    assert_eq!(lines[shown + 1].find('^'), Some(column), "{message}");
}

#[test]
fn numbers_out_of_range_are_named_with_key_and_value() {
    for (from, to, expected) in [
        (
            "[1e-3, 1e-2]",
            "[1e-3, -1e-2]",
            "`sweep.learning_rates` has -0.01, expected numbers above 0",
        ),
        ("[1e-3, 1e-2]", "[nan]", "`sweep.learning_rates` has NaN"),
        ("[1e-3, 1e-2]", "[inf]", "`sweep.learning_rates` has inf"),
        ("[0.0, 0.5]", "[nan, 0.5]", "`sweep.weight_decays` has NaN"),
        ("[0.0, 0.5]", "[]", "`sweep.weight_decays` is empty"),
        ("validation = 0.2", "validation = 0.2\nmax_tokens = 0", "`data.max_tokens` has 0"),
        ("validation = 0.2", "validation = nan", "`data.validation` has NaN"),
        ("layers = [1]", "memory_budget_gib = nan", "`activations.memory_budget_gib` has NaN"),
    ] {
        let folder = Folder::with(&[(from, to)]);
        let message = refused(&folder, &[]);
        assert_has(&message, &["`sweep.toml` cannot be run: ", expected]);
    }
    assert_has(&refused(&Folder::new(), &["--epochs", "0"]), &["`sweep.epochs` has 0"]);
}

#[test]
fn a_setting_given_twice_is_refused() {
    // Both trials would be called the same.
    let folder = Folder::with(&[("[1e-3, 1e-2]", "[1e-3, 1e-3]")]);
    assert_has(&refused(&folder, &[]), &["`sweep.learning_rates`", "0.001"]);
    // So would these, whose names have three digits.
    let folder = Folder::with(&[("[0.0, 0.5]", "[0.50001, 0.50002]")]);
    assert_has(&refused(&folder, &[]), &["`sweep.weight_decays`"]);
}

#[test]
fn an_unknown_device_is_refused_beside_the_known_ones() {
    let folder = Folder::new();
    let expected = "`device` is `tpu`, expected auto, cpu, wgpu, cuda, or cuda:N";
    assert_has(&refused(&folder, &["--device", "tpu"]), &[expected]);
    #[cfg(not(feature = "cuda"))]
    assert_has(&refused(&folder, &["--device", "cuda:1"]), &["device `cuda:1`", "--features cuda"]);
}

#[test]
fn an_unknown_storage_or_layer_list_is_refused() {
    let folder = Folder::new();
    let stderr = call::refused(&mut folder.command(&["--storage", "tape"]));
    assert_has(&stderr, &["'tape' for '--storage", "use auto, recompute, memory, or disk"]);
    assert_has(&refused(&folder, &["--layers", "1,x"]), &["`--layers 1,x`", "0,5"]);
    assert_has(&refused(&folder, &["--layers", "most"]), &["`most`", "`auto`"]);
}

#[test]
fn a_layer_out_of_range_is_refused_before_anything_is_computed() {
    let folder = Folder::new();
    let message = refused(&folder, &["--layers", "0,4"]);
    assert_has(&message, &["`activations.layers` has 4", "4 layers, expected 0 to 3"]);
    assert!(folder.tree("results").is_empty());
}

#[test]
fn an_output_below_a_file_cannot_be_written() {
    let folder = Folder::new();
    folder.write("file", "mine");
    assert_has(&refused(&folder, &["--output", "file/results"]), &["`file/results/small/seed_42`"]);
    assert_eq!(fs::read(folder.path("file")).unwrap(), b"mine");
}

/// A token task over the reviews.
fn token_task(target: &str) -> Folder {
    let task = format!("validation = 0.2\ntask = \"current_token\"\ntarget = \"{target}\"");
    Folder::with(&[("validation = 0.2", &task)])
}

#[test]
fn a_target_that_never_occurs_is_refused_with_its_tokens() {
    let message = refused(&token_task(" xylophone quartet"), &[]);
    assert_has(&message, &["cannot use `data.csv`", "` xylophone quartet`", "in tokens `Ġ"]);
    let message = refused(&token_task("Z"), &[]);
    assert_has(&message, &["cannot use `data.csv`", "`target` is `Z`", "none of the"]);
}

#[test]
fn a_token_task_without_a_target_is_refused() {
    assert_has(&refused(&token_task(""), &[]), &["`data.target` is missing"]);
    let folder = Folder::with(&[(
        "validation = 0.2",
        "validation = 0.2\ntask = \"next_token\"\ntarget = [\" a\", \"\"]",
    )]);
    assert_has(&refused(&folder, &[]), &["`data.target` is missing or empty"]);
}

#[test]
fn trials_that_all_diverge_are_refused_with_a_remedy() {
    let folder = Folder::with(&[("[1e-3, 1e-2]", "[1e38]")]);
    let stderr = call::refused(folder.command(&[]).env("RUST_LOG", "off"));
    assert_has(&stderr, &["error: every trial of the sweep", "lower `sweep.learning_rates`"]);
    // What there is to see of them is written: their history, and that none can be used.
    let tree = folder.tree("results/small/seed_42/data-L01-resid_post");
    assert_eq!(tree.keys().filter(|name| name.starts_with("trained/")).count(), 0);
    assert!(tree.contains_key("history.jsonl"));
}
