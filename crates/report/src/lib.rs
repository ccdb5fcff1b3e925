//! Self-contained HTML pages of what probes and sparse autoencoders found.
//!
//! A page is a plain struct that is filled by the caller and turned into one HTML file. It holds
//! its data, its style, and its scripts; it asks the network for nothing and works from `file://`.
//! Nothing here knows a tensor, a model, or a file.
//!
//! | page | what it shows |
//! |---|---|
//! | [`TokenPage`] | texts, coloured by what probes say about each token, layer by layer |
//! | [`SweepPage`] | a sweep: the best probes, curves over layers, the grid, controls |
//! | [`ComparePage`] | several sweeps beside each other |
//! | [`SaePage`] | a sparse autoencoder, feature by feature |
//! | [`SaeAblationPage`] | autoencoders under every kind of guidance, beside baseline and controls |
//! | [`FraSamplePage`] | what the tokens of a text look at, and the pairs of features that make it |
//! | [`FraCorpusPage`] | pairs of features of several heads over many texts, beside nulls |
//!
//! Every string of a page is data: it reaches the browser as JSON that cannot end its element, and
//! the scripts put it on the page as text, never as markup. The content security policy of a page
//! allows its one script and its one style sheet by their hashes, and nothing else.
//!
//! Numbers are written with four significant digits, or whole where these would be rounded another
//! way than the number itself, and what is not finite as `null`, which a page
//! shows as "n/a". The same struct gives the same bytes.
//!
//! # Examples
//!
//! ```
//! use attention_probes::report::{
//!     PageOutputs, PageProbe, PageToken, TokenPage, TokenReading, TokenText,
//! };
//!
//! let page = TokenPage {
//!     title: "Sentiment".to_owned(),
//!     model: "demo-gpt2".to_owned(),
//!     probes: vec![PageProbe {
//!         label: "linear, layer 2".to_owned(),
//!         series: "linear".to_owned(),
//!         kind: "linear".to_owned(),
//!         layer: Some(2),
//!         component: "resid_post".to_owned(),
//!         task: "sequence".to_owned(),
//!         outputs: PageOutputs::Classes,
//!         classes: vec!["negative".to_owned(), "positive".to_owned()],
//!         n_heads: 0,
//!         threshold: 0.5,
//!         file: "linear_probe_lr1.00e-03_wd0.00e+00_state.npz".to_owned(),
//!     }],
//!     texts: vec![TokenText {
//!         row: 0,
//!         label: Some("positive".to_owned()),
//!         tokens: vec![PageToken { text: "Good".to_owned(), id: Some(421), position: 0 }],
//!         readings: vec![TokenReading {
//!             probabilities: vec![0.25, 0.75],
//!             logits: vec![1.0986],
//!             predicted: 1,
//!             prefix_probabilities: Some(vec![0.75]),
//!             ..TokenReading::default()
//!         }],
//!     }],
//! };
//! let html = page.to_html()?;
//! assert!(html.starts_with("<!doctype html>"));
//! # Ok::<(), attention_probes::report::ReportError>(())
//! ```

mod compare_page;
mod densities;
mod document;
mod error;
mod estimate;
mod fra_corpus_page;
mod fra_feature;
mod fra_sample_page;
mod fra_terms;
mod island;
mod layer_weights;
mod link;
mod number;
mod sae_ablation_page;
mod sae_feature;
mod sae_page;
mod sweep_page;
mod target_table;
mod text_table;
mod thinned;
mod token;
mod token_page;

pub use compare_page::{ComparePage, ComparedResult, ComparedRun};
pub use error::ReportError;
pub use estimate::Estimate;
pub use fra_corpus_page::{FraCorpusHead, FraCorpusPage, FraCorpusPair, FraSampleLink};
pub use fra_feature::FraFeature;
pub use fra_sample_page::{FraEntry, FraSampleHead, FraSamplePage, FraSamplePair};
pub use fra_terms::FraTermMaps;
pub use layer_weights::LayerWeights;
pub use number::{fixed, measured, scientific, scientific_range, signed};
pub use sae_ablation_page::{AblationArm, ArmKind, SaeAblationPage};
pub use sae_feature::{
    ActivationBin, FeatureNeighbour, FeatureQuantile, FeatureText, FeatureToken, SaeFeature,
    SourceAttribution,
};
pub use sae_page::{SaeGuidance, SaePage, SaeSummary, SaeTrainingPoint};
pub use sweep_page::{
    CalibrationRow, ComparisonRow, LengthRow, ReliabilityBar, SweepArchitecture, SweepExperiment,
    SweepPage, SweepTransfer, SweepTrial, SweepWarning, ThresholdRow, TrialHistory,
};
pub use target_table::{PenaltyPoint, TargetRow, TargetSearch, TargetTable, TargetTrials};
pub use text_table::{aligned, aligned_right, with_interval};
pub use token::PageToken;
pub use token_page::{PageOutputs, PageProbe, TokenPage, TokenReading, TokenText};
