//! The page of a sweep, and `probe compare`.

use std::fs;

use serde_json::Value;

use crate::call;
use crate::page_data::data_of;
use crate::sweep::folder::{Folder, best, json};

#[test]
fn the_page_of_a_sweep_says_what_its_files_say() {
    let folder = Folder::with(&[("layers = [1]", "layers = [0, 2]")]);
    let (stdout, _) = folder.succeed(&[]);
    assert!(stdout.ends_with("page: results/small/report.html\n"), "{stdout}");
    let page = data_of(&fs::read_to_string(folder.path("results/small/report.html")).unwrap());
    assert_eq!((&page["run"], &page["model"]), (&"small".into(), &"demo-gpt2".into()));
    for (experiment, layer) in page["experiments"].as_array().unwrap().iter().zip([0, 2]) {
        let name = format!("data-L{layer:02}-resid_post");
        let report = best(&folder, &name);
        let (shown, found) = (&experiment["architectures"][0], &report["architectures"][0]);
        assert_eq!(experiment["layer"], layer);
        let near = |a: &Value, b: &Value| (a.as_f64().unwrap() - b.as_f64().unwrap()).abs() < 1e-3;
        let test = &shown["test"];
        assert!(near(&test["balanced_accuracy"], &found["test"]["balanced_accuracy"]));
        assert_eq!(test["confusion"], found["test"]["confusion"]);
        assert_eq!(shown["trials"].as_array().unwrap().len(), 4);
        for trial in shown["trials"].as_array().unwrap() {
            assert_eq!(trial["history"]["validation_loss"].as_array().unwrap().len(), 3);
        }
        let file = format!("seed_42/{name}/trained/{}", found["file"].as_str().unwrap());
        assert_eq!(shown["file"], file);
        assert!(folder.path("results/small").join(file).exists());
        let roc = shown["roc"].as_array().unwrap();
        assert_eq!((&roc[0], roc.last().unwrap()), (&[0, 0].into(), &[1, 1].into()));
        let control = &found["evaluation"]["shuffled_labels"]["balanced_accuracy"];
        assert!(near(&experiment["shuffled_labels"]["balanced_accuracy"], control));
        let lengths = shown["lengths"].as_array().unwrap().iter();
        let n: u64 = lengths.map(|row| row["n_examples"].as_u64().unwrap()).sum();
        assert_eq!(experiment["n_test"], n);
    }
}

#[test]
fn the_page_shows_first_what_the_metric_of_the_run_chose() {
    let folder = Folder::with(&[("layers = [1]", "layers = [0, 2]")]);
    folder.succeed(&[]);
    let names = ["data-L00-resid_post", "data-L02-resid_post"];
    for chosen in 0..2 {
        for (index, name) in names.iter().enumerate() {
            let mut report = best(&folder, name);
            report["architectures"][0]["selected_value"] =
                [0.25, 0.75][usize::from(index == chosen)].into();
            folder.write(&format!("results/small/seed_42/{name}/best.json"), report.to_string());
        }
        folder.succeed(&["--resume"]);
        let page = data_of(&fs::read_to_string(folder.path("results/small/report.html")).unwrap());
        for index in 0..2 {
            let shown = &page["experiments"][index]["architectures"][0];
            let expected = Value::from(index == chosen);
            assert_eq!((&shown["is_best"], &shown["is_best_layer"]), (&expected, &expected));
        }
    }
}

#[test]
fn every_seed_of_a_run_is_on_its_page() {
    let folder = Folder::new();
    folder.succeed(&[]);
    folder.succeed(&["--seed", "7"]);
    // A seed that cannot be read is left out.
    fs::create_dir_all(folder.path("results/small/seed_9")).unwrap();
    folder.write("results/small/seed_9/config.toml", "run = 3");
    let (_, stderr) = folder.succeed(&["--seed", "7", "--resume"]);
    assert!(stderr.contains("not on the page: "), "{stderr}");
    let page = data_of(&fs::read_to_string(folder.path("results/small/report.html")).unwrap());
    let experiments = page["experiments"].as_array().unwrap().iter();
    let names: Vec<_> = experiments.map(|experiment| &experiment["data"]).collect();
    assert_eq!(names, ["data, seed 7", "data, seed 42"]);
    assert!(page["config"].as_str().unwrap().contains("seed = 7"));
}

#[test]
fn runs_are_compared_on_the_same_examples() {
    let folder = Folder::new();
    folder.succeed(&["--run-name", "first"]);
    folder.succeed(&["--run-name", "longer", "--epochs", "6"]);
    folder.succeed(&["--run-name", "other-split", "--seed", "7"]);
    let compare = |args: &[&str]| {
        let runs = ["results/first", "results/longer/seed_42", "results/other-split"];
        let args = [&["compare"], &runs[..], args].concat();
        call::command(folder.path("").as_path(), &args)
    };
    let (stdout, _) = call::succeed(&mut compare(&["--json"]));
    let found = json(stdout.as_bytes());
    assert_eq!(found["runs"], serde_json::json!(["first", "longer", "other-split"]));
    let rows = found["results"].as_array().unwrap();
    assert_eq!(rows.len(), 3);
    assert!(rows[0].get("over_first").is_none());
    assert!(rows[2].get("over_first").is_none(), "another split has other test examples");
    let value = |row: &Value| row["value"].as_f64().unwrap();
    let difference = rows[1]["over_first"]["difference"].as_f64().unwrap();
    assert!((difference - (value(&rows[1]) - value(&rows[0]))).abs() < 1e-12);

    let (stdout, _) = call::succeed(&mut compare(&["--output", "compare.html"]));
    // One probe of one data set: what validation chose is all there is.
    let chosen = found["chosen"].as_array().unwrap();
    assert_eq!((chosen.len(), &chosen[1]), (3, &rows[1]));
    assert!(stdout.starts_with("what validation chose of every data set:\n  data "), "{stdout}");
    assert!(stdout.contains("\n\nevery result:\n  data "), "{stdout}");
    assert_eq!(stdout.lines().count(), 11, "{stdout}");
    let page = data_of(&fs::read_to_string(folder.path("compare.html")).unwrap());
    assert_eq!(page["runs"][1]["description"], "demo-gpt2, 4 trials, 6 epochs");
    // On other examples the difference has no interval.
    let chosen = page["chosen"].as_array().unwrap();
    assert_eq!(chosen.len(), 3);
    assert!(chosen[0]["over_first"].is_null() && chosen[0]["unpaired_difference"].is_null());
    assert!(chosen[1]["over_first"]["interval"].is_object());
    assert!(chosen[1]["unpaired_difference"].is_null());
    assert!(chosen[2]["over_first"].is_null() && chosen[2]["unpaired_difference"].is_number());
}

#[test]
fn what_is_no_run_is_not_compared() {
    let folder = Folder::new();
    folder.succeed(&[]);
    let refused = |args: &[&str]| {
        let args = [&["compare", "results/small"], args].concat();
        call::refused(&mut call::command(folder.path("").as_path(), &args))
    };
    assert_eq!(refused(&["nowhere"]), "error: `nowhere` holds no run of a sweep\n");
    let best = folder.path("results/small/seed_42/data-L01-resid_post/best.json");
    fs::write(&best, "{").unwrap();
    let error = refused(&["results/small"]);
    assert!(
        error.contains("best.json` is not what this version writes; run the sweep again"),
        "{error}"
    );
    fs::remove_file(&best).unwrap();
    let error = refused(&["results/small"]);
    assert_eq!(error, "error: `results/small` has no complete experiment yet\n");
}
