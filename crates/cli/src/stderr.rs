//! What is written to stderr: never a reason to stop.
//!
//! A log file on a full disk, or `2>&1 | head`, must not end a run whose results are fine.

use std::io::{self, Write};

use tracing_subscriber::fmt::MakeWriter;

/// Writes to stderr, and drops what cannot be written.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Stderr;

impl Write for Stderr {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        Ok(io::stderr().write(bytes).unwrap_or(bytes.len()))
    }

    fn write_all(&mut self, bytes: &[u8]) -> io::Result<()> {
        // There is nowhere else to tell.
        let _ = io::stderr().write_all(bytes);
        Ok(())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

impl MakeWriter<'_> for Stderr {
    type Writer = Self;

    fn make_writer(&self) -> Self {
        *self
    }
}

/// Writes a line, in one call so that lines of several threads do not mix.
pub(crate) fn line(text: &str) {
    let _ = Stderr.write_all(format!("{text}\n").as_bytes());
}
