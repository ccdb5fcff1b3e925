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
mod capture;
mod codes;
mod coordinates;
mod corpus;
mod layer;
mod mode;
mod opened;
mod output;
mod pairs;
mod published;
mod reading;
mod site;
mod terms;
mod text;

pub use ablation::{
    AblatedText, FraAblation, FraArm, FraArmsConfig, FraEffect, FraRemoved, FraScores,
    InductionHead, RepeatedTokensConfig, induction_arms,
};
pub use capture::{FraActivations, capture, capture_texts};
pub use codes::{FraCodes, FraInput};
pub use coordinates::FraCoordinates;
pub use corpus::{
    FraCheckpoints, FraCorpus, FraExamples, FraFeatureText, FraFeatureTexts, FraHeadReport,
    FraLookConfig, FraPairReport, FraProgress, FraReportConfig, FraRowSample, FraRowSamples,
    FraSettings, FraSpreads, resolve_texts, shown_pairs,
};
pub use layer::FraLayer;
pub use mode::FraMode;
pub use opened::{FraOpenOptions, FraSubject, open_fra};
pub use output::{FraContribution, FraOutput, FraSource};
pub use pairs::{
    FraHeadPairs, FraPair, FraRank, FraShownPairs, FraStatistics, FraStatisticsConfig,
    SelfInteractions,
};
pub use reading::{
    FraIdentity, FraReader, FraReaderConfig, FraReading, FraSample, FraSampleConfig, FraSampleHead,
    FraSampleMaps, FraSamplePair, FraTextIds, TextFeature, TextFeatures, TokenFeatures,
};
pub use site::{FraSite, hook_of};
pub use terms::{FraBlock, FraTerms, FraValue};
pub use text::{FraHead, FraText};
