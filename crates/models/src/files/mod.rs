//! Files that are there whole or not at all, and locks that keep a second process out.

mod lock;
mod target;
mod temporary;
mod unfinished;
mod whole;

pub use lock::FileLock;
pub use target::{NotAFile, output_target};
#[cfg(feature = "hub")]
pub(crate) use temporary::temporary_path;
pub use temporary::{TemporaryFile, remove_all_abandoned, write_atomically};
pub use unfinished::{Unfinished, remove_unfinished};
pub use whole::{MAX_DESCRIPTION_BYTES, is_lfs_pointer, read_description};
pub(crate) use whole::{read_file, refuse_pointer, write_file};
