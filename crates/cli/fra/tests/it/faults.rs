//! What ended a run or was called an internal fault once: exit code, one line, nothing lost.

use attention_probes_activations::FolderLock;
use attention_probes_sae::write_sae_lens;
use serde_json::Value;

use crate::along_the_mean::{along_the_mean, spoil};
use crate::call::{command, refused_in_a_line, succeed};
use crate::folder::folder;
use crate::pipe::is_no_output;
use crate::streams::{ends_on_a_full_disk, ends_unread};

#[test]
fn a_pipe_is_no_output() {
    let folder = folder();
    let args = ["sample", "--sae", "missing", "--data", "texts.csv", "--output", "page.html"];
    is_no_output(folder.path(), "page.html", &args);
}

#[test]
fn a_log_that_cannot_be_written_changes_no_exit_code() {
    let folder = folder();
    let missing = || command(folder.path(), &["sample", "--sae", "missing", "--text", "a"]);
    ends_on_a_full_disk(missing(), 2);
    ends_unread(missing(), 2);
}

#[test]
fn one_process_at_a_time_writes_into_a_folder() {
    let folder = folder();
    let path = folder.path();
    write_sae_lens(&along_the_mean(), path.join("sae")).unwrap();
    let _of_pairs = FolderLock::claim(&path.join("pairs")).unwrap();
    let args = ["accumulate", "--sae", "sae", "--data", "texts.csv", "--output", "pairs"];
    let error = refused_in_a_line(&mut command(path, &args));
    assert!(error.contains("`pairs` is in use by another process"), "{error}");
}

#[test]
fn a_wrong_input_is_no_internal_fault() {
    let folder = folder();
    let path = folder.path();
    write_sae_lens(&along_the_mean(), path.join("huge")).unwrap();
    spoil(&path.join("huge"));
    let accumulate = ["accumulate", "--sae", "huge", "--data", "texts.csv", "--output", "f"];
    for args in [&["sample", "--sae", "huge", "--text", "a dog"][..], &accumulate] {
        let error = refused_in_a_line(&mut command(path, args));
        assert!(error.contains("`huge` cannot be used: `W_dec` has numbers"), "{error}");
    }
}

#[test]
fn a_finished_accumulation_ends_as_a_finished_sweep_does() {
    let folder = folder();
    let path = folder.path();
    write_sae_lens(&along_the_mean(), path.join("sae")).unwrap();
    let args = ["accumulate", "--sae", "sae", "--data", "texts.csv", "--output", "pairs"];
    let args = [&args[..], &["--heads", "0", "--samples", "3", "--json"]].concat();
    let (first, _) = succeed(&mut command(path, &args));
    assert!(refused_in_a_line(&mut command(path, &args)).contains("is of a run that is finished"));
    let resume = [&args[..], &["--resume"]].concat();
    let (again, told) = succeed(&mut command(path, &resume));
    let heads = |text: &str| {
        let found: Value = serde_json::from_str(text).unwrap();
        let heads = found["heads"].as_array().unwrap().clone();
        heads.iter().map(|head| (head["head"].clone(), head["n_pairs"].clone())).collect::<Vec<_>>()
    };
    assert_eq!(heads(&again), heads(&first));
    assert!(told.contains("`pairs` is complete already"), "{told}");
    let other = [&resume[..], &["--seed", "5"]].concat();
    let error = refused_in_a_line(&mut command(path, &other));
    assert!(error.contains("is of a run with other settings"), "{error}");
}
