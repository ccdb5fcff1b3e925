//! A sweep that is stopped, and one that is complete.

use std::fs;
use std::path::Path;
use std::process::Command;
use std::time::{Duration, Instant};

use crate::call;
use crate::running::Running;
use crate::skip::skipped;
use crate::sweep::bad_input::assert_has;
use crate::sweep::folder::{Folder, RUN, json};

/// Pseudo-random numbers from 0 to 1, by a linear congruential generator.
fn moments() -> impl FnMut() -> f64 {
    let mut state: u64 = 20_240_607;
    move || {
        state = state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1);
        (state >> 40) as f64 / f64::from(1 << 24)
    }
}

#[test]
fn a_run_that_is_killed_again_and_again_ends_in_the_same_bytes() {
    let replacements = [("epochs = 3", "epochs = 120"), ("layers = [1]", "layers = [1, 2]")];
    let whole = Folder::with(&replacements);
    whole.succeed(&[]);

    let killed = Folder::with(&replacements);
    let checkpoint = || {
        let mut tree = killed.tree(RUN).into_iter();
        tree.find_map(|(name, bytes)| name.ends_with(".checkpoint").then_some(bytes))
    };
    let mut moment = moments();
    let mut n_killed_in_training = 0;
    for round in 0..10 {
        let before = checkpoint();
        let mut run = Running::start(killed.command(&["--resume"]));
        // Every second kill comes at any moment from the start, the others after a new epoch.
        let start = Instant::now();
        let is_waiting = || start.elapsed() < Duration::from_mins(1) && checkpoint() == before;
        while round % 2 == 1 && is_waiting() && run.is_going_on() {
            std::thread::sleep(Duration::from_millis(1));
        }
        std::thread::sleep(Duration::from_secs_f64(0.05 * moment()));
        if !run.is_going_on() {
            break;
        }
        drop(run); // kills it
        n_killed_in_training += usize::from(round % 2 == 1 && checkpoint().is_some());
    }
    assert!(n_killed_in_training >= 2, "only {n_killed_in_training} kills came in time");
    killed.succeed(&["--resume"]);
    assert_eq!(killed.tree(RUN), whole.tree(RUN));
}

#[test]
fn resuming_a_complete_run_changes_nothing() {
    let folder = Folder::new();
    let (first, _) = folder.succeed(&[]);
    let before = folder.tree("results");
    let written =
        |name: &str| fs::metadata(folder.path(RUN).join(name)).unwrap().modified().unwrap();
    let best = "data-L01-resid_post/best.json";
    let times = [written("config.toml"), written(best)];
    // The data may be gone.
    fs::remove_file(folder.path("data.csv")).unwrap();
    let (again, stderr) = folder.succeed(&["--resume"]);
    assert_eq!(again, first);
    assert!(stderr.contains("`data` is complete already"), "{stderr}");
    assert_eq!(folder.tree("results"), before);
    assert_eq!([written("config.toml"), written(best)], times);
}

#[test]
fn a_complete_run_is_made_anew_where_its_data_have_changed() {
    let folder = Folder::new();
    folder.succeed(&[]);
    let best = || fs::read(folder.path(RUN).join("data-L01-resid_post/best.json")).unwrap();
    let before = json(&best());
    let changed = fs::read_to_string(folder.path("data.csv")).unwrap().replace("king", "queen");
    folder.write("data.csv", changed);
    let (_, stderr) = folder.succeed(&["--resume"]);
    assert!(!stderr.contains("is complete already"), "{stderr}");
    let after = json(&best());
    assert_ne!(after["origin"]["data_hash"], before["origin"]["data_hash"]);
    assert_eq!(after["origin"]["model_revision"], before["origin"]["model_revision"]);
}

