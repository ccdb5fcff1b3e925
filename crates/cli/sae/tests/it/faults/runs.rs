//! Folders of runs, sizes beyond any machine, and wrong inputs that were called internal faults.

use std::ffi::OsStr;
use std::fs;
use std::os::unix::ffi::OsStrExt as _;

use attention_probes_activations::FolderLock;
use attention_probes_sae::write_sae_lens;

use super::{TRAIN, folder};
use crate::along_the_mean::{along_the_mean, spoil};
use crate::call::{command, refused_in_a_line, succeed};
use crate::temporaries::temporaries;

#[test]
fn one_process_at_a_time_writes_into_a_folder() {
    let folder = folder();
    let path = folder.path();
    let ablation = "run = \"plain\"\noutput = \"out\"\ndevice = \"cpu\"\nseeds = [1, 2]\n\
        [model]\nname = \"demo-gpt2\"\n[data]\npath = \"texts.csv\"\ncontext_size = 16\n\
        test_contexts = 4\n[train]\ntokens = 2000\nbatch_size = 64\n\
        [sae]\nhook = \"blocks.1.hook_resid_post\"\nd_sae = 96\n\
        architecture = { name = \"topk\", k = 8 }\n\
        [guidance]\nlayers = [-1, 0]\nn_negatives = 8\n";
    fs::write(path.join("ablate.toml"), ablation).unwrap();
    let of_run = FolderLock::claim(&path.join("out/plain")).unwrap();
    let of_training = FolderLock::claim(&path.join("out/plain/sae")).unwrap();
    for (args, name) in
        [(["train", "train.toml"], "out/plain/sae"), (["ablate", "ablate.toml"], "out/plain")]
    {
        let error = refused_in_a_line(&mut command(path, &args));
        assert!(error.contains(&format!("`{name}` is in use by another process")), "{error}");
    }
    drop((of_run, of_training));
    succeed(&mut command(path, &["train", "train.toml"]));
    let history = fs::read_to_string(path.join("out/plain/sae/a/history.jsonl")).unwrap();
    let steps: Vec<u64> = history
        .lines()
        .map(|line| {
            serde_json::from_str::<serde_json::Value>(line).unwrap()["step"].as_u64().unwrap()
        })
        .collect();
    assert_eq!(steps, (1..=31).collect::<Vec<u64>>());
    assert_eq!(temporaries(path), Vec::<String>::new());
}

#[test]
fn sizes_beyond_the_machine_are_refused_in_the_plan() {
    let folder = folder();
    let path = folder.path();
    for (from, to, key) in [
        ("d_sae = 96", "d_sae = 4294967295", "saes.d_sae"),
        ("d_sae = 96", "d_sae = 1000000000", "saes.d_sae"),
        ("buffer_batches = 4", "buffer_batches = 1000000000", "train.buffer_batches"),
        ("buffer_batches = 4", "buffer_batches = 9223372036854775807", "train.buffer_batches"),
    ] {
        fs::write(path.join("train.toml"), TRAIN.replace(from, to)).unwrap();
        for flags in [&[][..], &["--dry-run"]] {
            let error = refused_in_a_line(&mut command(
                path,
                &[&["train", "train.toml"][..], flags].concat(),
            ));
            assert!(error.contains("of memory at least") && error.contains(key), "{to}: {error}");
            assert!(!path.join("out").exists(), "nothing is written");
        }
    }
    fs::write(path.join("train.toml"), TRAIN).unwrap();
    let (_, plan) = succeed(&mut command(path, &["train", "train.toml", "--dry-run"]));
    assert!(plan.contains("memory beside the model: 0.47 MiB"), "{plan}");
}

#[test]
fn cells_of_any_width_are_shown() {
    let folder = folder();
    let path = folder.path();
    let long = "é".repeat(70_000);
    let mut sae = along_the_mean();
    sae.config.metadata.set("dataset_path", long.clone());
    sae.config.metadata.set("lines", "a\u{1b}[2J\nb");
    write_sae_lens(&sae, path.join("sae")).unwrap();
    let info = succeed(&mut command(path, &["info", "sae"])).0;
    assert!(info.contains(&format!("{}…\n", "é".repeat(200))), "{info}");
    assert!(info.contains("a\\u{1b}[2J\\nb") && !info.contains('\u{1b}'), "{info}");
}

#[test]
fn a_wrong_input_is_no_internal_fault() {
    let folder = folder();
    let path = folder.path();
    write_sae_lens(&along_the_mean(), path.join("huge")).unwrap();
    spoil(&path.join("huge"));
    for args in [&["info", "huge"][..], &["convert", "huge", "--output", "converted"]] {
        let error = refused_in_a_line(&mut command(path, args));
        assert!(error.contains("`huge` cannot be used: `W_dec` has numbers"), "{error}");
    }
    let mut train = command(path, &["train", "train.toml", "--output"]);
    train.arg(OsStr::from_bytes(b"\xff\xfe"));
    let error = refused_in_a_line(&mut train);
    assert!(error.contains("is not UTF-8"), "{error}");
}
