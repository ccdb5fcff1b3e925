//! Folders of Gurnee et al. as data: what is learned of them, and what is refused.

use std::fs;
use std::path::Path;

#[cfg(feature = "arrow")]
use serde_json::json;

use crate::sweep::bad_input::assert_has;
use crate::sweep::folder::Folder;
#[cfg(feature = "arrow")]
use crate::sweep::folder::best;

/// A sweep over one of the small folders of the reader's tests, called `name` here.
fn sweep(golden: &str, name: &str, keys: &str) -> Folder {
    let data = format!("path = \"{name}\"\n{keys}");
    let folder = Folder::with(&[("path = \"data.csv\"", &data)]);
    let own = Path::new(env!("CARGO_MANIFEST_DIR"));
    let from = own.join("../../activations/tests/golden/haystack").join(golden);
    fs::create_dir(folder.path(name)).unwrap();
    for file in fs::read_dir(from).unwrap() {
        let file = file.unwrap();
        fs::copy(file.path(), folder.path(name).join(file.file_name())).unwrap();
    }
    let tokenizer = own.join("../../models/demo/demo-gpt2/tokenizer.json");
    fs::copy(tokenizer, folder.path("tokenizer.json")).unwrap();
    folder
}

const COMPOUNDS: &str = "compound_words.demo.12.-1";

#[cfg(feature = "arrow")]
#[test]
fn a_compound_is_learned_at_its_last_token_with_either_tokenizer() {
    let keys = "task = \"tokens\"\nfeature = \"high-school\"";
    let own = sweep(COMPOUNDS, COMPOUNDS, keys);
    own.succeed(&[]);
    let report = best(&own, "compound_words-high-school-L01-resid_post");
    assert_eq!(report["classes"], json!(["other", "high-school"]));
    let sizes = ["n_train", "n_validation", "n_test"].map(|n| report[n].as_u64().unwrap());
    assert_eq!(sizes.iter().sum::<u64>(), 18);

    let keys = format!("{keys}\ntokenizer = \"tokenizer.json\"");
    let given = sweep(COMPOUNDS, "compound_words.pyth.12.-1", &keys);
    given.succeed(&[]);
    let other = best(&given, "compound_words-high-school-L01-resid_post");
    assert_eq!(report["architectures"], other["architectures"]);

    // Files of a folder and the tokenizer are what tells whether a run is complete.
    let (_, stderr) = given.succeed(&["--resume"]);
    assert!(stderr.contains("is complete already"), "{stderr}");
    let mut tokenizer = fs::read(given.path("tokenizer.json")).unwrap();
    tokenizer.push(b'\n');
    given.write("tokenizer.json", tokenizer);
    let (_, stderr) = given.succeed(&["--resume"]);
    assert!(!stderr.contains("is complete already"), "{stderr}");
}

#[cfg(feature = "arrow")]
#[test]
fn a_class_of_texts_is_learned_and_a_feature_is_asked_for_where_it_is_needed() {
    let name = "wikidata_is_alive.demo.16.-1";
    let folder = sweep(name, name, "");
    folder.succeed(&[]);
    let report = best(&folder, "wikidata_is_alive-L01-resid_post");
    assert_eq!(report["classes"], json!(["false", "true"]));

    let folder = sweep(COMPOUNDS, COMPOUNDS, "task = \"tokens\"");
    let message = folder.refused(&[]);
    assert_has(&message, &[COMPOUNDS, "set `feature` to one of them: `high-school`"]);
}

#[cfg(not(feature = "arrow"))]
#[test]
fn a_folder_is_refused_with_the_feature_that_reads_it() {
    let folder = sweep(COMPOUNDS, COMPOUNDS, "task = \"tokens\"\nfeature = \"high-school\"");
    let message = folder.refused(&[]);
    assert_has(&message, &[COMPOUNDS, "cannot be read: build with feature `arrow`"]);
}

#[test]
fn keys_that_do_not_fit_a_folder_are_refused_before_it_is_read() {
    for (name, keys, expected) in [
        (COMPOUNDS, "feature = \"x\"", "`data.task` must be `tokens` for this folder"),
        (
            COMPOUNDS,
            "task = \"tokens\"\ntags = \"labels\"",
            "`data.tags` is not allowed with a folder",
        ),
        (COMPOUNDS, "task = \"tokens\"\nhook = \"x\"", "`data.hook` is for activations"),
        (
            COMPOUNDS,
            "task = \"tokens\"\ntest = \"data.csv\"",
            "`data.test` must be of the same form",
        ),
        (
            "compound_words.pyth.12.-1",
            "task = \"tokens\"",
            "`data.tokenizer` is missing: by its name, the folder's tokens are of another tokenizer",
        ),
        ("pile_test.demo.12.-1", "", "with one of the families text_features, has_suffix"),
        ("position.demo.6.-1", "task = \"tokens\"", "has a number for each token"),
    ] {
        let message = sweep(COMPOUNDS, name, keys).refused(&[]);
        assert_has(&message, &[expected]);
    }
    let folder = Folder::with(&[("path = \"data.csv\"", "path = \"data.csv\"\nfeature = \"x\"")]);
    assert_has(&folder.refused(&[]), &["`data.feature` is for a folder of Gurnee et al."]);
    let keys = "task = \"tokens\"\ntokenizer = \"none.json\"";
    let message = sweep(COMPOUNDS, "compound_words.pyth.12.-1", keys).refused(&[]);
    assert_has(&message, &["cannot read `", "none.json`"]);
}
