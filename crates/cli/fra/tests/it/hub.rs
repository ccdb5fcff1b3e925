//! Autoencoders and texts of the Hub, from a server on this machine that plays it.

use std::fs;
use std::path::Path;

use crate::call::{command, refused, succeed};
use crate::fixture::{folder, read};
use crate::hub_server::{FakeHub, Repository};
use crate::on_hub::on_hub;

/// Two autoencoders of a folder, and a data set with the texts.
fn hub(folder: &Path) -> FakeHub {
    let content = |path: &str| fs::read(folder.join(path)).unwrap();
    let of = |name: &str| {
        ["cfg.json", "sae_weights.safetensors"]
            .map(|file| (format!("l2/{name}/{file}"), content(&format!("{name}/{file}"))))
    };
    let files: Vec<(String, Vec<u8>)> = [of("two"), of("z")].into_iter().flatten().collect();
    let saes = Repository::new("org/saes", files.iter().map(|(path, all)| (&**path, &**all)));
    let texts = content("texts.jsonl");
    let texts = Repository::new("datasets/org/texts", [("train.jsonl", &*texts)]);
    FakeHub::start(move |seen| {
        if seen.path.contains("datasets/") { texts.reply(seen) } else { saes.reply(seen) }
    })
}

#[test]
fn pairs_of_an_autoencoder_and_texts_of_the_hub_are_those_of_their_files() {
    let folder = folder();
    let path = folder.path();
    let hub = hub(path);
    let rest = ["--heads", "0", "--published", "--package", "results_package.tar.gz"];
    let of_files = ["accumulate", "--sae", "z", "--data", "texts.jsonl", "--output", "files"];
    succeed(&mut command(path, &[&of_files[..], &rest].concat()));
    let (sae, data) = ("hf://org/saes/l2/z", "hf://datasets/org/texts");
    let of_hub = ["accumulate", "--sae", sae, "--data", data, "--output", "hub"];
    let of_hub = [&of_hub[..], &rest].concat();
    succeed(&mut on_hub(path, &hub, &of_hub));
    let asked = hub.take_lines();
    assert!(!asked.iter().any(|line| line.contains("l2/two/")), "{asked:?}");
    let name = "accumulated_fra_L2H0_N12.json";
    let [files, on_hub_too] = ["files", "hub"].map(|folder| read(path.join(folder).join(name)));
    assert_eq!(files["top"], on_hub_too["top"]);
    assert!(path.join("hub/results_package.tar.gz").is_file());

    // A second time, and without network, they come out of the cache.
    let again = [&of_hub[..], &["--overwrite"]].concat();
    let mut offline = on_hub(path, &hub, &again);
    succeed(offline.env("HF_HUB_OFFLINE", "1"));
    assert_eq!(hub.take_lines(), [""; 0]);
}

#[test]
fn a_folder_that_is_no_autoencoder_says_what_is_in_it() {
    let folder = folder();
    let hub = hub(folder.path());
    let refused = |sae: &str| {
        let args = ["sample", "--sae", sae, "--text", "a fox"];
        refused(&mut on_hub(folder.path(), &hub, &args))
    };
    assert!(refused("hf://org/saes/l2").contains("is no autoencoder itself; it has two/, z/"));
    assert!(refused("hf://org/saes").contains("it has l2/"));
    let error = refused("hf://org/saes/l2/y.pt");
    assert!(error.contains("there is no `l2/y.pt`; `l2` has two/, z/"), "{error}");
    let error = refused("hf://datasets/org/texts/z");
    assert!(error.contains("expected `hf://OWNER/REPO/PATH`"), "{error}");
}
