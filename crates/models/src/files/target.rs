//! Where the bytes of an output go.

use std::fs::{self, FileType};
use std::io;
use std::path::{Path, PathBuf};

/// Links that are followed one after the other, as many as Linux follows.
const MAX_LINKS: usize = 40;

/// An output exists, and is something other than a regular file.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("it is {kind}, not a regular file; name another output")]
pub struct NotAFile {
    /// What it is, with its article.
    pub kind: &'static str,
}

/// The file that an output with this name replaces or makes: the end of a chain of symbolic links.
///
/// # Errors
///
/// - [`NotAFile`] as the inner error if a folder, a device, a named pipe, or a socket has the name
/// - whatever the system says if it cannot be looked at
pub fn output_target(path: &Path) -> io::Result<PathBuf> {
    if let Ok(found) = fs::metadata(path) {
        check(found.file_type())?;
    }
    let mut target = path.to_owned();
    for _ in 0..MAX_LINKS {
        let Ok(next) = fs::read_link(&target) else {
            return match fs::symlink_metadata(&target) {
                Ok(found) => check(found.file_type()).map(|()| target),
                Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(target),
                Err(error) => Err(error),
            };
        };
        if target.starts_with("/proc") {
            // `/dev/stdout` ends here: a file would be replaced that somebody still writes to.
            return Err(not_a_file("an open file of a process"));
        }
        target = target.parent().unwrap_or(Path::new("")).join(next);
    }
    Err(io::Error::other("too many symbolic links"))
}

fn check(found: FileType) -> io::Result<()> {
    match kind(found) {
        None => Ok(()),
        Some(kind) => Err(not_a_file(kind)),
    }
}

fn not_a_file(kind: &'static str) -> io::Error {
    io::Error::new(io::ErrorKind::InvalidInput, NotAFile { kind })
}

/// What something is that is neither a regular file nor a link.
fn kind(found: FileType) -> Option<&'static str> {
    if found.is_file() || found.is_symlink() {
        return None;
    }
    if found.is_dir() {
        return Some("a folder");
    }
    #[cfg(unix)]
    {
        use std::os::unix::fs::FileTypeExt as _;
        if found.is_fifo() {
            return Some("a named pipe");
        }
        if found.is_socket() {
            return Some("a socket");
        }
    }
    Some("a device")
}

#[cfg(unix)]
#[cfg(test)]
mod tests {
    use std::os::unix::fs::symlink;
    use std::os::unix::net::UnixListener;

    use super::*;

    #[test]
    fn a_chain_of_links_is_followed_to_what_it_names() {
        let folder = tempfile::tempdir().unwrap();
        let path = |name: &str| folder.path().join(name);
        fs::create_dir(path("sub")).unwrap();
        symlink("sub/b", path("a")).unwrap();
        symlink("../c", path("sub/b")).unwrap();
        // There is no `c` yet, as where a shell redirects to a dangling link.
        assert_eq!(output_target(&path("a")).unwrap(), path("sub/../c"));
        fs::write(path("c"), "").unwrap();
        assert_eq!(output_target(&path("a")).unwrap(), path("sub/../c"));
        assert_eq!(output_target(&path("new")).unwrap(), path("new"));
        symlink("loop", path("loop")).unwrap();
        assert!(output_target(&path("loop")).is_err());
    }

    #[test]
    fn what_is_no_regular_file_is_refused_through_links_too() {
        let folder = tempfile::tempdir().unwrap();
        let path = |name: &str| folder.path().join(name);
        let _socket = UnixListener::bind(path("socket")).unwrap();
        symlink("socket", path("link")).unwrap();
        let refused = |path: &Path| output_target(path).unwrap_err().to_string();
        let expected = "it is a socket, not a regular file; name another output";
        assert_eq!(refused(&path("socket")), expected);
        assert_eq!(refused(&path("link")), expected);
        assert!(refused(Path::new("/dev/null")).starts_with("it is a device"));
        assert!(refused(folder.path()).starts_with("it is a folder"));
    }
}
