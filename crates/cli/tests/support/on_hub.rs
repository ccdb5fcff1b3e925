//! The program where it may use a Hub.

use std::path::Path;
use std::process::Command;

use crate::call::command;
use crate::hub_server::FakeHub;

/// The program with arguments, to be run in a folder, where it keeps its cache.
pub(crate) fn on_hub(folder: &Path, hub: &FakeHub, args: &[&str]) -> Command {
    let mut command = command(folder, args);
    command.env("HF_HUB_OFFLINE", "0").env("HF_ENDPOINT", &hub.endpoint);
    command.env("no_proxy", "127.0.0.1").env("HF_HOME", folder.join("hf"));
    command.env_remove("HF_HUB_CACHE").env_remove("HF_TOKEN");
    command
}
