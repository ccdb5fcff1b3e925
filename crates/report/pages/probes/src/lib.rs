//! Pages of sweeps and saved probes: what those return, made into the structs of
//! [`attention_probes_report`] and written as self-contained HTML; and as tables of plain text,
//! [`text`].

mod error;
mod sweep;
pub mod text;
mod token;

pub use error::PageError;
pub use sweep::{
    LABELS_SHUFFLED, SweepPageFile, compare_page, sweep_page, sweep_page_path, write_sweep_page,
};
pub use token::{TextsPage, TokenPageConfig, token_page};
