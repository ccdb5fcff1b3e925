//! Results as tables of plain text, for a terminal, a log, or a notebook.
//!
//! Each function takes what a library returned and gives text that ends with a line break; what a
//! terminal would obey is escaped.

mod cells;
mod compare;
mod decisions;
mod evaluation;
mod extract;
mod plan;
mod sweep;
mod targets;

pub use compare::comparison_text;
pub use evaluation::evaluation_text;
pub use extract::extract_text;
pub use plan::plan_text;
pub use sweep::sweep_text;
