//! What is written here is loaded by the Python library `sae_lens`, where there is one.

use std::env;
use std::process::Command;

use attention_probes_sae::{read_sae, write_sae_lens};

use crate::formats::golden::{expected, folder};
use crate::skip::skipped;

/// Encodes `[7, 6]` numbers with each autoencoder and prints every feature.
const SCRIPT: &str = "
import sys, torch
from sae_lens import SAE
x = torch.tensor([float(v) for v in sys.argv[1].split(',')]).reshape(7, 6)
for path in sys.argv[2:]:
    sae = SAE.load_from_disk(path)
    codes = sae.encode(x.reshape(7, 3, 2) if sae.cfg.reshape_activations == 'hook_z' else x)
    print(' '.join(repr(v) for v in codes.detach().flatten().tolist()))
";

#[test]
fn sae_lens_loads_what_is_written_here() {
    let python = env::var("ATTENTION_PROBES_PYTHON").unwrap_or_else(|_| "python3".to_owned());
    let has_it = Command::new(&python).args(["-c", "import sae_lens"]).output();
    if !has_it.is_ok_and(|output| output.status.success()) {
        skipped(&format!("`{python}` has no package `sae_lens`"), None);
        return;
    }
    let names = ["sae_lens_standard", "sae_lens_topk", "sae_lens_jumprelu", "sae_lens_gated"];
    let names = [&names[..], &["sae_lens_hook_z", "dictionary_learning_topk"]].concat();
    let written = tempfile::tempdir().unwrap();
    let x: Vec<String> = expected("x").iter().map(f32::to_string).collect();
    let mut command = Command::new(&python);
    command.args(["-c", SCRIPT, &x.join(",")]);
    for name in &names {
        let sae = read_sae(folder().join(name)).unwrap();
        write_sae_lens(&sae, written.path().join(name)).unwrap();
        command.arg(written.path().join(name));
    }
    let output = command.output().unwrap();
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    let stdout = String::from_utf8(output.stdout).unwrap();
    assert_eq!(stdout.lines().count(), names.len());
    for (name, line) in names.iter().zip(stdout.lines()) {
        let found = line.split(' ').map(|value| value.parse::<f32>().unwrap());
        for (found, expected) in found.zip(expected(&format!("{name}.codes"))) {
            approx::assert_abs_diff_eq!(found, expected, epsilon = 1e-6);
        }
    }
}
