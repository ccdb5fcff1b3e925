//! Statistics of pairs of features over texts: sums in bounded memory, rankings, nulls.

mod by_distance;
mod co_occurrence;
mod entry;
mod found;
mod induction_sums;
mod nulls;
mod permutation;
mod ranking;
mod row;
mod state;
mod statistics;
mod table;

pub use attention_probes_metrics::SelfInteractions;
pub use ranking::{FraHeadPairs, FraPair, FraRank, FraShownPairs};
pub use statistics::{FraStatistics, FraStatisticsConfig};
