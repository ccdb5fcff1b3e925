//! What `probe eval` and `probe score` refuse.

use std::fs;
use std::path::Path;

use crate::trained_probe::fixture::Fixture;

#[test]
fn a_probe_for_another_model_is_refused() {
    let fixture = Fixture::new();
    let (mut saved, ..) = fixture.attention();
    let demo = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../models/demo/demo-gpt2");
    let demo = demo.display().to_string();
    let eval = |probe: &str, flags: &[&str]| {
        let args = ["eval", "--probe", probe, "--data", "reviews.csv"];
        args.iter().chain(flags).map(|arg| (*arg).to_owned()).collect::<Vec<String>>()
    };
    let refused_with = |probe: &str, flags: &[&str], expected: &[&str]| {
        let args = eval(probe, flags);
        let stderr = fixture.refused(&args.iter().map(String::as_str).collect::<Vec<_>>());
        for part in expected {
            assert!(stderr.contains(part), "{flags:?}: {stderr}");
        }
    };
    let good = "attention_state.npz";
    refused_with(good, &["--layer", "2"], &["`--layer 2` contradicts", "layer `1`"]);
    refused_with(good, &["--component", "z"], &["`--component z` contradicts"]);
    refused_with(good, &["--component", "zz"], &["zz"]);
    refused_with(good, &["--model", "demo-gpt3"], &["`demo-gpt3` is neither"]);
    fixture.succeed(&["eval", "--probe", good, "--data", "reviews.csv", "--layer", "1"]);

    let revision = fixture.model.revision.clone();
    saved.metadata.model.as_mut().unwrap().revision = Some("0123456789abcdef".to_owned());
    fixture.save(&saved, "revision");
    let other = "revision_state.npz";
    let parts = ["probe for another model", "012345678", &revision[..12], "--allow-other-revision"];
    refused_with(other, &[], &parts);
    let args = eval(other, &["--allow-other-revision"]);
    fixture.succeed(&args.iter().map(String::as_str).collect::<Vec<_>>());
    refused_with(
        other,
        &["--model", &demo, "--allow-other-revision"],
        &["probe for another model", "leave out `--model`"],
    );

    saved.metadata.model.as_mut().unwrap().revision = None;
    fixture.save(&saved, "name");
    refused_with("name_state.npz", &["--model", &demo], &["contradicts", "model `demo-gpt2`"]);
    saved.metadata.layer = Some(4);
    fixture.save(&saved, "layer");
    refused_with("layer_state.npz", &[], &["reads layer 4, but `demo-gpt2` has 4 layers"]);
    saved.metadata.task = Some("parity".to_owned());
    fixture.save(&saved, "task");
    refused_with("task_state.npz", &[], &["its task `parity` is unknown"]);
}

#[test]
fn wrong_files_are_named_with_exit_code_2() {
    let fixture = Fixture::new();
    fixture.attention();
    let path = |name: &str| fixture.path().join(name);
    let bytes = fs::read(path("attention_state.npz")).unwrap();
    fs::write(path("cut_state.npz"), &bytes[..bytes.len() / 2]).unwrap();
    fs::write(path("unknown.csv"), "text,label\ngood,pos\nmiddling,meh\n").unwrap();
    fs::write(path("alike.csv"), "text,label\ngood,pos\nbetter,pos\n").unwrap();
    let good = "attention_state.npz";
    let cases: [(&[&str], &str); 9] = [
        (&["eval", "--probe", "cut_state.npz", "--data", "reviews.csv"], "`cut_state.npz`"),
        (&["score", "--probe", "cut_state.npz"], "`cut_state.npz` is not a readable npz"),
        (&["score", "--probe", "no_state.npz"], "cannot read `no_state.npz`"),
        (
            &["eval", "--probe", good, "--data", "reviews.csv", "--label", "lable"],
            "`reviews.csv` line 1 has no column `lable`; columns: `text`, `label`",
        ),
        (
            &["eval", "--probe", good, "--data", "unknown.csv"],
            "`unknown.csv`: label `meh` is no class of the probe, whose classes are `neg`, `pos`",
        ),
        (&["eval", "--probe", good, "--data", "alike.csv"], "every label of `alike.csv` is `pos`"),
        (&["score", "--probe", good, "--data", "missing.csv"], "cannot read `missing.csv`"),
        (
            &["score", "--probe", good, "--data", "a.csv", "--activations", "a.npz"],
            "cannot be used",
        ),
        (&["eval", "--probe", good], "--data"),
    ];
    for (args, expected) in cases {
        let stderr = fixture.refused(args);
        assert!(stderr.contains(expected), "{args:?}: {stderr}");
    }
}
