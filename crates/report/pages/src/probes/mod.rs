//! The page of saved probes.

mod token;

pub use token::{TextsPage, TokenPageConfig, token_page};
