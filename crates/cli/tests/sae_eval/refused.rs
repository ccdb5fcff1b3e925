//! What cannot be measured is refused in one line.

use crate::call::refused;
use crate::fixture::folder;

#[test]
fn flags_that_an_evaluation_does_not_have_are_refused() {
    let folder = folder();
    let refused = |args: &[&str]| {
        let said = refused(folder.path(), &[&["eval", "--sae", "resid"], args].concat());
        assert_eq!(said.lines().count(), 1, "{said}");
        said
    };
    let data = ["--data", "texts.jsonl"];
    let with = |args: &[&str]| refused(&[&data[..], args].concat());
    assert!(refused(&[]).contains("`--eval core` needs `--data` or `--activations`"));
    assert!(refused(&["--data", "hf://nothing"]).contains("`hf://nothing` is no data set"));
    assert!(with(&["--seeds", "2"]).contains("`--eval core` has no `--seeds`"));
    assert!(with(&["--seed", "2"]).contains("`--eval core` draws nothing"));
    assert!(with(&["--eval", "tpp", "--spurious", "form"]).contains("has no `--spurious`"));
    assert!(with(&["--eval", "absorption"]).contains("`--eval absorption` has no `--data`"));
    assert!(with(&["--eval", "scr"]).contains("needs `--spurious`"));
    let file = ["--activations", "x.npz", "--eval", "scr", "--spurious", "form"];
    assert!(refused(&file).contains("`--eval scr` has no `--activations`"));
}

#[test]
fn columns_and_classes_that_do_not_do_are_refused() {
    let folder = folder();
    let refused = |data: &str, args: &[&str]| {
        let args = [&["eval", "--sae", "resid", "--data", data], args].concat();
        let said = refused(folder.path(), &args);
        assert_eq!(said.lines().count(), 1, "{said}");
        assert!(said.contains(data), "{said}");
        said
    };
    let (probing, scr) = (["--eval", "sparse_probing"], ["--eval", "scr", "--label", "subject"]);
    let label = |label: &'static str| [&probing[..], &["--label", label]].concat();
    assert!(refused("texts.jsonl", &probing).contains("`label`"));
    assert!(refused("texts.jsonl", &label("topic")).contains("`topic`"));
    assert!(refused("none.jsonl", &label("subject")).contains("none.jsonl"));
    let few = refused("rare.jsonl", &label("subject"));
    assert!(few.contains("too few texts of class `house`: 1, at least 10 are needed"), "{few}");
    let one = refused("texts.jsonl", &label("all"));
    assert!(one.contains("every label is `one`"), "{one}");

    let spurious = |column: &'static str| [&scr[..], &["--spurious", column]].concat();
    assert!(refused("texts.jsonl", &spurious("tone")).contains("`tone`"));
    assert!(refused("texts.jsonl", &spurious("all")).contains("every row has `one` in `all`"));
    let three = refused("rare.jsonl", &spurious("form"));
    assert!(three.contains("`subject` has 3 values, choose two with `--pair`"), "{three}");
    let pair = |values: [&'static str; 2]| {
        [&spurious("form")[..], &["--pair", values[0], values[1]]].concat()
    };
    let unknown = refused("texts.jsonl", &pair(["garden", "hill"]));
    assert!(unknown.contains("no row has `hill` in `subject`"), "{unknown}");
    assert!(unknown.contains("`garden`, `sea`"), "{unknown}");
    let mix = refused("rare.jsonl", &pair(["house", "sea"]));
    assert!(mix.contains("both `house` and `told`: 1, at least 20"), "{mix}");
}

#[test]
fn what_does_not_fit_the_autoencoder_or_the_split_is_refused() {
    let folder = folder();
    let refused = |args: &[&str]| {
        let said = refused(folder.path(), &[&["eval"], args].concat());
        assert_eq!(said.lines().filter(|line| !line.contains(" INFO ")).count(), 1, "{said}");
        said
    };
    let probing = ["--eval", "sparse_probing"];
    let file = |sae: &'static str, file: &'static str| {
        refused(&[&["--sae", sae, "--activations", file], &probing[..]].concat())
    };
    let wide = file("resid", "x.npz");
    assert!(wide.contains("`x` is 4 wide, but the autoencoder reads rows of 160"), "{wide}");
    assert!(file("four", "no_y.npz").contains("`y`"));
    let texts = ["--data", "texts.jsonl", "--label", "subject"];
    let no_model = refused(&[&["--sae", "four"], &texts[..], &probing].concat());
    assert!(no_model.contains("names no model, give `--model`"), "{no_model}");
    let place = ["--sae", "four", "--model", "demo-gpt2", "--hook", "blocks.1.hook_resid_post"];
    let narrow = refused(&[&place[..], &texts, &probing].concat());
    assert!(narrow.contains("reads rows of 4, not `blocks.1.hook_resid_post`"), "{narrow}");
    let resid = [&["--sae", "resid"], &texts[..], &probing].concat();
    let few = refused(&[&resid[..], &["--max-texts", "15"]].concat());
    assert!(few.contains("`--max-texts` is 15, but 2 classes need at least 20"), "{few}");
    let share = refused(&[&resid[..], &["--test", "1.5"]].concat());
    assert!(share.contains("`test` is 1.5"), "{share}");
    let none = refused(&[&resid[..], &["--test", "0"]].concat());
    assert!(none.contains("with `--test 0` a class has no text on one side"), "{none}");
}
