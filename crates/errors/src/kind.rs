//! What a front end tells errors apart by.

/// What kind of error it is: what an exit status, or an exception of another language, is chosen
/// by.
///
/// The error enum of each library answers `kind()`, and `is_not_found()` for a file, a folder, or a
/// model that is not there.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum ErrorKind {
    /// What the caller gave cannot be used: a value, a name, or the content of a file. `ValueError`
    /// in Python.
    Input,
    /// A file or folder is missing, or cannot be read or written. `OSError` in Python.
    File,
    /// A server cannot be reached, or refuses. `OSError` in Python, too.
    Network,
    /// Somebody asked to stop. `KeyboardInterrupt` in Python.
    Stopped,
    /// A part of the program, or a device, does not do what it has to. `RuntimeError` in Python.
    Fault,
}
