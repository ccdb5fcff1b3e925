//! Standard error that nobody can write to.

use super::folder;
use crate::call::command;
use crate::streams::{ends_on_a_full_disk, ends_unread};

#[test]
fn a_log_that_cannot_be_written_is_no_reason_to_stop() {
    let (full, closed) = (folder(), folder());
    let train = ["train", "train.toml"];
    ends_on_a_full_disk(command(full.path(), &train), 0);
    ends_unread(command(closed.path(), &train), 0);
    for folder in [&full, &closed] {
        let weights = folder.path().join("out/plain/sae/a/sae_weights.safetensors");
        assert!(weights.is_file(), "the run is complete");
    }
}
