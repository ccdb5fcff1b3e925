//! A file that the operating system does not let us use.

use std::fmt;
use std::io;
use std::path::{Path, PathBuf};

use crate::ErrorKind;

/// Why a file or folder could not be used; the cause is its source.
///
/// # Examples
///
/// ```
/// use attention_probes::errors::FileError;
///
/// let read = |path: &str| std::fs::read(path).map_err(FileError::read(path));
/// let error = read("/nowhere/a.csv").unwrap_err();
/// assert_eq!(error.to_string(), "cannot read `/nowhere/a.csv`");
/// assert!(error.is_not_found());
/// ```
#[derive(Debug, thiserror::Error)]
#[error("cannot {action} `{}`", path.display())]
pub struct FileError {
    /// The file or folder.
    pub path: PathBuf,
    /// What was to be done with it.
    pub action: FileAction,
    /// What the operating system said.
    pub source: io::Error,
}

/// What was to be done with a file or folder.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum FileAction {
    /// Open or read it.
    Read,
    /// Write it.
    Write,
    /// Make a folder.
    MakeFolder,
    /// Give it another name.
    Rename,
    /// Remove it.
    Remove,
}

impl FileError {
    /// Turns what the operating system says of a file into an error that names it, as an argument
    /// of `map_err`.
    pub fn new<P: AsRef<Path>>(action: FileAction, path: P) -> impl FnOnce(io::Error) -> Self {
        move |source| Self { path: path.as_ref().to_owned(), action, source }
    }

    /// [`FileError::new`] of a file that was to be read.
    pub fn read<P: AsRef<Path>>(path: P) -> impl FnOnce(io::Error) -> Self {
        Self::new(FileAction::Read, path)
    }

    /// [`FileError::new`] of a file that was to be written.
    pub fn write<P: AsRef<Path>>(path: P) -> impl FnOnce(io::Error) -> Self {
        Self::new(FileAction::Write, path)
    }

    /// [`ErrorKind::File`].
    pub fn kind(&self) -> ErrorKind {
        ErrorKind::File
    }

    /// Whether there is no such file or folder.
    pub fn is_not_found(&self) -> bool {
        self.source.kind() == io::ErrorKind::NotFound
    }
}

impl fmt::Display for FileAction {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Read => "read",
            Self::Write => "write",
            Self::MakeFolder => "make the folder",
            Self::Rename => "rename",
            Self::Remove => "remove",
        })
    }
}

#[cfg(test)]
mod tests {
    use std::error::Error as _;

    use super::*;

    #[test]
    fn the_message_has_the_action_and_the_path_and_the_cause_is_the_source() {
        let denied = || io::Error::from(io::ErrorKind::PermissionDenied);
        let error = FileError::write("out/a.npz")(denied());
        assert_eq!(error.to_string(), "cannot write `out/a.npz`");
        assert!(!error.is_not_found() && error.source().unwrap().is::<io::Error>());
        let error = FileError::new(FileAction::MakeFolder, "out")(denied());
        assert_eq!(error.to_string(), "cannot make the folder `out`");
        assert_eq!(error.kind(), ErrorKind::File);
    }
}
