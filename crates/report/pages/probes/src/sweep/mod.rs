//! The pages of a sweep, and of several.

mod compare;
mod curves;
mod evaluation;
mod file;
mod histories;
mod page;
mod targets;

pub use compare::compare_page;
pub use file::{SweepPageFile, sweep_page_path, write_sweep_page};
pub use page::sweep_page;
pub use targets::LABELS_SHUFFLED;
pub(crate) use targets::setting;
