//! Autoencoders and texts of the Hub, from a server on this machine that plays it.

use std::fs;
use std::path::Path;

use crate::call::{command, succeed};
use crate::hub_server::{FakeHub, Repository};
use crate::on_hub::on_hub;

#[test]
fn a_published_file_comes_with_the_configuration_beside_it() {
    let golden = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../sae/tests/golden/formats");
    let stem = "gpt2-small_L1_Hcat_z_lr1.20e-03_l11.20e+00_ds10_v4";
    let content =
        |end: &str| fs::read(golden.join(format!("attention_output/{stem}{end}"))).unwrap();
    let files = [
        (format!("{stem}.pt"), content(".pt")),
        (format!("{stem}_cfg.json"), content("_cfg.json")),
        ("OTHER_cfg.json".to_owned(), b"{}".to_vec()),
    ];
    let address = format!("hf://org/saes/{stem}.pt");
    let repository = Repository::new("org/saes", files.iter().map(|(name, all)| (&**name, &**all)));
    let (hub, folder) = (FakeHub::of(repository), tempfile::tempdir().unwrap());
    let path = folder.path();
    let (info, _) = succeed(&mut on_hub(path, &hub, &["info", &address]));
    assert!(info.contains("attention-output (.pt)"), "{info}");
    assert!(!hub.take_lines().iter().any(|line| line.contains("OTHER")));
    let args = ["convert", &address, "--output", "here"];
    succeed(on_hub(path, &hub, &args).env("HF_HUB_OFFLINE", "1"));
    let (converted, _) = succeed(&mut command(path, &["info", "here"]));
    assert!(converted.contains("SAELens"), "{converted}");
}

#[test]
fn autoencoders_are_trained_and_shown_on_texts_of_the_hub() {
    let text = |i: usize| format!("{{\"text\": \"The fox number {i} ran to the other fox.\"}}\n");
    let texts: String = (0..120).map(text).collect();
    let repository = Repository::new("datasets/org/texts", [("train.jsonl", texts.as_bytes())]);
    let (hub, folder) = (FakeHub::of(repository), tempfile::tempdir().unwrap());
    let path = folder.path();
    fs::write(
        path.join("sae.toml"),
        "run = \"hub\"\noutput = \"results\"\n[model]\nname = \"demo-gpt2\"\n[data]\n\
         path = \"hf://datasets/org/texts\"\ncontext_size = 16\n[train]\ntokens = 512\n\
         batch_size = 64\nbuffer_batches = 4\nwarm_up_steps = 1\n[[saes]]\nname = \"resid\"\n\
         hook = \"blocks.1.hook_resid_post\"\nd_sae = 32\n\
         architecture = { name = \"topk\", k = 4 }\n",
    )
    .unwrap();
    succeed(&mut on_hub(path, &hub, &["train", "sae.toml"]));
    let args = ["view", "--sae", "results/hub/sae/resid", "--data", "hf://datasets/org/texts"];
    let args = [&args[..], &["--output", "page.html"]].concat();
    succeed(on_hub(path, &hub, &args).env("HF_HUB_OFFLINE", "1"));
    assert!(
        fs::read_to_string(path.join("page.html")).unwrap().contains("blocks.1.hook_resid_post")
    );
}
