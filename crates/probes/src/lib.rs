//! Probes: small classifiers that read what a language model's activations know.
//!
//! Start with [`train_probe`]: labelled activations go in as [`TrainingData`], a trained
//! [`AttentionProbe`] comes out.
//! [`evaluate_probe`] and [`compute_metrics`] say how good it is, [`SavedProbe`] writes it to disk
//! with everything that is needed to use it again.
//!
//! | kind | what it does with a text |
//! |---|---|
//! | [`Linear`] | pools the tokens, then one linear readout |
//! | [`Mlp`] | pools the tokens, then one hidden layer |
//! | [`Attention`] | weighs the tokens with learned queries, then reads out their sum |
//! | [`TokenScores`] | scores every token, then aggregates the scores: softmax, top k, rolling, EMA |
//! | [`MultiMax`] | sums the loudest token of every head |
//! | [`RollingAttention`] | attention within a sliding window, then the highest window |
//! | [`GatedBipolar`] | gated features, of which the highest and the lowest count |
//! | yours | what you write as a [`ProbeKind`] |
//!
//! Where training is a convex problem, it is solved as one, on the host: [`logistic_path`] over a
//! whole path of penalties, [`cross_validate_logistic`] over its folds, [`ridge_path`] for
//! regression, [`mass_mean`] and [`discriminant`] in closed form. They read [`Features`], pooled
//! activations, and end as a [`LinearReadout`], the weights of a [`Linear`] probe.
//!
//! No backend is named here: a [`burn::tensor::Device`] is chosen at run time by the caller.

mod apply;
mod attention_probe;
mod batches;
mod convex;
pub mod engine;
mod error;
mod error_kind;
mod evaluate;
mod gather;
mod gather_texts;
#[cfg(test)]
#[path = "../tests/support/golden.rs"]
mod golden;
mod kinds;
mod logits;
mod loss;
mod mask;
mod outputs;
mod pool;
mod probe;
mod probe_config;
mod recipes;
mod saved;
mod side_report;
mod state;
mod streaming;
#[cfg(test)]
#[path = "../tests/support/testing.rs"]
mod testing;
mod train;
mod train_config;
mod train_sides;
mod trained_on;
mod training_data;

pub use attention_probes_activations::{LabelKind, LabelValues, Labels};

pub use apply::{
    ApplyError, AtThreshold, ClassEvaluation, Contribution, Decisions, EvaluateConfig, Judge,
    KnownData, KnownToken, LabelledColumns, LabelledRows, LabelledTexts, MetModel, ModelChoice,
    ModelRemedy, NamedScore, NamedVerdict, OtherModel, OutputEvaluation, Prefixes, ProbeFile,
    ProbedActivations, ProbedConfig, ProbedModel, Reading, RowScorer, Said, SavedEvaluation,
    ScoreConfig, ScoredText, Scorer, Scores, StreamAnswer, StreamChecked, StreamConfig, StreamLine,
    StreamOrigin, StreamReader, TextResult, TextScore, TextScorer, TokenReader, TokenScore,
    Verdict, VerdictConfig, apply_probe, label_separator, read_text_line, text_from_line,
};
pub use attention_probe::AttentionProbe;
pub use convex::{
    Features, Folds, LinearReadout, LogisticConfig, LogisticData, LogisticFit, LogisticSelection,
    LogisticTargets, MassMean, PenaltyScore, RidgeConfig, RidgeFit, SelectPenaltyBy, Shrinkage,
    SparseFeatures, SparseLogistic, SparseLogisticData, cross_validate_logistic, discriminant,
    follow_cross_validation, follow_logistic_path, logistic_path, mass_mean, ridge_path,
    select_logistic,
};
pub use error::ProbeError;
pub use evaluate::{Evaluation, compute_metrics, evaluate_probe};
pub use gather::DataSides;
pub use gather_texts::TextsConfig;
pub use kinds::{
    Aggregation, Attention, AttentionActivation, Batch, GatedBipolar, Kinds, Layout, Linear, Mlp,
    MultiMax, NORM_EPSILON, PaddedTokens, ProbeKind, ProbeSize, Reads, RollingAttention,
    TextReading, TokenContributions, TokenDropout, TokenScores, TokenWeights, weighted_mean,
};
pub use logits::{n_out, probabilities, probabilities_from_logits};
pub use loss::Loss;
pub use mask::{mask_last, positions_from_mask};
pub use outputs::{OutputMetrics, OutputScale, Outputs};
pub use pool::Pool;
pub use probe::{Probe, ProbeOutput};
pub use probe_config::ProbeConfig;
pub use recipes::{
    FINETUNE_DEVIATION, Retraining, check_ensemble, check_finetune, ensemble_config,
    ensemble_with_mean, finetune_attention, finetune_start, join_heads, train_repeatedly,
};
pub use saved::{
    DataMetadata, FORMAT_VERSION, ModelMetadata, ProbeMetadata, ProbeMetrics, SavedProbe,
    probe_file_stem,
};
pub use side_report::{SideReport, target_cross_entropies};
pub use state::{ParamArray, ProbeState};
pub use streaming::{Ring, Rows, StreamKind, StreamingProbe};
pub use train::{StepRecord, TrainedProbe, train_any_probe, train_from_state, train_probe};
pub use train_config::{AttentionProbeTrainConfig, Optimizer, TrainConfig};
pub use train_sides::TrainSides;
pub use trained_on::{KnownTexts, TrainedOn};
pub use training_data::{TrainingData, check_labels};
