//! Find out what a language model knows: run it, read its activations, train probes on them.
//!
//! ```
//! use attention_probes::prelude::*;
//!
//! let folder = std::env::temp_dir();
//! let file = folder.join("moods.csv");
//! let texts = "text,label\nA happy cat.,good\nA sad dog.,bad\nA happy bird.,good\nA sad frog.,bad\n";
//! std::fs::write(&file, texts)?;
//!
//! let device = Device::default();
//! let model = open_model("demo-gpt2", None, &device)?;
//! let at_layer_1 = TextsConfig::new(Place::resid_post(1));
//! let data = TrainingData::from_texts(&Dataset::labelled(&file)?, &model, &at_layer_1, &device)?;
//! let probe = train_probe(&data, &AttentionProbeTrainConfig::default(), &device)?;
//! let metrics = compute_metrics(&evaluate_probe(&probe, &data, &device)?, &data, 42)?;
//! assert!(metrics.accuracy > 0.99);
//! # Ok::<(), Box<dyn std::error::Error>>(())
//! ```
//!
//! | module | what |
//! |---|---|
//! | [`errors`] | kinds of error, and the signal that stops long work |
//! | [`kernels`] | numerics that the others share: products, losses, optimisers |
//! | [`metrics`] | accuracy, AUROC, calibration, and intervals from plain slices |
//! | [`models`] | GPT-2 and Gemma with hooks and interventions, tokenizers, loading, embedded models |
//! | [`activations`] | labelled text to tokens to activations |
//! | [`probes`] | linear, MLP, and attention probes; training one, saving it |
//! | [`report`] | self-contained HTML pages from plain structs |
//! | [`sae`] | sparse autoencoders: five file formats, encoding, training, evaluation |
//! | [`sweep`] | whole grids of probes trained as one batch |
//! | [`pages`] | pages and tables of results, of probes and of autoencoders; a run of feature-resolved attention |
//!
//! The default feature `flex` is burn's CPU backend; `wgpu` and `cuda` add GPUs, chosen at run time
//! by [`Device`](burn::tensor::Device). With `hub`, models and data sets of the Hub are downloaded;
//! with `parquet`, Parquet files are read, and with `arrow`, folders of the Python library `datasets`.

pub use attention_probes_activations as activations;
pub use attention_probes_errors as errors;
pub use attention_probes_kernels as kernels;
pub use attention_probes_metrics as metrics;
pub use attention_probes_models as models;
pub use attention_probes_probes as probes;
pub use attention_probes_report as report;
pub use attention_probes_sae as sae;
pub use attention_probes_sweep as sweep;
pub use burn;

/// Pages and tables of results.
pub mod pages {
    pub use attention_probes_pages_probes as probes;
    pub use attention_probes_pages_sae as sae;
}

/// What most programs need.
pub mod prelude {
    pub use attention_probes_activations::{
        Capture, Component, Dataset, DatasetConfig, EarlierRun, ExternalActivations, LabelField,
        LabelKind, LabelReader, Place, RowsSource, Site, SplitConfig, TaskConfig, TaskPlace,
        TaskText, TextLabel, TextTask, TokenizeConfig, stream_activations, tokenize,
    };
    pub use attention_probes_metrics::{ClassificationReport, ConfusionMatrix, auroc};
    pub use attention_probes_models::{
        Activation, ActivationCache, Convention, ForwardRequest, HookPoint, HookSet, HookedModel,
        HubAccess, Intervention, LanguageModel, ModelOutput, PaddingSide, TokenBatch, Tokenizer,
        open_model,
    };
    pub use attention_probes_probes::{
        Attention, AttentionProbe, AttentionProbeTrainConfig, Batch, DataSides, Kinds, Labels,
        Layout, Linear, ModelChoice, Probe, ProbeConfig, ProbeKind, ProbeMetadata, ProbeSize,
        SavedProbe, SideReport, StreamingProbe, TextsConfig, TrainConfig, TrainedProbe,
        TrainingData, compute_metrics, evaluate_probe, train_any_probe, train_probe,
    };
    pub use attention_probes_sweep::{
        LabelledSource, NoTracker, RunOptions, SweepConfig, SweepDataConfig, SweptData,
        SweptExperiment, SweptLabels, SweptSource, Tracker, run_sweep, run_sweep_on, sweep_data,
        sweep_labels, sweep_source,
    };
    pub use burn::tensor::{Device, Tensor};
}

/// Runs the code blocks of the README as tests.
#[cfg(doctest)]
#[doc = include_str!("../README.md")]
struct Readme;

/// Runs the code blocks of a page of `docs/` as tests.
#[cfg(doctest)]
#[doc = include_str!("../docs/serving.md")]
struct Serving;
