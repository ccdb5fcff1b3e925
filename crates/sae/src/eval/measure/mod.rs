//! Evaluations from beginning to end: a model, or activations, and data in; results out.

mod classes;
mod core;
mod data;
mod file_batches;
mod findings;
mod labelled;
mod letters;
mod removal;
mod setting;
mod site;
mod texts;

pub use self::core::{CoreConfig, core_of_activations, core_of_contexts};
pub use data::{
    ActivationData, LabelledData, LabelledText, WantedLabels, read_activations, read_labelled,
};
pub use findings::{EvalFindings, EvalSae};
pub(crate) use labelled::EncodedJobs;
pub use labelled::{LabelledJob, evaluate_labelled, evaluate_labelled_activations};
pub use letters::{LettersConfig, absorption_of_letters};
pub use setting::{LabelledConfig, LabelledEvaluation, ScrColumns};
pub use site::{SaeInModel, SaeModelOptions, SaeSite, open_sae_in_model};
