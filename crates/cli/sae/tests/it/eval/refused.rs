//! What cannot be measured is refused in one line.

use crate::call::{command, refused, succeed};
use crate::eval::fixture::folder;

#[test]
fn flags_that_an_evaluation_does_not_have_are_refused() {
    let folder = folder();
    let refused = |evaluation: &str, args: &[&str]| {
        let all = [&["eval", evaluation, "--sae", "resid"], args].concat();
        refused(&mut command(folder.path(), &all))
    };
    let data = ["--data", "texts.jsonl"];
    let with = |evaluation: &str, args: &[&str]| refused(evaluation, &[&data[..], args].concat());
    let unexpected = |said: &str, flag: &str| {
        assert!(said.contains(&format!("unexpected argument '{flag}' found")), "{said}");
    };
    assert!(refused("core", &[]).contains("--data <DATA>"));
    let nothing = refused("core", &["--data", "hf://nothing"]);
    assert!(nothing.contains("`hf://nothing` is no data set"), "{nothing}");
    assert_eq!(nothing.lines().count(), 1, "{nothing}");
    unexpected(&with("core", &["--seeds", "2"]), "--seeds");
    unexpected(&with("core", &["--seed", "2"]), "--seed");
    unexpected(&with("tpp", &["--spurious", "form"]), "--spurious");
    unexpected(&with("absorption", &[]), "--data");
    assert!(with("scr", &[]).contains("--spurious <SPURIOUS>"));
    let file = ["--activations", "x.npz", "--spurious", "form"];
    unexpected(&refused("scr", &file), "--activations");
    let both = refused("tpp", &["--activations", "x.npz", "--label", "subject"]);
    assert!(both.contains("cannot be used with"), "{both}");
    let both = refused("core", &["--activations", "x.npz", "--max-contexts", "3"]);
    assert!(both.contains("cannot be used with"), "{both}");
}

#[test]
fn every_evaluation_has_an_example_in_its_help() {
    let folder = folder();
    for evaluation in ["core", "sparse-probing", "tpp", "scr", "absorption"] {
        let help = succeed(&mut command(folder.path(), &["eval", evaluation, "--help"])).0;
        assert!(help.contains(&format!("Example: sae eval {evaluation} --sae ")), "{help}");
    }
}

#[test]
fn columns_and_classes_that_do_not_do_are_refused() {
    let folder = folder();
    let refused = |data: &str, args: &[&str]| {
        let (evaluation, args) = args.split_first().unwrap();
        let args = [&["eval", *evaluation, "--sae", "resid", "--data", data], args].concat();
        let said = refused(&mut command(folder.path(), &args));
        assert_eq!(said.lines().count(), 1, "{said}");
        assert!(said.contains(data), "{said}");
        said
    };
    let (probing, scr) = (["sparse-probing"], ["scr", "--label", "subject"]);
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
        let said =
            refused(&mut command(folder.path(), &[&["eval", "sparse-probing"], args].concat()));
        assert_eq!(said.lines().filter(|line| !line.contains(" INFO ")).count(), 1, "{said}");
        said
    };
    let file =
        |sae: &'static str, file: &'static str| refused(&["--sae", sae, "--activations", file]);
    let wide = file("resid", "x.npz");
    assert!(wide.contains("`x` is 4 wide, but the autoencoder reads rows of 160"), "{wide}");
    assert!(file("four", "no_y.npz").contains("`y`"));
    let texts = ["--data", "texts.jsonl", "--label", "subject"];
    let no_model = refused(&[&["--sae", "four"], &texts[..]].concat());
    assert!(no_model.contains("names no model, give `--model`"), "{no_model}");
    let place = ["--sae", "four", "--model", "demo-gpt2", "--hook", "blocks.1.hook_resid_post"];
    let narrow = refused(&[&place[..], &texts].concat());
    assert!(narrow.contains("reads rows of 4, not `blocks.1.hook_resid_post`"), "{narrow}");
    let resid = [&["--sae", "resid"], &texts[..]].concat();
    let few = refused(&[&resid[..], &["--max-texts", "15"]].concat());
    assert!(few.contains("`--max-texts` is 15, but 2 classes need at least 20"), "{few}");
    let share = refused(&[&resid[..], &["--test", "1.5"]].concat());
    assert!(share.contains("`test` is 1.5"), "{share}");
    let none = refused(&[&resid[..], &["--test", "0"]].concat());
    assert!(none.contains("with `--test 0` a class has no text on one side"), "{none}");
}
