//! A sweep as a person writes it, and the plan that it becomes once it is checked.

pub(crate) mod architecture_config;
pub(crate) mod architecture_plan;
pub(crate) mod checks;
pub(crate) mod data_config;
pub(crate) mod data_plan;
pub(crate) mod haystack;
pub(crate) mod plan;
pub(crate) mod selection;
pub(crate) mod sweep_config;
pub(crate) mod trial;

pub use architecture_config::ArchitectureConfig;
pub use data_config::{ClassWeights, DataConfig, HeldOut};
pub use selection::{Keep, SelectBy};
pub use sweep_config::{
    ActivationsConfig, Components, EvaluationConfig, GridConfig, Layers, ModelConfig, SweepConfig,
};

pub use crate::train::method::Recipe;
