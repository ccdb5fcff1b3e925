//! Tasks about tokens and pairs, from a configuration to what `eval` and `score` make of the probes.

use std::fmt::Write;
use std::fs;

use attention_probes_activations::{NpzArray, write_npz};
use serde_json::{Value, json};

use crate::call;
use crate::sweep::folder::{Folder, RUN, best, json};

/// 60 lines of tagged words; `odd` is a tag of one word alone, and the last word has none.
fn tagged_lines() -> String {
    let mut lines = String::new();
    for i in 0..60 {
        let noun = ["dog", "garden", "princess", "story"][i % 4];
        let verb = ["runs", "sleeps", "sings"][i % 3];
        let first = if i == 7 { "odd" } else { "DET" };
        let line = json!({
            "tokens": ["The", noun, verb, "."],
            "tags": [first, "NOUN", "VERB", null],
        });
        writeln!(lines, "{line}").unwrap();
    }
    lines
}

/// Path of the selected probe of an experiment.
fn probe_of(folder: &Folder, experiment: &str) -> String {
    let report = best(folder, experiment);
    let file = report["architectures"][0]["file"].as_str().unwrap().to_owned();
    format!("{RUN}/{experiment}/trained/{file}")
}

/// Standard output and error of a command in the folder.
fn probe(folder: &Folder, args: &[&str]) -> (String, String) {
    call::succeed(&mut call::command(&folder.path(""), args))
}

#[test]
fn tags_of_words_are_learned_judged_and_scored_token_by_token() {
    let folder = Folder::with(&[
        ("path = \"data.csv\"", "path = \"tags.jsonl\"\ntask = \"tokens\""),
        ("epochs = 3", "epochs = 20"),
        ("[sweep]", "[[architectures]]\nname = \"linear\"\npool = \"last\"\n\n[sweep]"),
    ]);
    folder.write("tags.jsonl", tagged_lines());
    let (_, stderr) = folder.succeed(&[]);
    assert!(stderr.contains("too rare to be on every side of the split: odd"), "{stderr}");
    let report = best(&folder, "tags-L01-resid_post");
    assert_eq!(report["classes"], json!(["DET", "NOUN", "VERB"]));
    let sizes = ["n_train", "n_validation", "n_test"].map(|n| report[n].as_u64().unwrap());
    assert_eq!(sizes.iter().sum::<u64>(), 60 * 3 - 1);
    let accuracy = report["architectures"][0]["test"]["balanced_accuracy"].as_f64().unwrap();
    assert!(accuracy > 0.9, "{accuracy}");

    let path = probe_of(&folder, "tags-L01-resid_post");
    let args = ["eval", "--probe", &path, "--data", "tags.jsonl", "--json"];
    let (found, stderr) = probe(&folder, &args);
    assert!(stderr.contains("the probe does not know them: odd"), "{stderr}");
    let found = json(found.as_bytes());
    assert_eq!((&found["n_examples"], &found["classes"]), (&json!(179), &report["classes"]));
    assert!(found["balanced_accuracy"].as_f64().unwrap() > 0.9);

    let args = ["score", "--probe", &path, "--data", "tags.jsonl", "--tokens", "tokens"];
    let (lines, _) = probe(&folder, &args);
    let line = json(lines.lines().next().unwrap().as_bytes());
    let tokens = line["tokens"].as_array().unwrap();
    let text: String = tokens.iter().map(|token| token["text"].as_str().unwrap()).collect();
    assert_eq!(text, "The dog runs .");
    // `The`, and the last token of `dog`.
    assert_eq!(tokens[0]["label"], "DET");
    let of = |end: &str| tokens.iter().find(|t| t["text"].as_str().unwrap().ends_with(end));
    assert_eq!(of("g").map(|token| &token["label"]), Some(&json!("NOUN")), "{line}");
}

