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

impl Drop for Running {
    fn drop(&mut self) {
        let _ = self.0.kill(); // it may have ended
        let _ = self.0.wait();
    }
}
