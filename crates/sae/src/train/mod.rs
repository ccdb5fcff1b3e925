//! Training, with the mathematics of `SAELens`.

mod adam;
mod buffer;
mod checkpoint;
mod config;
mod contexts;
mod dense;
mod entries;
mod export;
mod memory;
mod rows;
mod schedule;
mod sparse;
mod step;
mod trainer;

pub use buffer::MixingBuffer;
pub(crate) use checkpoint::{CheckpointArrays, CheckpointFile};
pub use config::{SaeTrainConfig, TrainArchitecture};
pub use contexts::Contexts;
pub(crate) use entries::Entry;
pub use memory::TrainingMemory;
pub use schedule::{CoefficientSchedule, LearningRateSchedule, ScheduleShape};
pub(crate) use step::Aids;
pub use step::StepReport;
pub use trainer::SaeTrainer;