#[test]
fn another_configuration_is_not_resumed_and_nothing_is_overwritten() {
    let folder = Folder::new();
    folder.succeed(&[]);
    let before = folder.tree("results");
    for (args, expected) in [
        (&[][..], "go on with `--resume`, keep it with another `--run-name`"),
        (&["--dry-run"], "go on with `--resume`, keep it with another `--run-name`"),
        (&["--resume", "--epochs", "4"], "was made with another configuration"),
    ] {
        let stderr = folder.refused(args);
        assert!(stderr.contains(RUN) && stderr.contains(expected), "{stderr}");
        assert_eq!(folder.tree("results"), before);
    }
    // Another seed is another folder.
    folder.succeed(&["--seed", "7"]);
    assert!(folder.path("results/small/seed_7/data-L01-resid_post/best.json").exists());
    let first = folder.tree(RUN);
    assert!(
        !first.is_empty()
            && first
                .iter()
                .all(|(name, bytes)| { before[&format!("small/seed_42/{name}")] == *bytes })
    );
}

#[test]
fn a_damaged_checkpoint_is_refused_by_name() {
    let folder = Folder::with(&[("epochs = 3", "epochs = 100000")]);
    let mut run = Running::start(folder.command(&[]));
    let checkpoint = || {
        let mut names = folder.tree(RUN).into_keys();
        names.find(|name| name.ends_with(".checkpoint") && !name.starts_with('.'))
    };
    let start = Instant::now();
    while checkpoint().is_none() && run.is_going_on() && start.elapsed().as_secs() < 120 {
        std::thread::sleep(Duration::from_millis(5));
    }
    drop(run);
    let path = folder.path(RUN).join(checkpoint().unwrap());
    let mut bytes = fs::read(&path).unwrap();
    let middle = bytes.len() / 2;
    bytes[middle] ^= 1;
    fs::write(&path, &bytes).unwrap();
    // What the killed process left half-written is tidied away, so only this file is compared.
    let message = call::refused(folder.command(&["--resume"]).env("RUST_LOG", "off"));
    assert_has(&message, &["error: checkpoint `", ".checkpoint` is damaged", "delete it"]);
    assert_eq!(message.lines().count(), 1, "{message}");
    assert_eq!(fs::read(&path).unwrap(), bytes);
}

/// A file system in memory that is unmounted when it goes out of scope.
struct TinyDisk<'a>(&'a Path);

impl<'a> TinyDisk<'a> {
    fn mount(path: &'a Path, size: &str) -> Option<Self> {
        let options = format!("size={size}");
        let mut command = Command::new("mount");
        command.args(["-t", "tmpfs", "-o", &options, "tmpfs"]).arg(path);
        command.output().is_ok_and(|output| output.status.success()).then_some(Self(path))
    }

    fn resize(&self, size: &str) {
        let options = format!("remount,size={size}");
        let status = Command::new("mount").args(["-o", &options]).arg(self.0).status();
        assert!(status.unwrap().success());
    }
}

impl Drop for TinyDisk<'_> {
    fn drop(&mut self) {
        let _ = Command::new("umount").arg("-l").arg(self.0).status();
    }
}

#[test]
fn a_full_disk_ends_a_run_that_goes_on_when_there_is_room() {
    let whole = Folder::new();
    whole.succeed(&["--layers", "all"]);
    let folder = Folder::new();
    let output = folder.path("results");
    fs::create_dir(&output).unwrap();
    let Some(disk) = TinyDisk::mount(&output, "64k") else {
        skipped("mounting a small file system needs root", None);
        return;
    };
    let message = call::refused(folder.command(&["--layers", "all"]).env("RUST_LOG", "off"));
    assert_has(&message, &["error: cannot write `results/", "the disk is full"]);
    assert_eq!(message.lines().count(), 1, "{message}");
    // Every file that is there is whole: a part of the run that did not run out of room.
    let expected = whole.tree(RUN);
    let found = folder.tree(RUN);
    for (name, bytes) in found.iter().filter(|(name, _)| !name.ends_with(".checkpoint")) {
        assert_eq!(expected.get(name), Some(bytes), "{name}");
    }

    disk.resize("8m");
    folder.succeed(&["--layers", "all", "--resume"]);
    assert_eq!(folder.tree(RUN), expected);
}
