//! `sae eval`: an autoencoder judged by one of `SAEBench`'s evaluations, from a model's activations
//! or from those of a file.

mod absorption;
mod core;
mod labelled;
mod report;

use std::num::NonZeroUsize;
use std::path::{Path, PathBuf};

use anyhow::Result;
use attention_probes_cli::output;
use attention_probes_models::Dtype;
use attention_probes_sae::eval::{LabelledConfig, SaeInModel};
use clap::{Args, Subcommand};

use crate::subject::{self, ModelPlace};

/// Measure a sparse autoencoder by one of `SAEBench`'s evaluations.
#[derive(Args, Debug)]
pub struct EvalArgs {
    /// What is measured.
    #[command(subcommand)]
    pub evaluation: Evaluation,
}

/// An evaluation.
#[derive(Debug, Subcommand)]
pub enum Evaluation {
    /// Measure sparsity, reconstruction, and what the model loses by it.
    #[command(after_help = "Example: sae eval core --sae my-sae --data texts.csv")]
    Core(core::CoreArgs),
    /// Measure how well each class is told from a few features.
    #[command(
        after_help = "Example: sae eval sparse-probing --sae my-sae --data reviews.csv --label stars"
    )]
    SparseProbing(labelled::ClassArgs),
    /// Measure whether ablating a class's features harms its probe alone.
    #[command(after_help = "Example: sae eval tpp --sae my-sae --data reviews.csv --label stars")]
    Tpp(labelled::ClassArgs),
    /// Measure whether ablating features of a spurious attribute frees a biased probe.
    #[command(
        after_help = "Example: sae eval scr --sae my-sae --data bios.csv --label job --spurious gender"
    )]
    Scr(labelled::ScrArgs),
    /// Measure whether features of a word's first letter are silent where others took the letter
    /// over.
    #[command(after_help = "Example: sae eval absorption --sae my-sae --max-texts 10000")]
    Absorption(absorption::AbsorptionArgs),
}

/// Flags about the autoencoder and its model.
#[derive(Args, Debug)]
pub struct PlaceArgs {
    /// The autoencoder, in any known form.
    #[arg(long)]
    pub sae: PathBuf,
    /// Model, instead of the one that the autoencoder names.
    #[arg(long)]
    pub model: Option<String>,
    /// Hook, where the autoencoder names none.
    #[arg(long)]
    pub hook: Option<String>,
    /// `auto`, `cpu`, `wgpu`, `cuda`, or `cuda:N`.
    #[arg(long, default_value = "auto")]
    pub device: String,
    /// Number format that the model computes in: `f32`, `bf16`, `f16`, or `auto`, which is bf16 on
    /// CUDA and f32 elsewhere.
    #[arg(long, default_value = "auto")]
    pub dtype: Dtype,
}

/// Flags about what is drawn and split.
#[derive(Args, Debug)]
pub struct DrawArgs {
    /// Most texts or words, as many of each class, drawn by the seed.
    #[arg(long, default_value = "5000")]
    pub max_texts: NonZeroUsize,
    /// Share of the texts or words that is held out.
    #[arg(long, default_value_t = 0.2)]
    pub test: f64,
    /// Seeds of what is split, drawn, and trained; the table shows how far they differ.
    #[arg(long, default_value = "3")]
    pub seeds: NonZeroUsize,
    /// The first seed.
    #[arg(long, default_value_t = 42)]
    pub seed: u64,
}

/// Flags about the result.
#[derive(Args, Debug)]
pub struct ResultArgs {
    /// Also write the result in the layout of `SAEBench`.
    #[arg(long)]
    pub output: Option<PathBuf>,
    /// Print the result in the layout of `SAEBench` instead of a table.
    #[arg(long)]
    pub json: bool,
}

/// Runs `sae eval`.
///
/// # Errors
///
/// If the autoencoder, the model, the texts, or the activations are at fault, or do not fit each
/// other.
pub fn run(args: &EvalArgs) -> Result<()> {
    match &args.evaluation {
        Evaluation::Core(args) => core::run(args),
        Evaluation::SparseProbing(args) => labelled::sparse_probing(args),
        Evaluation::Tpp(args) => labelled::tpp(args),
        Evaluation::Scr(args) => labelled::scr(args),
        Evaluation::Absorption(args) => absorption::run(args),
    }
}

impl PlaceArgs {
    fn open(&self) -> Result<SaeInModel> {
        let place = ModelPlace {
            model: self.model.as_deref(),
            hook: self.hook.as_deref(),
            device: &self.device,
            dtype: self.dtype,
        };
        subject::open(&self.sae, place)
    }
}

impl DrawArgs {
    fn config(&self) -> LabelledConfig {
        LabelledConfig {
            max_texts: self.max_texts.get(),
            test: self.test,
            seeds: (0..self.seeds.get() as u64).map(|i| self.seed.wrapping_add(i)).collect(),
        }
    }
}

impl ResultArgs {
    /// Refuses an output that cannot be written, or that the command reads.
    fn check<'a>(&self, inputs: impl IntoIterator<Item = &'a Path>) -> Result<()> {
        self.output.as_ref().map_or(Ok(()), |path| output::check_file_beside(path, inputs))
    }
}
