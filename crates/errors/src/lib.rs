//! What errors are made of, and how messages speak.
//!
//! - The kinds of error that a front end tells apart, [`ErrorKind`]; the parts that the error enums
//!   of all libraries share, [`FileError`] and [`ValueError`]; and the signal that long work asks,
//!   [`Stop`].
//! - Names that are misspelt, and what other libraries say of a file, in plain words. A reader of
//!   files keeps the error of the library below it as its source; the functions behind the feature
//!   `words` say the same in the reader's words: which line, what is wrong, what is expected.

#[cfg(feature = "words")]
mod config;
mod escape;
mod file_error;
#[cfg(feature = "words")]
mod foreign;
#[cfg(feature = "words")]
mod io;
#[cfg(feature = "words")]
mod json;
#[cfg(feature = "words")]
mod json_file;
mod kind;
mod names;
#[cfg(feature = "words")]
mod serde_words;
mod similar;
mod size;
mod stop;
mod value_error;

#[cfg(feature = "words")]
pub use self::config::{TomlError, parse_toml};
pub use self::escape::{escaped, escaped_character};
pub use self::file_error::{FileAction, FileError};
#[cfg(feature = "words")]
pub use self::foreign::foreign_words;
#[cfg(feature = "words")]
pub use self::io::io_words;
#[cfg(feature = "words")]
pub use self::json::json_words;
#[cfg(feature = "words")]
pub use self::json_file::JsonFileError;
pub use self::kind::ErrorKind;
pub use self::names::{first_of, is_plain_name, listed, shown};
pub use self::similar::{did_you_mean, nearest};
pub use self::size::{shown_size, shown_time};
pub use self::stop::{Stop, Stopped};
pub use self::value_error::ValueError;
