//! The short programs of `examples/` run and print.

use std::env;
use std::path::Path;
use std::process::Command;

const SHORT: [&str; 9] = [
    "autoencoder",
    "capture",
    "csv_to_probe",
    "fra",
    "intervention",
    "npz_to_probe",
    "own_model",
    "own_probe",
    "streaming",
];

/// The line limit of a program that shows one idea.
const MAX_LINES: usize = 80;

#[test]
fn every_short_program_runs_and_is_short() {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("examples");
    // Beside the folder of this test, where `cargo test` builds them.
    let test = env::current_exe().unwrap();
    let built = test.ancestors().nth(2).unwrap().join("examples");
    for name in SHORT {
        let source = std::fs::read_to_string(folder.join(name).with_extension("rs")).unwrap();
        assert!(source.lines().count() <= MAX_LINES, "{name}");
        let program = built.join(name).with_extension(env::consts::EXE_EXTENSION);
        if !program.is_file() {
            assert!(env::var_os("CI").is_none(), "{} is not built", program.display());
            eprintln!("skipped: {} is not built", program.display());
            continue;
        }
        // They write into the folder for temporary files.
        let temporary = tempfile::tempdir().unwrap();
        let output = Command::new(program).env("TMPDIR", temporary.path()).output().unwrap();
        let stderr = String::from_utf8_lossy(&output.stderr);
        assert!(output.status.success() && !output.stdout.is_empty(), "{name}: {stderr}");
    }
}
