//! The penalty of a linear probe, chosen by cross-validation inside the training examples.

use std::fmt::Write as _;
use std::fs;

use crate::call;
use crate::page_data::data_of;
use crate::sweep::folder::{Folder, RUN, best, json, reviews};

/// A sweep with folds over texts of which four in a row are one group.
fn grouped(n_folds: usize) -> Folder {
    let architecture = format!(
        "[[architectures]]\nname = \"linear\"\noptimizer = \"lbfgs\"\nfolds = {n_folds}\n\
         weight_decays = [1e-3, 0.1, 10.0]\n\n[sweep]"
    );
    let folder = Folder::with(&[
        ("validation = 0.2", "validation = 0.2\ngroup = \"who\""),
        ("[sweep]", &architecture),
    ]);
    let mut csv = String::new();
    for (index, line) in reviews().lines().enumerate() {
        let group = if index == 0 { "who".to_owned() } else { ((index - 1) / 4).to_string() };
        writeln!(csv, "{line},{group}").unwrap();
    }
    folder.write("data.csv", csv);
    folder
}

#[test]
fn folds_choose_the_penalty_and_every_score_is_kept() {
    let folder = grouped(3);
    let (stdout, _) = folder.succeed(&[]);
    assert!(stdout.contains(" (3 folds)"), "{stdout}");
    let report = best(&folder, "data-L01-resid_post");
    let found = &report["architectures"][0];
    let cross_validation = &found["cross_validation"];
    assert_eq!(cross_validation["n_folds"], 3);
    let scores = cross_validation["scores"].as_array().unwrap();
    let decays: Vec<f64> =
        scores.iter().map(|score| score["weight_decay"].as_f64().unwrap()).collect();
    assert_eq!(decays, [1e-3, 0.1, 10.0]);
    let n_train = report["n_train"].as_f64().unwrap();
    for (score, decay) in scores.iter().zip(&decays) {
        let penalty = score["penalty"].as_f64().unwrap();
        assert!((penalty - decay * n_train).abs() < 1e-9 * penalty, "{score}");
    }
    let chosen = &scores[usize::try_from(cross_validation["best"].as_u64().unwrap()).unwrap()];
    assert_eq!(chosen["weight_decay"], found["weight_decay"]);
    assert_eq!(chosen["balanced_accuracy"], found["selected_value"]);
    let value = |score: &serde_json::Value| score["balanced_accuracy"].as_f64().unwrap();
    assert!(scores.iter().all(|score| value(score) <= value(chosen)), "{cross_validation}");

    let stem = found["file"].as_str().unwrap().strip_suffix("_state.npz").unwrap();
    let stem = format!("{RUN}/data-L01-resid_post/trained/{stem}");
    let metadata = json(&fs::read(folder.path(&format!("{stem}_meta.json"))).unwrap());
    assert_eq!((&metadata["optimizer"], &metadata["folds"]), (&"lbfgs".into(), &3.into()));
    assert_eq!(metadata["loss"]["name"], "cross_entropy");
    assert!(metadata["recipe"].is_null());
    for decay in ["1.00e-03", "1.00e-01", "1.00e+01"] {
        let other = format!("{RUN}/data-L01-resid_post/trained/linear_probe_lr1.00e+00_wd{decay}");
        let metadata = json(&fs::read(folder.path(&format!("{other}_meta.json"))).unwrap());
        assert_eq!(metadata["folds"].is_null(), other != stem, "{decay}");
    }
    let args = ["eval", "--probe", &format!("{stem}_state.npz"), "--data", "data.csv"];
    let (table, _) = call::succeed(&mut call::command(&folder.path(""), &args));
    let decay = found["weight_decay"].as_f64().unwrap();
    let expected = format!("\ntrained by lbfgs, weight decay {decay:e}, chosen by 3 folds\n");
    assert!(table.contains(&expected), "{table}");

    let page = data_of(&fs::read_to_string(folder.path("results/small/report.html")).unwrap());
    let shown = page.to_string();
    assert!(shown.contains("3-fold cross-validation on the training examples"), "{shown}");
}

#[test]
fn more_folds_than_groups_are_refused() {
    let folder = grouped(12);
    let message = call::refused(folder.command(&[]).env("RUST_LOG", "off"));
    for part in ["data.csv`, in ", " groups, cannot be divided into 12 folds", "`folds` is 12"] {
        assert!(message.contains(part), "`{part}` is not in: {message}");
    }
    assert_eq!(message.lines().count(), 1, "{message}");
}
