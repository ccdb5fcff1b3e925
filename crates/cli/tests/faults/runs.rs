//! Folders of runs, sizes beyond any machine, and wrong inputs that were called internal faults.

use std::ffi::OsStr;
use std::fs;
use std::os::unix::ffi::OsStrExt as _;
use std::path::Path;

use attention_probes_activations::{FolderLock, NpzArray, NpzData, read_npz, write_npz};
use attention_probes_sae::write_sae_lens;

use super::call::{
    TRAIN, along_the_mean, command, folder, refused, refused_by, succeed, temporaries,
};

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
    write_sae_lens(&along_the_mean(), path.join("sae")).unwrap();
    let of_run = FolderLock::claim(&path.join("out/plain")).unwrap();
    let of_training = FolderLock::claim(&path.join("out/plain/sae")).unwrap();
    let of_pairs = FolderLock::claim(&path.join("pairs")).unwrap();
    let accumulate = ["accumulate", "--sae", "sae", "--data", "texts.csv", "--output", "pairs"];
    for (program, args, name) in [
        ("sae", &["train", "train.toml"][..], "out/plain/sae"),
        ("sae", &["ablate", "ablate.toml"], "out/plain"),
        ("fra", &accumulate, "pairs"),
    ] {
        let error = refused(program, path, args);
        assert!(error.contains(&format!("`{name}` is in use by another process")), "{error}");
    }
    drop((of_run, of_training, of_pairs));
    succeed("sae", path, &["train", "train.toml"]);
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
            let error = refused("sae", path, &[&["train", "train.toml"][..], flags].concat());
            assert!(error.contains("of memory at least") && error.contains(key), "{to}: {error}");
            assert!(!path.join("out").exists(), "nothing is written");
        }
    }
    fs::write(path.join("train.toml"), TRAIN).unwrap();
    let plan = succeed("sae", path, &["train", "train.toml", "--dry-run"]);
    assert!(plan.stderr.contains("memory beside the model: 0.47 MiB"), "{}", plan.stderr);
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
    let info = succeed("sae", path, &["info", "sae"]).stdout;
    assert!(info.contains(&format!("{}…\n", "é".repeat(200))), "{info}");
    assert!(info.contains("a\\u{1b}[2J\\nb") && !info.contains('\u{1b}'), "{info}");

    let csv = fs::read_to_string(path.join("texts.csv")).unwrap();
    let renamed = csv.lines().map(|line| line.replace(",neg", &format!(",{long}")) + "\n");
    fs::write(path.join("texts.csv"), renamed.collect::<String>()).unwrap();
    succeed("probe", path, &["sweep", "sweep.toml"]);
    let trained = path.join("out/s/seed_42/texts-L00-resid_post/trained");
    let state = fs::read_dir(trained).unwrap().map(|entry| entry.unwrap().path());
    let state = state.into_iter().find(|path| path.extension() == Some(OsStr::new("npz"))).unwrap();
    let args = ["eval", "--probe", state.to_str().unwrap(), "--data", "texts.csv"];
    succeed("probe", path, &args);
}

/// Makes the first weight of a decoder the largest number.
fn spoil(folder: &Path) {
    let path = folder.join("sae_weights.safetensors");
    let mut bytes = fs::read(&path).unwrap();
    let header_end = 8 + u64::from_le_bytes(bytes[..8].try_into().unwrap()) as usize;
    let header: serde_json::Value = serde_json::from_slice(&bytes[8..header_end]).unwrap();
    let start = header["W_dec"]["data_offsets"][0].as_u64().unwrap() as usize;
    bytes[header_end + start..][..4].copy_from_slice(&f32::MAX.to_le_bytes());
    fs::write(path, bytes).unwrap();
}

#[test]
fn a_wrong_input_is_no_internal_fault() {
    let folder = folder();
    let path = folder.path();
    write_sae_lens(&along_the_mean(), path.join("huge")).unwrap();
    spoil(&path.join("huge"));
    let accumulate = ["accumulate", "--sae", "huge", "--data", "texts.csv", "--output", "f"];
    for (program, args) in [
        ("sae", &["info", "huge"][..]),
        ("sae", &["convert", "huge", "--output", "converted"]),
        ("fra", &["sample", "--sae", "huge", "--text", "a dog"]),
        ("fra", &accumulate),
    ] {
        let error = refused(program, path, args);
        assert!(error.contains("`huge` cannot be used: `W_dec` has numbers"), "{error}");
    }

    let mut train = command("sae", path, &["train", "train.toml", "--output"]);
    train.arg(OsStr::from_bytes(b"\xff\xfe"));
    let error = refused_by(&mut train);
    assert!(error.contains("is not UTF-8"), "{error}");

    succeed("probe", path, &["sweep", "sweep.toml"]);
    let run = path.join("out/s/seed_42");
    let predictions = run.join("texts-L00-resid_post/predictions.npz");
    let good = fs::read(&predictions).unwrap();
    let mut arrays = read_npz(&predictions).unwrap();
    for (name, array) in &mut arrays {
        if name.contains("logits")
            && let NpzData::F32(values) = &mut array.data
        {
            values[0] = f32::NAN;
        }
    }
    let named: Vec<(&str, NpzArray)> =
        arrays.iter().map(|(name, array)| (name.as_str(), array.clone())).collect();
    write_npz(&predictions, &named).unwrap();
    let error = refused("probe", path, &["sweep", "sweep.toml", "--resume"]);
    assert!(error.contains("predictions.npz` does not hold"), "{error}");
    fs::write(&predictions, good).unwrap();
    succeed("probe", path, &["sweep", "sweep.toml", "--resume"]);

    fs::write(run.join("config.toml"), "run = 3\n").unwrap();
    let output = command("probe", path, &["compare", "out/s", "out/s"]).output().unwrap();
    let stderr = String::from_utf8(output.stderr).unwrap();
    assert_eq!(output.status.code(), Some(2), "{stderr}");
    assert!(stderr.contains("out/s/seed_42/config.toml` is not a valid sweep"), "{stderr}");
}

#[test]
fn a_finished_accumulation_ends_as_a_finished_sweep_does() {
    let folder = folder();
    let path = folder.path();
    write_sae_lens(&along_the_mean(), path.join("sae")).unwrap();
    let args = ["accumulate", "--sae", "sae", "--data", "texts.csv", "--output", "pairs"];
    let args = [&args[..], &["--heads", "0", "--samples", "3", "--json"]].concat();
    let first = succeed("fra", path, &args);
    assert!(refused("fra", path, &args).contains("is of a run that is finished"));
    let resume = [&args[..], &["--resume"]].concat();
    let again = succeed("fra", path, &resume);
    let heads = |text: &str| {
        let found: serde_json::Value = serde_json::from_str(text).unwrap();
        let heads = found["heads"].as_array().unwrap().clone();
        heads.iter().map(|head| (head["head"].clone(), head["n_pairs"].clone())).collect::<Vec<_>>()
    };
    assert_eq!(heads(&again.stdout), heads(&first.stdout));
    assert!(again.stderr.contains("`pairs` is complete already"), "{}", again.stderr);
    let other = [&resume[..], &["--seed", "5"]].concat();
    let error = refused("fra", path, &other);
    assert!(error.contains("is of a run with other settings"), "{error}");
}