#[test]
fn texts_with_places_of_words_give_the_examples_of_their_words() {
    let by_words =
        Folder::with(&[("path = \"data.csv\"", "path = \"t.jsonl\"\ntask = \"tokens\"")]);
    by_words.write("t.jsonl", tagged_lines());
    by_words.succeed(&[]);
    let task = "path = \"t.jsonl\"\ntask = \"tokens\"\noffsets = \"at\"\ntext = \"t\"";
    let by_places = Folder::with(&[("path = \"data.csv\"", task)]);
    let mut lines = String::new();
    for line in tagged_lines().lines() {
        let line: Value = json(line.as_bytes());
        let words: Vec<&str> =
            line["tokens"].as_array().unwrap().iter().map(|word| word.as_str().unwrap()).collect();
        let mut start = 0;
        let place = |word: &&str| {
            start += word.len() + 1;
            [start - word.len() - 1, start - 1]
        };
        let at: Vec<[usize; 2]> = words.iter().map(place).collect();
        let line = json!({ "t": words.join(" "), "at": at, "tags": line["tags"] });
        writeln!(lines, "{line}").unwrap();
    }
    by_places.write("t.jsonl", lines);
    by_places.succeed(&[]);
    let [mut a, mut b] = [by_words, by_places].map(|folder| best(&folder, "t-L01-resid_post"));
    a["origin"] = Value::Null;
    b["origin"] = Value::Null;
    assert_eq!(a, b);
}

#[test]
fn tags_that_only_a_file_held_out_has_are_left_out() {
    let folder = Folder::with(&[(
        "path = \"data.csv\"",
        "path = \"tags.jsonl\"\ntask = \"tokens\"\ntest = \"judge.jsonl\"\nexamples_per_text = 2",
    )]);
    folder.write("tags.jsonl", tagged_lines());
    let judge =
        r#"{"tokens": ["The", "odd", "dog", "ran"], "tags": ["DET", "ADJ", "NOUN", "VERB"]}"#;
    folder.write("judge.jsonl", [judge; 20].join("\n"));
    let (_, stderr) = folder.succeed(&[]);
    assert!(stderr.contains("ADJ"), "{stderr}");
    let report = best(&folder, "tags-L01-resid_post");
    assert_eq!(report["classes"], json!(["DET", "NOUN", "VERB"]));
    let n_held_out = report["n_test"].as_u64().unwrap();
    assert!((20..=40).contains(&n_held_out), "{n_held_out}");
}

#[test]
fn minimal_pairs_stay_whole_and_are_judged_pair_by_pair() {
    let folder = Folder::with(&[
        ("path = \"data.csv\"", "path = \"pairs.tsv\"\npair = [\"good\", \"bad\"]"),
        ("epochs = 3", "epochs = 20"),
    ]);
    let mut tsv = "bad\tgood\tid\n".to_owned();
    for i in 0..50 {
        let who = ["dog", "cat", "bird", "girl", "king"][i % 5];
        let what = ["house", "tree", "river", "road", "hill"][i / 5 % 5];
        let when = ["now", "then"][i / 25];
        let _ = writeln!(
            tsv,
            "{when} the {who} are by the {what}\t{when} the {who} is by the {what}\t{i}"
        );
    }
    folder.write("pairs.tsv", tsv);
    let (stdout, _) = folder.succeed(&[]);
    let report = best(&folder, "pairs-L01-resid_post");
    assert_eq!(report["classes"], json!(["bad", "good"]));
    let found = &report["architectures"][0]["pair_accuracy"];
    // Both texts of a pair are on one side, so half as many pairs as examples are whole.
    assert_eq!(found["n_pairs"].as_u64().map(|n| 2 * n), report["n_test"].as_u64());
    assert!(found["accuracy"].as_f64().unwrap() > 0.8, "{found}");
    assert!(stdout.contains("pairs, layer 1, attention: "), "{stdout}");

    let path = probe_of(&folder, "pairs-L01-resid_post");
    let args = ["eval", "--probe", &path, "--data", "pairs.tsv", "--pair", "good", "bad"];
    let (found, _) = probe(&folder, &[&args[..], &["--json"]].concat());
    let found = json(found.as_bytes());
    assert_eq!(
        (&found["n_examples"], &found["pair_accuracy"]["n_pairs"]),
        (&json!(100), &json!(50))
    );
    let (table, _) = probe(&folder, &args);
    assert!(table.contains("of 50 right"), "{table}");
}

