//! From an error to one line and an exit code.

use std::backtrace::{Backtrace, BacktraceStatus};
use std::io::{self, Write};
use std::panic::{self, AssertUnwindSafe, catch_unwind};

use anyhow::Context;
use attention_probes_activations::ActivationError;
use attention_probes_errors::{
    ErrorKind, FileError, TomlError, ValueError, escaped, foreign_words,
};
use attention_probes_metrics::MetricError;
use attention_probes_models::ModelError;

use crate::flag_words::with_flag_names;
use crate::stderr;

/// Any error.
type DynError = dyn std::error::Error + 'static;

/// The command did what it was asked for.
pub(crate) const SUCCESS: u8 = 0;

/// The command failed through a fault of its own.
const FAULT: u8 = 1;

/// An input is wrong, or a file cannot be used.
pub(crate) const INPUT: u8 = 2;

/// The libraries of a program, as its errors need them.
#[derive(Clone, Copy, Debug)]
pub struct Libraries {
    /// The kind of an error of one of them; `None` of any other error, which is then a fault. An error
    /// of a page that does not come with its results is one: commands make pages of what they have
    /// computed.
    pub kind_of: fn(&DynError) -> Option<ErrorKind>,
    /// What they say to set, and the same with the flags of the program.
    pub flags: &'static [(&'static str, &'static str)],
}

/// A wrong input that no library has a variant for.
#[derive(Debug, thiserror::Error)]
#[error("{0}")]
pub struct InputError(pub String);

/// Runs a command; returns its exit code, after its error was printed if there is one, and stdout
/// was flushed.
pub(crate) fn code(libraries: &Libraries, run: impl FnOnce() -> anyhow::Result<()>) -> u8 {
    let run = || {
        run()?;
        match io::stdout().flush() {
            // Who read the output may have had enough of it.
            Err(error) if error.kind() != io::ErrorKind::BrokenPipe => {
                Err(error).context("cannot write to stdout")
            }
            _ => Ok(()),
        }
    };
    match catch_unwind(AssertUnwindSafe(run)) {
        Ok(Ok(())) => SUCCESS,
        Ok(Err(error)) => libraries.report(&error),
        // The hook has told of it.
        Err(_) => FAULT,
    }
}

/// Makes a panic, which is a fault of this program, one line on stderr; a backtrace follows where
/// `RUST_BACKTRACE` asks for one.
pub(crate) fn report_panics() {
    panic::set_hook(Box::new(|found| {
        let place = found.location().map_or_else(String::new, |place| format!(" at {place}"));
        let message = found.payload_as_str().unwrap_or("no message");
        let text = escaped(message);
        stderr::line(&format!(
            "error: internal fault{place}: {text}; please report it with the command that was run"
        ));
        let backtrace = Backtrace::capture();
        if backtrace.status() == BacktraceStatus::Captured {
            stderr::line(&backtrace.to_string());
        }
    }));
}

impl Libraries {
    /// Exit code 2 for a wrong input or a file that cannot be used, 1 for an internal fault.
    ///
    /// Prints `error: ` and the chain of causes on one line, but for what a configuration file's
    /// parser shows with a caret.
    fn report(&self, error: &anyhow::Error) -> u8 {
        stderr::line(&format!("error: {}", self.to_text(error)));
        if self.is_input(error) { INPUT } else { FAULT }
    }

    /// The chain of causes on one line, but for what a configuration file's parser shows; errors of
    /// other libraries in plain words.
    pub fn to_text(&self, error: &anyhow::Error) -> String {
        // A file, a name, or another library's message may hold a line break or a terminal's commands.
        let escape = |text: &str| escaped(text.trim_end());
        let mut causes: Vec<String> = Vec::new();
        for cause in error.chain() {
            if let Some(words) = foreign_words(cause) {
                // What lies below says the same in the words of that library.
                causes.push(escape(&words));
                break;
            }
            let text = with_flag_names(&cause.to_string(), self.flags);
            // Its lines show a place in a file, with nothing in them that a terminal obeys.
            causes.push(if is_toml(cause) { text } else { escape(&text) });
        }
        causes.join(": ")
    }

    /// Whether the user can mend it: every error of our libraries but a fault, such as of a device
    /// that does not do its part.
    fn is_input(&self, error: &anyhow::Error) -> bool {
        let kind_of = |cause| (self.kind_of)(cause).or_else(|| kind_of(cause));
        if let Some(kind) = error.chain().find_map(kind_of) {
            return kind != ErrorKind::Fault;
        }
        error.chain().any(|cause| cause.is::<InputError>() || cause.is::<io::Error>())
    }
}

/// Whether it is what the parser of a configuration file shows; our errors keep it in a box.
fn is_toml(cause: &DynError) -> bool {
    cause.is::<TomlError>() || cause.is::<Box<TomlError>>()
}

/// The kind of an error of the libraries that every program uses.
fn kind_of(cause: &DynError) -> Option<ErrorKind> {
    let kind = cause.downcast_ref().map(ActivationError::kind);
    kind.or_else(|| cause.downcast_ref().map(ModelError::kind))
        .or_else(|| cause.downcast_ref().map(MetricError::kind))
        .or_else(|| cause.downcast_ref().map(FileError::kind))
        .or_else(|| cause.downcast_ref().map(ValueError::kind))
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A program without libraries of its own.
    const NONE: Libraries = Libraries { kind_of: |_| None, flags: &[] };

    #[test]
    fn inputs_are_told_from_faults() {
        assert!(NONE.is_input(&InputError("no such column".to_owned()).into()));
        assert!(NONE.is_input(&anyhow::Error::from(ModelError::EmptyBatch).context("reading")));
        assert!(!NONE.is_input(&anyhow::anyhow!("a fault")));
        let fault = || ModelError::NotReturned { output: "logits".to_owned() };
        assert!(!NONE.is_input(&fault().into()));
        assert!(!NONE.is_input(&ActivationError::from(fault()).into()));
    }

    #[test]
    fn a_program_says_which_errors_of_its_libraries_are_faults() {
        let kind_of = |cause: &DynError| cause.is::<std::fmt::Error>().then_some(ErrorKind::Input);
        let program = Libraries { kind_of, flags: &[] };
        assert!(program.is_input(&std::fmt::Error.into()));
        assert!(!NONE.is_input(&std::fmt::Error.into()));
    }

    #[test]
    fn what_a_terminal_would_obey_is_escaped() {
        let error = anyhow::anyhow!("b\u{1b}[2J\nc").context("a");
        assert_eq!(NONE.to_text(&error), "a: b\\u{1b}[2J\\nc");
    }

    #[test]
    fn errors_of_other_libraries_are_told_in_plain_words() {
        let cause = io::Error::from_raw_os_error(28);
        assert_eq!(NONE.to_text(&anyhow::Error::from(cause).context("a")), "a: the disk is full");
    }
}
