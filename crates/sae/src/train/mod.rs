//! Training, with the mathematics of `SAELens`.

mod adam;
mod config;
mod dense;
mod entries;
mod kernels;
mod schedule;
mod sparse;
mod trainer;

pub use config::{SaeTrainConfig, TrainArchitecture};
pub use schedule::{CoefficientSchedule, LearningRateSchedule, ScheduleShape};
pub use trainer::{SaeTrainer, StepReport};
