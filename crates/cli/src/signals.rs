//! Signals: an interrupted run says how to go on, and leaves nothing half-written.

#[cfg(unix)]
use std::sync::{Mutex, Once, PoisonError};

/// How a command is taken up again after it was stopped.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum GoOn {
    /// With its flag `--resume`.
    Resume,
    /// With the same command, which finds what it has written.
    SameCommand,
    /// From the beginning.
    #[default]
    Again,
}

impl GoOn {
    /// What a command that was stopped prints.
    fn line(self) -> &'static str {
        match self {
            Self::Resume => "stopped; go on with `--resume`",
            Self::SameCommand => "stopped; go on with the same command",
            Self::Again => "stopped; nothing is left half-written, start the command again",
        }
    }
}

/// How the command that runs now is taken up again.
#[cfg(unix)]
static GO_ON: Mutex<GoOn> = Mutex::new(GoOn::Again);

/// Handles SIGINT and SIGTERM from now on, and lets a write beyond `ulimit -f` fail instead of
/// ending the process. A second call in one process says only how to go on.
#[cfg(unix)]
pub(crate) fn handle(go_on: GoOn) {
    static ONCE: Once = Once::new();

    *GO_ON.lock().unwrap_or_else(PoisonError::into_inner) = go_on;
    ONCE.call_once(register);
}

#[cfg(unix)]
fn register() {
    use std::sync::Arc;
    use std::sync::atomic::AtomicBool;
    use std::thread;

    use attention_probes_models::files::remove_unfinished;
    use signal_hook::consts::{SIGINT, SIGTERM, SIGXFSZ};
    use signal_hook::iterator::Signals;
    use signal_hook::{flag, low_level};

    // A signal that cannot be handled does what it did without us.
    let _ = flag::register(SIGXFSZ, Arc::new(AtomicBool::new(false)));
    // Before the flags, which would swallow a signal that comes between.
    let Ok(mut signals) = Signals::new([SIGINT, SIGTERM]) else { return };
    let is_second = Arc::new(AtomicBool::new(false));
    for signal in [SIGINT, SIGTERM] {
        // The first signal arms this, the second ends the process, whatever the first waits for.
        let _ = flag::register_conditional_shutdown(signal, 128 + signal, Arc::clone(&is_second));
        let _ = flag::register(signal, Arc::clone(&is_second));
    }
    thread::spawn(move || {
        if let Some(signal) = signals.forever().next() {
            remove_unfinished();
            tell(GO_ON.lock().unwrap_or_else(PoisonError::into_inner).line());
            // At once, and as a shell reports such an end: other threads are still at work.
            low_level::exit(128 + signal);
        }
    });
}

/// Writes a line to stderr, unless nobody reads what is written there.
#[cfg(unix)]
fn tell(line: &'static str) {
    use std::io::{IsTerminal, stderr};
    use std::sync::mpsc;
    use std::thread;
    use std::time::Duration;

    let (done, is_done) = mpsc::channel();
    thread::spawn(move || {
        // A progress bar may stand on the line.
        let clear = if stderr().is_terminal() { "\r\x1b[2K" } else { "" };
        crate::stderr::line(&format!("{clear}{line}"));
        let _ = done.send(()); // nobody may wait any more
    });
    let _ = is_done.recv_timeout(Duration::from_millis(500));
}

/// Where there are no signals, there is nothing to handle.
#[cfg(not(unix))]
pub(crate) fn handle(_: GoOn) {}
