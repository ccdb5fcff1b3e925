//! Evaluation of autoencoders: the definitions of `SAEBench` 0.6.0, with its quirks named, and the
//! right figure beside those that are wrong.

mod absorption;
mod activity;
mod attribution;
mod binary_probe;
mod core_metrics;
mod encoded;
mod error;
mod eval_run;
mod examples;
mod first_letter;
mod main_features;
mod measure;
mod output;
mod parts;
mod recovered;
mod reseed;
mod scr;
mod selection;
mod sparse_probing;
#[cfg(test)]
pub(crate) mod testing;
mod texts;
mod tpp;
mod weights;

pub use absorption::{
    Absorption, AbsorptionConfig, AbsorptionMeans, AbsorptionProbes, ClassAbsorption,
    ClassifiedWords, Concept, TrainTest, WordAbsorption, absorption, word_absorption,
};
pub use activity::{ActivityConfig, FeatureActivity, FeatureAt, FeaturePeak, attribute_to_sources};
pub use attribution::ablated_means;
pub use binary_probe::{BinaryProbe, BinaryProbeConfig};
pub use core_metrics::{CoreBatch, CoreEvaluator, CoreMetrics, FeatureFrequency, core_metrics};
pub use encoded::{EncodedTexts, Texts};
pub use error::EvalError;
pub use eval_run::EvalRun;
pub use examples::{ClassTexts, Sampling};
pub use first_letter::{LetterPrompt, letter_prompts, letter_words};
pub(crate) use measure::EncodedJobs;
pub use measure::{
    ActivationData, CoreConfig, EvalFindings, EvalSae, LabelledConfig, LabelledData,
    LabelledEvaluation, LabelledJob, LabelledText, LettersConfig, SaeInModel, SaeModelOptions,
    SaeSite, ScrColumns, WantedLabels, absorption_of_letters, core_of_activations,
    core_of_contexts, evaluate_labelled, evaluate_labelled_activations, open_sae_in_model,
    read_activations, read_labelled,
};
pub use output::{CoreResults, EvalOutput, MetricCategory};
pub use parts::{cut_to_parts, draw_in_parts};
pub use recovered::{
    ModelHook, Recovered, RecoveredSums, RecoveryConfig, ce_loss_score, cross_entropies,
    hook_of_sae, kl_div_score, kl_divergences, recovered, recovered_with,
};
pub(crate) use recovered::{OriginalBatch, RecoveryPlace, recovered_each};
pub use reseed::{ReseedSummary, over_seeds, reseed};
pub use scr::{
    Scr, ScrAblation, ScrAccuracies, ScrPair, ScrScore, ScrTexts, scr, train_scr_probes,
};
pub use selection::{SelectionConfig, train_selection, train_truth};
pub use sparse_probing::{
    ClassProbes, KSparseProbe, SparseProbing, SparseProbingConfig, sparse_probing,
};
pub use texts::TextActivations;
pub use tpp::{PerturbationConfig, Tpp, TppClass, TppScore, tpp, train_tpp_probes};
pub(crate) use weights::unit_rows;
pub use weights::{FeatureWeights, feature_weights};
