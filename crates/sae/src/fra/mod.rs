//! Feature-resolved attention: what pairs of an autoencoder's features add to a head's scores.
//!
//! [`FraLayer`] joins an autoencoder with the attention that reads it, [`FraReader`] a model with
//! how its texts begin. [`FraLayer::text`] reads a text in one call: [`FraReading`] has the features
//! of its tokens, and [`FraHead`] the four terms of a head's scores, any slice of them, and the
//! strongest pairs; [`FraReading::sample`] puts all of it into one struct.
//! [`FraStatistics`] collects pairs over texts, ranks them, and compares them with nulls;
//! [`FraCorpus`] does so for several layers in one pass, [`FraCorpus::look_again`] finds where
//! the features of the strongest pairs are active, and [`induction_arms`] runs the model without them.

mod ablation;
mod arms;
mod by_distance;
mod co_occurrence;
mod codes;
mod corpus;
mod entry;
mod examples;
mod found;
mod induction;
mod induction_heads;
mod layer;
mod mode;
mod nulls;
mod output;
mod permutation;
mod progress;
mod published;
mod ranking;
mod reader;
mod reading;
mod report;
mod row;
mod row_samples;
mod sample;
mod site;
mod spread;
mod state;
mod statistics;
mod table;
mod terms;
mod text;
mod text_features;

pub use ablation::{AblatedText, FraAblation, FraEffect, FraRemoved, FraScores};
pub use arms::{FraArm, FraArmsConfig, induction_arms};
pub use codes::FraCodes;
pub use corpus::{FraCheckpoints, FraCorpus};
pub use examples::{FraExamples, FraFeatureText, FraFeatureTexts, FraLookConfig};
pub use induction_heads::{InductionHead, RepeatedTokensConfig};
pub use layer::{FraActivations, FraLayer, capture};
pub use mode::FraMode;
pub use nulls::SelfInteractions;
pub use output::{FraContribution, FraOutput, FraSource};
pub use progress::FraProgress;
pub use ranking::{FraHeadPairs, FraPair, FraRank, FraShownPairs};
pub use reader::{FraReader, FraReaderConfig, FraTextIds};
pub use reading::FraReading;
pub use report::{FraHeadReport, FraPairReport, FraReportConfig, FraSettings, shown_pairs};
pub use row_samples::{FraRowSample, FraRowSamples, resolve_texts};
pub use sample::{
    FraIdentity, FraSample, FraSampleConfig, FraSampleHead, FraSampleMaps, FraSamplePair,
};
pub use site::{FraSite, hook_of};
pub use spread::FraSpreads;
pub use statistics::{FraStatistics, FraStatisticsConfig};
pub use terms::{FraBlock, FraTerms, FraValue};
pub use text::{FraHead, FraText};
pub use text_features::{TextFeature, TextFeatures, TokenFeatures};
