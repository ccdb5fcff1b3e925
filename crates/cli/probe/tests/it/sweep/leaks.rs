//! Texts on two sides, texts with two labels, names of classes, sides without a class, and which rows
//! of a file results are about.

use std::collections::BTreeSet;
use std::fmt::Write;
use std::fs;

use attention_probes_activations::{NpzArray, read_npz, write_npz};
use serde_json::Value;

use crate::call;
use crate::sweep::folder::{Folder, RUN, best, json, reviews};

/// Rows of a side in `predictions.npz`, with their labels.
fn rows(folder: &Folder, experiment: &str, side: &str) -> Vec<(usize, usize)> {
    let path = folder.path(RUN).join(experiment).join("predictions.npz");
    let mut arrays = read_npz(path).unwrap();
    let mut integers = |name: &str| -> Vec<usize> {
        let values = arrays.remove(&format!("{side}/{name}")).unwrap().data.into_i64().unwrap();
        values.into_iter().map(|value| value as usize).collect()
    };
    integers("rows").into_iter().zip(integers("labels")).collect()
}

/// Kinds of warnings about data.
const KINDS: [&str; 4] = ["shared_texts", "contradicting_labels", "class_names", "missing_class"];

/// Kinds and messages of the warnings of an experiment that are about its data.
fn warnings(folder: &Folder, experiment: &str) -> Vec<(String, String)> {
    let report = best(folder, experiment);
    let found = report["warnings"].as_array().unwrap().iter();
    let text = |value: &Value| value.as_str().unwrap().to_owned();
    let found = found.map(|one| (text(&one["kind"]), text(&one["message"])));
    found.filter(|(kind, _)| KINDS.contains(&kind.as_str())).collect()
}

#[test]
fn copies_stay_on_one_side_and_rows_are_those_of_the_file() {
    let folder = Folder::new();
    // Every text twice, the copy with other white space, and empty rows before and between.
    let (mut csv, mut texts) = ("text,label\n".to_owned(), Vec::new());
    for copy in 0..2 {
        for (i, line) in reviews().lines().skip(1).enumerate() {
            if i % 3 == copy {
                csv.push_str(" ,liked\n");
                texts.push(None);
            }
            let line = if copy == 1 { line.replace(' ', "  ") } else { line.to_owned() };
            let (text, label) = line.rsplit_once(',').unwrap();
            writeln!(csv, "{line}").unwrap();
            texts.push(Some((text.replace("  ", " "), usize::from(label == "liked"))));
        }
    }
    folder.write("data.csv", csv);
    folder.succeed(&[]);
    let experiment = "data-L01-resid_post";
    let mut sides = Vec::new();
    for side in ["validation", "test"] {
        let found = rows(&folder, experiment, side);
        for &(row, label) in &found {
            assert_eq!(texts[row].as_ref().unwrap().1, label, "row {row} of {side}");
        }
        let of_side: BTreeSet<String> =
            found.iter().map(|(row, _)| texts[*row].clone().unwrap().0).collect();
        assert_eq!(2 * of_side.len(), found.len(), "both copies are on {side}");
        sides.push(of_side);
    }
    assert!(sides[0].is_disjoint(&sides[1]));
    assert!(warnings(&folder, experiment).is_empty());
}

#[test]
fn activations_with_equal_values_are_one_group_and_keep_their_rows() {
    let folder = Folder::with(&[("data.csv", "acts.npz")]);
    let (n, d_model) = (80, 4);
    let mut x: Vec<f32> = Vec::new();
    for row in 0..n {
        // Rows 2 i and 2 i + 1 are equal.
        let twin = (row / 2) as f32;
        x.extend([twin.sin(), (2.0 * twin).cos(), (row / 2 % 2) as f32, 1.0]);
    }
    for row in [0, 1, 7, 40] {
        x[row * d_model] = f32::NAN;
    }
    let y: Vec<i64> = (0..n).map(|row| (row / 2 % 2) as i64).collect();
    let arrays = [
        ("x", NpzArray::new(vec![n, 1, d_model], x)),
        ("mask", NpzArray::new(vec![n, 1], vec![1_u8; n])),
        ("y", NpzArray::new(vec![n], y.clone())),
    ];
    write_npz(folder.path("acts.npz"), &arrays).unwrap();
    folder.succeed(&[]);
    let sides = ["validation", "test"].map(|side| {
        let found = rows(&folder, "acts", side);
        assert!(found.iter().all(|&(row, label)| y[row] == label as i64), "{side}: {found:?}");
        found.into_iter().map(|(row, _)| row / 2).collect::<BTreeSet<_>>()
    });
    assert!(sides[0].is_disjoint(&sides[1]));
}

