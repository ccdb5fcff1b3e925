//! Files that are damaged, incomplete, or want to do harm: each gives one clear line.

use std::fs;
use std::io::Write as _;
use std::path::Path;

use attention_probes_activations::{NpzArray, write_npz};
use attention_probes_sae::read_sae;
use zip::write::SimpleFileOptions;

use crate::formats::golden::folder;

/// A copy of a golden folder.
fn copy(name: &str) -> tempfile::TempDir {
    let to = tempfile::tempdir().unwrap();
    for entry in fs::read_dir(folder().join(name)).unwrap() {
        let entry = entry.unwrap();
        fs::copy(entry.path(), to.path().join(entry.file_name())).unwrap();
    }
    to
}

fn error(path: impl AsRef<Path>) -> String {
    let mut error: &dyn std::error::Error = &read_sae(path).unwrap_err();
    let mut line = error.to_string();
    while let Some(source) = error.source() {
        line = format!("{line}: {source}");
        error = source;
    }
    assert!(!line.contains('\n'), "{line}");
    line
}

/// Replaces a text in a file of a folder.
fn edit(folder: &tempfile::TempDir, file: &str, from: &str, to: &str) {
    let path = folder.path().join(file);
    let text = fs::read_to_string(&path).unwrap();
    assert!(text.contains(from), "{text}");
    fs::write(path, text.replace(from, to)).unwrap();
}

#[test]
fn an_unknown_architecture_is_refused_by_name() {
    let folder = copy("sae_lens_topk");
    edit(&folder, "cfg.json", "\"architecture\": \"topk\"", "\"architecture\": \"temporal\"");
    let found = error(folder.path());
    assert!(found.contains("unknown architecture `temporal`, expected standard"), "{found}");
    let folder = copy("dictionary_learning_topk");
    edit(&folder, "config.json", "AutoEncoderTopK", "IdentityDict");
    assert!(error(folder.path()).contains("unknown architecture `IdentityDict`"));
}

#[test]
fn a_field_of_the_wrong_kind_is_named_with_what_was_expected() {
    let folder = copy("sae_lens_topk");
    edit(&folder, "cfg.json", "\"k\": 3", "\"k\": \"three\"");
    let found = error(folder.path());
    assert!(found.contains("`k` is \"three\", expected the number of active"), "{found}");
    let folder = copy("sae_lens_topk");
    edit(&folder, "cfg.json", "\"k\": 3", "\"k\": 0");
    assert!(error(folder.path()).contains("`k` is 0, expected from 1 to"));
    let folder = copy("sae_lens_standard");
    edit(&folder, "cfg.json", "layer_norm", "covariance_whitening");
    let found = error(folder.path());
    assert!(found.contains("`normalize_activations` is \"covariance_whitening\""), "{found}");
    let folder = copy("sae_lens_standard");
    edit(&folder, "cfg.json", "{", "[");
    assert!(error(folder.path()).contains("is not a valid configuration"));
}

#[test]
fn a_width_that_the_weights_do_not_have_is_refused() {
    let folder = copy("sae_lens_standard");
    edit(&folder, "cfg.json", "\"d_sae\": 10", "\"d_sae\": 11");
    let found = error(folder.path());
    assert!(found.contains("`b_enc` is [10], expected [11]"), "{found}");
    edit(&folder, "cfg.json", "\"d_sae\": 11", "\"d_sae\": 18446744073709551615");
    assert!(error(folder.path()).contains("expected [18446744073709551615]"));
}

#[test]
fn truncated_and_damaged_weights_are_refused() {
    for (name, file) in [
        ("sae_lens_standard", "sae_weights.safetensors"),
        ("sparsify/layers.2.mlp", "sae.safetensors"),
        ("dictionary_learning_standard", "ae.pt"),
        ("gemma-scope-2b-pt-att/layer_5/width_16k/average_l0_61", "params.npz"),
    ] {
        let folder = copy(name);
        let path = folder.path().join(file);
        let bytes = fs::read(&path).unwrap();
        for length in [0, 1, bytes.len() / 3, bytes.len() / 2, bytes.len() - 1] {
            fs::write(&path, &bytes[..length]).unwrap();
            let found = error(folder.path());
            assert!(found.contains(file), "{found}");
        }
        // Any byte may be wrong: an error or other numbers, never a panic.
        for place in (0..bytes.len()).step_by(7) {
            let mut damaged = bytes.clone();
            damaged[place] ^= 0x55;
            fs::write(&path, damaged).unwrap();
            let _ = read_sae(folder.path());
        }
    }
}

/// A file of torch with a pickle of our own.
fn write_pt(path: &Path, pickle: &[u8]) {
    let mut archive = zip::ZipWriter::new(fs::File::create(path).unwrap());
    archive.start_file("archive/data.pkl", SimpleFileOptions::default()).unwrap();
    archive.write_all(pickle).unwrap();
    archive.finish().unwrap();
}

#[test]
fn a_pickle_that_would_run_code_is_refused_and_not_run() {
    let folder = copy("dictionary_learning_standard");
    let canary = folder.path().join("canary");
    let command = format!("touch {}", canary.display());
    let mut pickle = b"\x80\x02cposix\nsystem\nX".to_vec();
    pickle.extend((command.len() as u32).to_le_bytes());
    pickle.extend(command.as_bytes());
    pickle.extend(b"\x85R.");
    write_pt(&folder.path().join("ae.pt"), &pickle);
    let found = error(folder.path());
    assert!(
        found.contains("asks for `posix.system`") && found.contains("nothing of it"),
        "{found}"
    );
    assert!(!canary.exists());
    // An older file, a pickle without an archive, is no state dict of these libraries.
    fs::write(folder.path().join("ae.pt"), &pickle).unwrap();
    assert!(error(folder.path()).contains("expected the archive that `torch.save` writes"));
    write_pt(&folder.path().join("ae.pt"), b"\x80\x02X\xff\xff\xff\x7fabc");
    assert!(error(folder.path()).contains("is no file of weights"));
}

#[test]
fn an_archive_without_a_threshold_is_refused() {
    let folder = tempfile::tempdir().unwrap();
    let arrays = [
        ("W_enc", NpzArray::new(vec![2, 3], vec![0.5_f32; 6])),
        ("W_dec", NpzArray::new(vec![3, 2], vec![0.5_f32; 6])),
        ("b_enc", NpzArray::new(vec![3], vec![0.0_f32; 3])),
        ("b_dec", NpzArray::new(vec![2], vec![0.0_f32; 2])),
    ];
    write_npz(folder.path().join("params.npz"), &arrays).unwrap();
    let found = error(folder.path());
    assert!(found.contains("params.npz` has no array `threshold`"), "{found}");
}

#[test]
fn a_weight_that_is_no_number_is_refused() {
    let folder = tempfile::tempdir().unwrap();
    let arrays = [
        ("W_enc", NpzArray::new(vec![2, 3], vec![0.5, 0.5, f32::NAN, 0.5, 0.5, 0.5])),
        ("W_dec", NpzArray::new(vec![3, 2], vec![0.5_f32; 6])),
        ("b_enc", NpzArray::new(vec![3], vec![0.0_f32; 3])),
        ("b_dec", NpzArray::new(vec![2], vec![0.0_f32; 2])),
        ("threshold", NpzArray::new(vec![3], vec![0.1_f32; 3])),
    ];
    write_npz(folder.path().join("params.npz"), &arrays).unwrap();
    assert!(error(folder.path()).contains("`W_enc` has NaN"));
}
