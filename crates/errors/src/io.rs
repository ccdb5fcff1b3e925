//! What the operating system says, in plain words.

use std::io::{Error, ErrorKind};

use crate::json_words;

/// What the operating system says of a file or a connection, without the number of its error.
///
/// # Examples
///
/// ```
/// use std::io::{Error, ErrorKind};
///
/// use attention_probes::errors::io_words;
///
/// assert_eq!(io_words(&ErrorKind::NotFound.into()), "there is no such file or folder");
/// assert_eq!(io_words(&Error::other("the header is cut off")), "the header is cut off");
/// ```
pub fn io_words(error: &Error) -> String {
    if let Some(inner) = error.get_ref() {
        if let Some(inner) = inner.downcast_ref::<serde_json::Error>() {
            return json_words(inner);
        }
        if let Some(inner) = inner.downcast_ref::<Error>() {
            return io_words(inner);
        }
        return without_number(&inner.to_string());
    }
    let words = match error.kind() {
        ErrorKind::NotFound => "there is no such file or folder",
        ErrorKind::PermissionDenied => "permission is denied",
        ErrorKind::AlreadyExists => "it exists already",
        ErrorKind::IsADirectory => "it is a folder, expected a file",
        ErrorKind::NotADirectory => "a part of the path is a file, expected a folder",
        ErrorKind::DirectoryNotEmpty => "the folder is not empty",
        ErrorKind::ReadOnlyFilesystem => "the file system is read-only",
        ErrorKind::StorageFull => "the disk is full",
        ErrorKind::QuotaExceeded => "the disk quota is used up",
        ErrorKind::FileTooLarge => "the file is larger than is allowed",
        ErrorKind::InvalidFilename => {
            "the name is too long, or has a character that is not allowed"
        }
        ErrorKind::UnexpectedEof => "it ends early",
        ErrorKind::InvalidData => "it is damaged",
        ErrorKind::OutOfMemory => "there is not enough memory",
        ErrorKind::BrokenPipe => "nobody reads the output any more",
        ErrorKind::TimedOut => "it took too long",
        ErrorKind::Interrupted => "it was interrupted",
        ErrorKind::WriteZero => "nothing more can be written",
        ErrorKind::ResourceBusy => "it is in use",
        ErrorKind::ConnectionRefused => "the connection was refused",
        ErrorKind::ConnectionReset | ErrorKind::ConnectionAborted => "the connection was cut",
        ErrorKind::HostUnreachable | ErrorKind::NetworkUnreachable => "the host cannot be reached",
        ErrorKind::Unsupported => "this is not supported here",
        ErrorKind::InvalidInput => "this file or folder cannot be used so",
        _ => return without_number(&error.to_string()),
    };
    words.to_owned()
}

/// A message without the number of an error of the system behind it.
fn without_number(text: &str) -> String {
    match text.find(" (os error ") {
        Some(at) => text[..at].to_lowercase(),
        None => text.to_owned(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn no_error_of_the_system_is_shown_by_its_number() {
        for code in 1..134 {
            let words = io_words(&Error::from_raw_os_error(code));
            assert!(!words.contains("os error") && !words.is_empty(), "{code}: {words}");
        }
        let wrapped = Error::new(ErrorKind::InvalidData, Error::from_raw_os_error(28));
        assert_eq!(io_words(&wrapped), "the disk is full");
    }

    #[test]
    fn an_error_of_json_behind_one_of_the_system_has_its_words() {
        let json = serde_json::from_str::<Vec<u8>>("[").unwrap_err();
        let words = io_words(&Error::other(json));
        assert!(words == "it ends early", "{words}");
    }
}