/// 40 examples as MOSAIC writes them: class 1 has a larger first value at each real token, and what
/// stands in padding says the opposite.
fn write_mosaic(folder: &Folder) {
    fs::create_dir(folder.path("mosaic")).unwrap();
    let mut table = "sample_id,label,npz_file\n".to_owned();
    for i in 0..40_usize {
        let n_real = 2 + i % 3;
        let ids: Vec<i64> = (0..5).map(|p| if p < n_real { 3 + p as i64 } else { 0 }).collect();
        let x = (0..15).map(|at| {
            let noise = ((i * 31 + at * 17) % 13) as f32 / 13.0 - 0.5;
            let sign = if (i % 2 == 1) == (at / 3 < n_real) { 1.0 } else { -1.0 };
            noise + if at % 3 == 0 { 2.0 * sign } else { 0.0 }
        });
        let arrays = [
            ("hidden_state", NpzArray::new(vec![5, 3], x.collect::<Vec<f32>>())),
            ("input_ids", NpzArray::new(vec![5], ids)),
        ];
        write_npz(folder.path(&format!("mosaic/{i}.npz")), &arrays).unwrap();
        let _ = writeln!(table, "{i},{},out/{i}.npz", ["no", "yes"][i % 2]);
    }
    folder.write("mosaic/gpt2_3_activations_metadata.csv", table);
}

#[test]
fn a_mosaic_folder_is_swept_and_scored_without_its_padding() {
    let folder = Folder::with(&[
        ("path = \"data.csv\"", "path = \"mosaic\"\npad_token_id = 0"),
        ("epochs = 3", "epochs = 40"),
    ]);
    write_mosaic(&folder);
    let (_, stderr) = folder.succeed(&[]);
    assert!(!stderr.contains("looks like padding"), "{stderr}");
    let report = best(&folder, "mosaic");
    assert_eq!(report["classes"], json!(["no", "yes"]));
    let accuracy = report["architectures"][0]["test"]["balanced_accuracy"].as_f64().unwrap();
    assert!(accuracy > 0.9, "{accuracy}");

    let path = probe_of(&folder, "mosaic");
    let args = ["--probe", &path, "--activations", "mosaic"];
    let (_, stderr) = probe(&folder, &[&["eval"], &args[..]].concat());
    assert!(stderr.contains("27 of 40 files") && stderr.contains("`pad_token_id` 0"), "{stderr}");
    let (lines, _) = probe(&folder, &[&["score"], &args[..], &["--pad-token-id", "0"]].concat());
    let lengths: Vec<usize> = lines
        .lines()
        .map(|line| json(line.as_bytes())["tokens"].as_array().unwrap().len())
        .collect();
    assert_eq!((lengths.len(), &lengths[..4]), (40, &[2, 3, 4, 2][..]));

    let other = Folder::with(&[("path = \"data.csv\"", "path = \"data.csv\"\npad_token_id = 0")]);
    assert!(other.refused(&[]).contains("`data.pad_token_id` is for a MOSAIC folder"));
}

#[test]
fn keys_of_another_task_are_refused() {
    for (keys, expected) in [
        ("task = \"tokens\"\ntarget = \" a\"", "`data.target` is not allowed"),
        ("task = \"tokens\"\nbalance = true", "`data.balance` is not allowed"),
        ("pair = [\"text\", \"text\"]", "`data.pair` names one column twice"),
        ("pair = [\"text\", \"b\"]\ntext = \"a\"", "`data.pair` stands instead of `data.text`"),
        ("pair = [\"text\", \"b\"]", "has no column `b`"),
        ("pair = [\"text\"]", "pair"),
        ("offsets = \"at\"", "`data.offsets` is not allowed"),
        ("task = \"tokens\"", "tagged words are read from .jsonl files"),
        ("task = \"tags\"", "current_token, next_token, or tokens"),
    ] {
        let keys = format!("path = \"data.csv\"\n{keys}");
        let message = Folder::with(&[("path = \"data.csv\"", &keys)]).refused(&[]);
        assert!(message.contains(expected), "{message}");
    }
}