#[test]
fn a_held_out_file_with_texts_of_the_data_is_a_warning() {
    let folder = Folder::with(&[("validation = 0.2", "validation = 0.2\ntest = \"judge.csv\"")]);
    let reviews = reviews();
    let judge: Vec<&str> = reviews.lines().take(13).collect();
    folder.write("judge.csv", judge.join("\n") + "\na new one,liked\nanother,disliked\n");
    let (stdout, _) = folder.succeed(&[]);
    let expected = "12 of the 14 texts of `judge.csv` are also in `data.csv`, which probes are \
                    trained on";
    assert!(stdout.contains(expected), "{stdout}");
    let found = warnings(&folder, "data-L01-resid_post");
    assert_eq!((found.len(), found[0].0.as_str()), (1, "shared_texts"));
    assert!(found[0].1.starts_with(expected), "{found:?}");
}

#[test]
fn equal_texts_with_two_labels_are_counted_and_named() {
    let folder = Folder::new();
    let extra = "he loved the song because it was lovely,disliked\n\
                 my friend hated the garden because it was full of holes ,liked\n";
    folder.write("data.csv", reviews() + extra);
    folder.succeed(&[]);
    let found = warnings(&folder, "data-L01-resid_post");
    assert_eq!((found.len(), found[0].0.as_str()), (1, "contradicting_labels"));
    let message = &found[0].1;
    assert!(message.starts_with("2 texts occur with different labels: `"), "{message}");
    let expected = "`he loved the song because it was lovely` (row 56) with `liked` and `he loved \
                    the song because it was lovely` (row 60) with `disliked`";
    assert!(message.contains(expected), "{message}");
}

#[test]
fn transfer_leaves_out_what_a_probe_was_trained_on() {
    let more = "\n[[data]]\npath = \"other.csv\"\nvalidation = 0.2\n\n[activations]";
    let folder = Folder::with(&[("[activations]", more)]);
    // The same texts from the last to the first, with white space at their ends, and some more.
    let data = reviews();
    let mut other = "text,label\n".to_owned();
    for line in data.lines().skip(1).collect::<Vec<_>>().into_iter().rev() {
        writeln!(other, " {}", line.replace(',', " ,")).unwrap();
        writeln!(other, "{}", line.replace("because", "as I think")).unwrap();
    }
    folder.write("other.csv", other);
    let (_, stderr) = folder.succeed(&[]);
    let found = json(&fs::read(folder.path(RUN).join("transfer.json")).unwrap());
    for one in found.as_array().unwrap() {
        let n_left_out = one["n_left_out"].as_u64().unwrap();
        let n_test = if one["judged_on"] == "other" { 24 } else { 12 };
        assert!(n_left_out > 0, "{one}");
        assert_eq!(one["test"]["n_examples"].as_u64().unwrap() + n_left_out, n_test);
        let on = one["judged_on"].as_str().unwrap();
        let note = format!("`{on}`: {n_left_out} of {n_test} test examples left out for probes of");
        assert!(stderr.contains(&note), "{stderr}");
    }

    // A probe knows what it learned from, in a file of another name, too.
    let probe = folder.path(RUN).join("data-L01-resid_post");
    let report = best(&folder, "data-L01-resid_post");
    let probe = probe.join("trained").join(report["architectures"][0]["file"].as_str().unwrap());
    let probe = probe.to_str().unwrap().to_owned();
    let eval = |data: &str| {
        let args = ["eval", "--probe", &probe, "--data", data];
        call::succeed(&mut call::command(&folder.path(""), &args)).1
    };
    let known = eval("other.csv");
    let expected = "`other.csv`: the probe was trained or selected on 48 of the 120 examples";
    assert!(known.contains(expected), "{known}");
    folder.write("new.csv", data.replace("because", "since"));
    assert!(!eval("new.csv").contains("trained or selected"));
    assert!(eval("data.csv").contains("is the file that the probe was trained on"));
    // So does it of activations that were made of this file.
    for (data, is_known) in [("data.csv", true), ("new.csv", false)] {
        let args = ["extract", "--model", "demo-gpt2", "--data", data, "--output", "x.npz"];
        let more = ["--hooks", "blocks.1.hook_resid_post", "--overwrite"];
        let extract = [&args[..], &more].concat();
        call::succeed(&mut call::command(&folder.path(""), &extract));
        let args = ["eval", "--probe", &probe, "--activations", "x.npz"];
        let (_, stderr) = call::succeed(&mut call::command(&folder.path(""), &args));
        let expected = "has activations of the file that the probe was trained on";
        assert_eq!(stderr.contains(expected), is_known, "{stderr}");
    }
}

