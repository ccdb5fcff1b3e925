//! Chosen probes on the test examples of other data sets.

use std::fs;

use crate::sweep::folder::{Folder, RUN, best, json};

/// The second data set has other texts of the same classes, the third other classes.
fn folder() -> Folder {
    let more = "\n[[data]]\npath = \"other.csv\"\nvalidation = 0.2\n\n[[data]]\npath = \"stars.csv\"\n\
                validation = 0.2\n\n[[data]]\nname = \"again\"\npath = \"data.csv\"\nvalidation = 0.2\n\n\
                [activations]";
    let folder = Folder::with(&[("[activations]", more), ("layers = [1]", "layers = [0, 1]")]);
    let texts = fs::read_to_string(folder.path("data.csv")).unwrap();
    folder.write("other.csv", texts.replace("the ", "this very "));
    folder.write("stars.csv", texts.replace(",liked", ",five").replace(",disliked", ",one"));
    folder
}

#[test]
fn probes_are_judged_where_classes_are_the_same_and_texts_are_not() {
    let folder = folder();
    let (stdout, _) = folder.succeed(&[]);
    assert!(stdout.contains("the best probe of every data set on the test examples of others"));
    let found = json(&fs::read(folder.path(RUN).join("transfer.json")).unwrap());
    let pairs: Vec<(String, String)> = found
        .as_array()
        .unwrap()
        .iter()
        .map(|one| {
            assert_eq!(one["test"]["n_examples"], 12);
            let [from, on] = ["experiment", "judged_on"].map(|key| one[key].as_str().unwrap());
            (from.to_owned(), on.to_owned())
        })
        .collect();
    let pair = |from: &str, layer: usize, on: &str| {
        (format!("{from}-L{layer:02}-resid_post"), on.to_owned())
    };
    // `again` is the same file as `data`: neither is judged on the other.
    let mut expected = Vec::new();
    for (on, others) in
        [("data", &["other"][..]), ("other", &["data", "again"]), ("again", &["other"])]
    {
        for from in others {
            expected.extend([0, 1].map(|layer| pair(from, layer, on)));
        }
    }
    assert_eq!(pairs, expected);
    // The other texts hardly differ, and what tells the classes apart is the same.
    let report = best(&folder, "data-L01-resid_post");
    let own = report["architectures"][0]["test"]["balanced_accuracy"].as_f64().unwrap();
    let index = pairs.iter().position(|found| *found == pair("data", 1, "other")).unwrap();
    let other = found[index]["test"]["balanced_accuracy"].as_f64().unwrap();
    assert!((own - other).abs() < 0.3, "{own} and {other}");

    let page = fs::read_to_string(folder.path("results/small/report.html")).unwrap();
    assert!(page.contains("\"judged_on\":\"other\""));
    let before = folder.tree("results");
    folder.succeed(&["--resume"]);
    assert_eq!(folder.tree("results"), before);
}

#[test]
fn nothing_is_judged_elsewhere_if_it_is_not_wanted() {
    let folder = folder();
    let config = fs::read_to_string(folder.path("sweep.toml")).unwrap();
    folder.write("sweep.toml", config + "\n[evaluation]\ntransfer = false\n");
    folder.succeed(&[]);
    assert!(!folder.path(RUN).join("transfer.json").exists());
}
