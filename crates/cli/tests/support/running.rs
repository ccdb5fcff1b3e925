//! A run that goes on beside a test.

use std::process::{Child, Command, Stdio};

/// A run that goes on beside the test, and is killed at the latest when it goes out of scope.
pub(crate) struct Running(pub(crate) Child);

impl Running {
    /// Starts a run that prints nowhere.
    pub(crate) fn start(mut command: Command) -> Self {
        Self(command.stdout(Stdio::null()).stderr(Stdio::null()).spawn().unwrap())
    }

    /// Whether the run has not ended by itself.
    pub(crate) fn is_going_on(&mut self) -> bool {
        self.0.try_wait().unwrap().is_none()
    }
}

/// Most memory that a command took until it succeeded, in bytes, by a key of `/proc/PID/status`.
#[cfg(target_os = "linux")]
pub(crate) fn peak_memory(command: Command, key: &str) -> u64 {
    let mut run = Running::start(command);
    let status = format!("/proc/{}/status", run.0.id());
    let mut peak_kib = 0;
    while run.is_going_on() {
        let text = std::fs::read_to_string(&status).unwrap_or_default();
        let line = text.lines().find_map(|line| line.strip_prefix(key));
        let kib = line.and_then(|line| line.trim().strip_suffix(" kB")?.parse::<u64>().ok());
        peak_kib = peak_kib.max(kib.unwrap_or(0));
        std::thread::sleep(std::time::Duration::from_millis(2));
    }
    assert!(run.0.wait().unwrap().success());
    peak_kib * 1024
}

impl Drop for Running {
    fn drop(&mut self) {
        let _ = self.0.kill(); // it may have ended
        let _ = self.0.wait();
    }
}