#[test]
fn a_side_without_a_class_is_refused_before_anything_is_trained() {
    let folder = Folder::new();
    for rare in ["liked\n", "liked\nanother text,liked\n", "mixed\n"] {
        let disliked = reviews().replace(",liked", ",disliked");
        let csv = if rare.starts_with("mixed") { reviews() } else { disliked };
        folder.write("data.csv", csv + "a text," + rare);
        for args in [&["--dry-run"][..], &[]] {
            let stderr = folder.refused(args);
            let class = rare.split('\n').next().unwrap();
            let n = rare.matches(class).count();
            let expected = format!(
                "`data.csv`: the validation side has no example of class `{class}`, which has {n} \
                 in all; add examples of it, at least three, or remove them"
            );
            assert!(stderr.contains(&expected), "{stderr}");
            assert!(!folder.path(RUN).exists());
        }
    }
    // Copies of one text are on one side.
    let disliked = reviews().replace(",liked", ",disliked");
    folder.write("data.csv", disliked + &"a text,liked\n".repeat(9));
    assert!(
        folder.refused(&["--dry-run"]).contains("whose 9 examples lie in 1 groups, equal texts")
    );
}

#[test]
fn files_held_out_need_two_classes() {
    let test = [("validation = 0.2", "validation = 0.2\ntest = \"judge.csv\"")];
    let folder = Folder::with(&test);
    folder.write("judge.csv", "text,label\na new text,liked\nanother,liked\n");
    let stderr = folder.refused(&["--dry-run"]);
    assert!(stderr.contains("judge.csv"), "{stderr}");
    // Of three classes, two are enough for metrics, and the third is named.
    folder.write("data.csv", reviews() + "x y,so\nu v,so\nw z,so\nq r,so\ns t,so\n");
    folder.write("judge.csv", "text,label\na new text,liked\nanother,disliked\n");
    folder.succeed(&[]);
    let found = warnings(&folder, "data-L01-resid_post");
    assert_eq!(found[0].0, "missing_class");
    assert!(found[0].1.starts_with("`judge.csv` has no example of `so`"), "{found:?}");
}

#[test]
fn labels_that_are_hardly_classes_are_refused_or_told() {
    let folder = Folder::new();
    let years = |n: usize| {
        let row = |i: usize| format!("text number {i},{}\n", 1900 + i % n);
        format!("text,label\n{}", (0..4 * n).map(row).collect::<String>())
    };
    folder.write("data.csv", years(31));
    let stderr = folder.refused(&["--dry-run"]);
    assert!(stderr.contains("column `label` of `data.csv` has 31 different numbers"), "{stderr}");
    assert!(stderr.contains("`label_kind = \"number\"`"), "{stderr}");
    let folder = Folder::with(&[("validation = 0.2", "validation = 0.2\nlabel_kind = \"class\"")]);
    folder.write("data.csv", years(31));
    folder.succeed(&["--dry-run"]);
    folder.write("data.csv", years(5));
    folder.succeed(&["--dry-run"]);

    let folder = Folder::new();
    let cased = reviews().replacen(",liked", ",Liked", 12);
    folder.write("data.csv", cased);
    let (stdout, _) = folder.succeed(&[]);
    let expected = "classes `Liked`, `liked` differ only in case; give them one name";
    assert!(stdout.contains(expected), "{stdout}");
}

#[test]
fn quotes_that_mean_nothing_are_read_as_they_stand() {
    let folder = Folder::with(&[("data.csv", "data.tsv")]);
    let mut tsv = reviews().replace(',', "\t").replacen("the king loved", "\"the king loved", 1);
    tsv.push_str("a line with \" a quote\tliked\n");
    folder.write("data.tsv", tsv);
    let stderr = folder.refused(&["--dry-run"]);
    assert!(stderr.contains("has text after the closing quote of a field that begins on line 2"));
    assert!(stderr.contains("`quoting = \"none\"` or `--quoting none`"), "{stderr}");
    let folder = Folder::with(&[("\"data.csv\"", "\"data.tsv\"\nquoting = \"none\"")]);
    let tsv = reviews().replace(',', "\t").replacen("the king loved", "\"the king loved", 1);
    folder.write("data.tsv", tsv + "a line with \" a quote\tliked\n");
    folder.succeed(&[]);
    let report = best(&folder, "data-L01-resid_post");
    let sizes = ["n_train", "n_validation", "n_test"].map(|n| report[n].as_u64().unwrap());
    assert_eq!(sizes.iter().sum::<u64>(), 61);
    let probe = folder.path(RUN).join("data-L01-resid_post/trained");
    let probe = probe.join(report["architectures"][0]["file"].as_str().unwrap());
    let args = ["eval", "--probe", probe.to_str().unwrap(), "--data", "data.tsv", "--json"];
    let command = |more: &[&str]| call::command(&folder.path(""), &[&args[..], more].concat());
    assert!(call::refused(&mut command(&[])).contains("--quoting none"));
    let (stdout, _) = call::succeed(&mut command(&["--quoting", "none"]));
    assert_eq!(json(stdout.as_bytes())["n_examples"], 61);
    let stderr = call::refused(&mut command(&["--quoting", "none", "--escape", "\\"]));
    assert!(stderr.contains("`--escape` is for quoted fields"), "{stderr}");
}
