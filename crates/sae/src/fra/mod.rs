//! Feature-resolved attention: what pairs of an autoencoder's features add to a head's scores.
//!
//! [`FraLayer`] joins an autoencoder with the attention that reads it; [`FraText`] holds the factors
//! of a text, from which [`FraHead`] makes the four terms of its scores and any slice of them.
//! [`FraStatistics`] collects pairs over texts, ranks them, and compares them with nulls.

mod by_distance;
mod co_occurrence;
mod codes;
mod entry;
mod found;
mod induction;
mod layer;
mod nulls;
mod output;
mod permutation;
mod published;
mod ranking;
mod row;
mod site;
mod state;
mod statistics;
mod table;
mod terms;
mod text;

pub use codes::FraCodes;
pub use layer::{FraActivations, FraLayer, capture, capture_texts};
pub use nulls::SelfInteractions;
pub use output::{FraContribution, FraOutput, FraSource};
pub use ranking::{FraHeadPairs, FraPair, FraRank};
pub use site::{FraSite, hook_of};
pub use statistics::{FraStatistics, FraStatisticsConfig};
pub use terms::{FraBlock, FraTerms, FraValue};
pub use text::{FraHead, FraText};
