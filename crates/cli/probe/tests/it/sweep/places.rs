//! Several components and joined layers of one forward pass, and the cache of tokens that data sets
//! share.

use std::fs;

use serde_json::{Value, json};

use crate::call;
use crate::sweep::folder::{Folder, RUN, best, json};

/// Path of the selected probe of an experiment.
fn probe_of(folder: &Folder, experiment: &str) -> String {
    let file = best(folder, experiment)["architectures"][0]["file"].as_str().unwrap().to_owned();
    format!("{RUN}/{experiment}/trained/{file}")
}

/// Standard output of a command in the folder.
fn probe(folder: &Folder, args: &[&str]) -> String {
    call::succeed(&mut call::command(&folder.path(""), args)).0
}

#[test]
fn several_components_give_what_each_gives_alone() {
    let both = Folder::with(&[(
        "layers = [1]",
        "layers = [1, 2]\ncomponent = [\"attn_out\", \"resid_post\"]",
    )]);
    let (stdout, _) = both.succeed(&[]);
    assert!(stdout.contains("1 attn_out") && stdout.contains("2 resid_post"), "{stdout}");
    for component in ["attn_out", "resid_post"] {
        let key = format!("layers = [1, 2]\ncomponent = \"{component}\"");
        let alone = Folder::with(&[("layers = [1]", &key)]);
        alone.succeed(&[]);
        for layer in [1, 2] {
            let experiment = format!("data-L0{layer}-{component}");
            let found = best(&both, &experiment);
            assert_eq!(found, best(&alone, &experiment));
            assert_eq!((&found["layer"], &found["component"]), (&json!(layer), &json!(component)));
        }
    }
    // The report has them all.
    assert!(fs::exists(both.path("results/small/report.html")).unwrap());
}

#[test]
fn joined_layers_are_read_again_by_eval_score_and_view() {
    let folder = Folder::with(&[("layers = [1]", "layers = [0, 3]\nconcat = true")]);
    let (stdout, _) = folder.succeed(&[]);
    assert!(stdout.contains("0+3"), "{stdout}");
    let experiment = "data-L00+L03-resid_post";
    let report = best(&folder, experiment);
    assert_eq!((&report["layer"], &report["layers"]), (&Value::Null, &json!([0, 3])));
    let path = probe_of(&folder, experiment);
    let meta = fs::read(folder.path(&path.replace("_state.npz", "_meta.json"))).unwrap();
    let meta = json(&meta);
    assert_eq!((&meta["layer"], &meta["layers"]), (&Value::Null, &json!([0, 3])));
    assert_eq!(meta["config"]["d_model"], 320);

    let found = json(
        probe(&folder, &["eval", "--probe", &path, "--data", "data.csv", "--json"]).as_bytes(),
    );
    let lines = probe(&folder, &["score", "--probe", &path, "--data", "data.csv"]);
    let labels: Vec<Value> = lines.lines().map(|line| json(line.as_bytes())).collect();
    let texts = fs::read_to_string(folder.path("data.csv")).unwrap();
    let expected = texts.lines().skip(1).map(|line| line.rsplit_once(',').unwrap().1);
    let n_right =
        labels.iter().zip(expected).filter(|(line, label)| line["label"] == *label).count();
    let accuracy = found["accuracy"].as_f64().unwrap();
    assert!((n_right as f64 / 60.0 - accuracy).abs() < 1e-9, "{n_right} {accuracy}");

    // Both kinds of probes on one page.
    let single = Folder::with(&[("layers = [1]", "layers = [3]")]);
    single.succeed(&[]);
    fs::copy(single.path(&probe_of(&single, "data-L03-resid_post")), folder.path("one_state.npz"))
        .unwrap();
    let view = ["view", "--data", "data.csv", "--output", "page.html", "--probe", &path];
    let stdout = probe(&folder, &[&view[..], &["one_state.npz"]].concat());
    assert!(stdout.contains("2 probes, 60 texts"), "{stdout}");
    assert!(fs::read_to_string(folder.path("page.html")).unwrap().contains("L00+L03-resid_post"));

    let args = ["score", "--probe", &path, "--data", "data.csv", "--layer", "3"];
    let stderr = call::refused(&mut call::command(&folder.path(""), &args));
    assert!(stderr.contains("reads layer `0+3`"), "{stderr}");
    probe(&folder, &["eval", "--probe", &path, "--data", "data.csv", "--layer", "3+0"]);
}

#[test]
fn components_that_are_none_or_twice_are_refused() {
    for (component, expected) in [
        ("[\"z\", \"z\"]", "two entries of `activations.component` are called `z`"),
        ("[]", "`activations.component` is empty"),
        ("[\"zz\"]", "expected resid_pre"),
    ] {
        let key = format!("layers = [1]\ncomponent = {component}");
        let message = Folder::with(&[("layers = [1]", &key)]).refused(&[]);
        assert!(message.contains(expected), "{message}");
    }
}

#[test]
fn data_sets_over_the_same_texts_are_tokenized_once() {
    let folder = Folder::with(&[(
        "[activations]",
        "[[data]]\nname = \"the\"\npath = \"data.csv\"\ntask = \"current_token\"\ntarget = \" the\"\n\n\
         [[data]]\nname = \"copy\"\npath = \"copy.csv\"\nvalidation = 0.2\n\n[activations]",
    )]);
    fs::copy(folder.path("data.csv"), folder.path("copy.csv")).unwrap();
    let count = |kind: &str| {
        let entries = fs::read_dir(folder.path("results/cache").join(kind)).unwrap();
        entries
            .filter(|e| e.as_ref().unwrap().path().extension().is_some_and(|e| e == "tokens"))
            .count()
    };
    folder.succeed(&[]);
    assert_eq!(count("tokens"), 1);
    for name in ["data", "the", "copy"] {
        best(&folder, &format!("{name}-L01-resid_post"));
    }
}
