//! What stands already: a folder of results as a probe, and a run that is replaced.

use std::fs;

use crate::call;
use crate::sweep::folder::{Folder, RUN, best};

#[test]
fn a_folder_of_results_stands_for_the_probe_that_validation_chose() {
    let two = ("[sweep]", "[[architectures]]\nname = \"linear\"\n[[architectures]]\n\n[sweep]");
    let folder = Folder::with(&[("layers = [1]", "layers = -1"), two]);
    folder.succeed(&[]);
    let experiment = format!("{RUN}/data-L03-resid_post");
    let report = best(&folder, "data-L03-resid_post");
    let score = |index: usize| {
        let validation = &report["architectures"][index]["validation"];
        let of = |key: &str| validation[key].as_f64().unwrap();
        (of("balanced_accuracy"), -of("log_loss"))
    };
    let chosen = usize::from(score(1) > score(0));
    let file = report["architectures"][chosen]["file"].as_str().unwrap();
    let eval = |probe: &str| {
        let args = ["eval", "--probe", probe, "--data", "data.csv", "--json"];
        call::succeed(&mut call::command(&folder.path(""), &args))
    };
    let (expected, _) = eval(&format!("{experiment}/trained/{file}"));
    for probe in [&experiment[..], &format!("{experiment}/trained"), RUN] {
        let (found, stderr) = eval(probe);
        assert_eq!(found, expected, "{probe}");
        assert!(stderr.contains("which validation chose of 2 architectures"), "{stderr}");
    }

    folder.succeed(&["--layers", "0,-1", "--run-name", "several"]);
    let run = "results/several/seed_42";
    for (probe, expected) in [
        (run, "has 2 experiments, name one of them: `results/several/seed_42/data-L00-resid_post`"),
        ("results", "holds no run of a sweep"),
    ] {
        let args = ["score", "--probe", probe, "--data", "data.csv"];
        let stderr = call::refused(&mut call::command(&folder.path(""), &args));
        assert!(stderr.contains(expected), "{stderr}");
    }
}

#[test]
fn a_run_is_replaced_when_it_is_asked_for_and_other_files_stay() {
    let folder = Folder::new();
    folder.succeed(&[]);
    let fresh = {
        let other = Folder::new();
        other.succeed(&["--epochs", "4"]);
        other.tree(RUN)
    };
    let notes = [format!("{RUN}/notes.txt"), format!("{RUN}/data-L01-resid_post/notes.txt")];
    for name in &notes {
        folder.write(name, "of a person");
    }
    let stderr = folder.refused(&["--epochs", "4", "--resume", "--overwrite"]);
    assert!(stderr.contains("cannot be used with"), "{stderr}");
    folder.succeed(&["--epochs", "4", "--overwrite"]);
    for name in &notes {
        assert_eq!(fs::read_to_string(folder.path(name)).unwrap(), "of a person");
        fs::remove_file(folder.path(name)).unwrap();
    }
    assert_eq!(folder.tree(RUN), fresh);
}
