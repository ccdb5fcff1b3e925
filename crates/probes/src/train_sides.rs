//! What a probe is trained on, and what it may be stopped early on.

use crate::TrainingData;

/// What a probe is trained on, and what it may be stopped early on: `&data`, or `(&train,
/// &validation)`.
#[derive(Clone, Copy, Debug)]
pub struct TrainSides<'a> {
    /// Examples to learn from.
    pub train: &'a TrainingData,
    /// Examples that say when to stop, and which weights are best.
    pub validation: Option<&'a TrainingData>,
}

impl<'a> From<&'a TrainingData> for TrainSides<'a> {
    fn from(train: &'a TrainingData) -> Self {
        Self { train, validation: None }
    }
}

impl<'a> From<(&'a TrainingData, &'a TrainingData)> for TrainSides<'a> {
    fn from((train, validation): (&'a TrainingData, &'a TrainingData)) -> Self {
        Self { train, validation: Some(validation) }
    }
}

impl<'a> From<(&'a TrainingData, Option<&'a TrainingData>)> for TrainSides<'a> {
    fn from((train, validation): (&'a TrainingData, Option<&'a TrainingData>)) -> Self {
        Self { train, validation }
    }
}
