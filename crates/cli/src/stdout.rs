//! What is printed to stdout, whose reader may have had enough.

use std::io::{self, ErrorKind, Write as _};

use anyhow::Result;

/// Prints a text, if somebody still reads.
///
/// # Errors
///
/// If stdout cannot be written to.
pub fn print(text: &str) -> Result<()> {
    ignore_broken_pipe(io::stdout().lock().write_all(text.as_bytes()).map_err(Into::into))
}

/// Ends quietly where whoever reads stdout has gone, as `head` does.
///
/// # Errors
///
/// Any other error, unchanged.
pub fn ignore_broken_pipe(result: Result<()>) -> Result<()> {
    match result {
        Err(error) if is_broken_pipe(&error) => Ok(()),
        other => other,
    }
}

fn is_broken_pipe(error: &anyhow::Error) -> bool {
    let cause = error.downcast_ref::<io::Error>();
    cause.is_some_and(|cause| cause.kind() == ErrorKind::BrokenPipe)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::exit::InputError;

    #[test]
    fn only_a_broken_pipe_is_quiet() {
        let error = |kind| Err(io::Error::from(kind).into());
        assert!(ignore_broken_pipe(error(ErrorKind::BrokenPipe)).is_ok());
        assert!(ignore_broken_pipe(error(ErrorKind::StorageFull)).is_err());
        assert!(ignore_broken_pipe(Err(InputError(String::new()).into())).is_err());
    }
}
