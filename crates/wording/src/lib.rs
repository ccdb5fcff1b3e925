//! How messages speak: names that are misspelt, and what other libraries say of a file.
//!
//! A reader of files keeps the error of the library below it as its source.
//! These functions say the same in the reader's words: which line, what is wrong, what is expected.

mod config;
mod foreign;
mod io;
mod json;
mod names;
mod serde_words;
mod similar;

pub use self::config::{TomlError, parse_toml};
pub use self::foreign::foreign_words;
pub use self::io::io_words;
pub use self::json::json_words;
pub use self::names::{first_of, is_plain_name, listed, shown};
pub use self::similar::{did_you_mean, edit_distance, nearest};
