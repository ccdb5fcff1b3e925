//! Pairs over many texts for several layers: one pass, reports, and a second look at some texts.

mod accumulate;
mod examples;
mod progress;
mod report;
mod row_samples;
mod spread;

pub use accumulate::{FraCheckpoints, FraCorpus};
pub use examples::{FraExamples, FraFeatureText, FraFeatureTexts, FraLookConfig};
pub use progress::FraProgress;
pub use report::{FraHeadReport, FraPairReport, FraReportConfig, FraSettings, shown_pairs};
pub use row_samples::{FraRowSample, FraRowSamples, resolve_texts};
pub use spread::FraSpreads;
