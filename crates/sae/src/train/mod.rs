//! Training, with the mathematics of `SAELens`.

mod adam;
mod buffer;
mod checkpoint;
mod config;
mod contexts;
mod dense;
mod entries;
mod export;
mod report;
mod rows;
mod schedule;
mod scratch;
mod source;
mod sparse;
mod step;
pub(crate) mod stream;
mod texts;
mod trainer;

pub use buffer::MixingBuffer;
pub(crate) use checkpoint::{CheckpointArrays, CheckpointFile};
pub use config::{SaeTrainConfig, TrainArchitecture};
pub use contexts::Contexts;
pub(crate) use entries::Entry;
pub(crate) use report::Aids;
pub use report::StepReport;
pub use schedule::{CoefficientSchedule, LearningRateSchedule, ScheduleShape};
pub use source::SourceTraining;
pub use stream::{ContextStream, ModelContexts, StreamPosition};
pub use texts::{ContextConfig, read_contexts};
pub use trainer::SaeTrainer;
