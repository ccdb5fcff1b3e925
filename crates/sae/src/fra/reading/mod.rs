//! One text: its tokens, their features, and what the scores of its heads are made of.

mod reader;
mod sample;
mod text_features;
mod text_reading;

pub use reader::{FraReader, FraReaderConfig, FraTextIds};
pub use sample::{
    FraIdentity, FraSample, FraSampleConfig, FraSampleHead, FraSampleMaps, FraSamplePair,
};
pub use text_features::{TextFeature, TextFeatures, TokenFeatures};
pub use text_reading::FraReading;
