//! Files: written whole or not at all, mapped, hashed, locked.

pub(crate) mod atomic;
mod earlier_run;
mod file_hash;
pub(crate) mod file_map;
mod folder_lock;
mod own_files;
mod safetensors_file;

pub use atomic::{check_output, write_atomically};
pub use earlier_run::EarlierRun;
pub use file_hash::hash_file;
pub use folder_lock::FolderLock;
pub use own_files::remove_own_files;
pub use safetensors_file::{SafetensorsWriter, StoreDtype, TensorDtype, TensorSpec};
