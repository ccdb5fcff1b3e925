//! What is refused.

use std::fs;

use crate::call::{command, refused};
use crate::fixture::folder;

#[test]
fn what_cannot_be_is_refused_in_one_line() {
    let folder = folder();
    let path = folder.path();
    let sample = |more: &[&str]| {
        refused(&mut command(
            path,
            &[&["sample", "--sae", "two", "--text", "a fox"][..], more].concat(),
        ))
    };
    assert!(sample(&["--heads", "5"]).contains("layer 2 has heads 0 to 4, not 5"));
    assert!(sample(&["--heads", "1,1"]).contains("heads, each once"));
    assert!(sample(&["--heads", "first"]).contains("expected `all`"));
    assert!(sample(&["--max-tokens", "999"]).contains("256 at most"));
    assert!(sample(&["--model", "demo-none"]).contains("demo-none"));
    assert!(sample(&["--sae", "three"]).contains("takes one autoencoder"));
    assert!(sample(&["--device", "tpu"]).contains("tpu"));
    assert!(sample(&["--output", "texts.jsonl/s.json"]).contains("texts.jsonl/s.json"));
    assert!(sample(&["--output", "s.txt"]).contains("ends in none of .html, .json, and .npz"));
    let none = ["sample", "--sae", "texts.jsonl", "--text", "a"];
    assert!(refused(&mut command(path, &none)).contains("is no sparse autoencoder"));
    let row = ["sample", "--sae", "two", "--data", "texts.jsonl", "--row", "99"];
    assert!(refused(&mut command(path, &row)).contains("`texts.jsonl` has no row 99"));
    let accumulate =
        |more: &[&str]| refused(&mut command(path, &[&["accumulate"][..], more].concat()));
    let both = ["--sae", "two", "--sae", "gemma", "--data", "texts.jsonl"];
    assert!(accumulate(&both).contains("two models, `demo-gpt2` and `demo-gemma`"));
    let data = ["--sae", "two", "--data"];
    assert!(accumulate(&[&data[..], &["none.jsonl"]].concat()).contains("none.jsonl"));
    let budget = [&data[..], &["texts.jsonl", "--memory-budget-gib", "0"]].concat();
    assert!(accumulate(&budget).contains("a number above 0"));
    fs::write(path.join("short.jsonl"), "{\"text\": \"a\"}\n").unwrap();
    let short = [&data[..], &["short.jsonl"]].concat();
    assert!(accumulate(&short).contains("no text of two tokens"));
    fs::create_dir(path.join("results")).unwrap();
    fs::write(path.join("results/accumulated_fra_L2.checkpoint"), "something else").unwrap();
    let row = ["sample", "--sae", "two", "--data", "short.jsonl", "--max-tokens", "1"];
    assert!(refused(&mut command(path, &row)).contains("row 0 of `short.jsonl` has no token"));
    let package =
        |name: &str| accumulate(&[&data[..], &["texts.jsonl", "--package", name]].concat());
    assert!(package("all.zip").contains("ends neither in .tar.gz nor in .tgz"));
    let pages = [&data[..], &["texts.jsonl", "--sae-page", "a.html", "--sae-page", "b.html"]];
    assert!(accumulate(&pages.concat()).contains("is given 2 times"));
    let page = [&data[..], &["texts.jsonl", "--sae-page", "https://example.org/sae.html"]].concat();
    assert!(accumulate(&page).contains("relative to the page"));
    let damaged = [&data[..], &["texts.jsonl", "--resume"]].concat();
    assert!(accumulate(&damaged).contains("remove it to start over"));
}
