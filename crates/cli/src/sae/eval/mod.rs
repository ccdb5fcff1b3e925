//! `sae eval`: an autoencoder judged by one of `SAEBench`'s evaluations, from a model's activations
//! or from those of a file.

mod absorption;
mod activations;
mod classes;
mod core;
mod labelled;
mod removal;
mod report;

use std::num::NonZeroUsize;
use std::path::PathBuf;

use anyhow::Result;
use attention_probes_models::Dtype;
use attention_probes_sae::eval::EvalOutput;
use clap::{Args, ValueEnum};

use crate::data_args::TableArgs;
use crate::exit::InputError;
use crate::output;
use crate::sae::subject::{ModelPlace, SaeInModel};

/// Texts, or words, that are read at most, as many as `SAEBench` trains and tests on.
const MAX_TEXTS: usize = 5000;

/// Contexts of the core evaluation.
const MAX_CONTEXTS: usize = 200;

/// Measure a sparse autoencoder by one of `SAEBench`'s evaluations.
///
/// Core: sparsity, reconstruction, and what the model loses by it. Sparse probing: how well a class
/// is told from a few features. TPP: whether ablating a class's features harms its probe alone. SCR:
/// whether ablating features of a spurious attribute frees a biased probe. Absorption: whether
/// features of a word's first letter are silent where others took the letter over.
#[derive(Args, Debug)]
pub struct EvalArgs {
    /// The autoencoder, in any known form.
    #[arg(long)]
    pub sae: PathBuf,
    /// What is measured.
    #[arg(long, value_enum, default_value_t)]
    pub eval: Evaluation,
    /// Texts: `.csv`, `.tsv`, `.jsonl`, `.parquet`, or `hf://datasets/org/name[@revision][/path]`.
    #[arg(long, conflicts_with = "activations")]
    pub data: Option<PathBuf>,
    /// Activations instead of texts and a model: an `.npz` with `x`, `mask`, and perhaps `y`, a
    /// folder of shards, or a MOSAIC folder; of core, sparse probing, and TPP.
    #[arg(long, conflicts_with_all = ["model", "hook", "device"])]
    pub activations: Option<PathBuf>,
    /// Split of a data set of the Hub; `train` if it is left out.
    #[arg(long)]
    pub split: Option<String>,
    /// Column of the texts; `text` if it is left out.
    #[arg(long)]
    pub text: Option<String>,
    /// How fields are written.
    #[command(flatten)]
    pub table: TableArgs,
    /// Column of the classes of sparse probing, TPP, and SCR; `label` if it is left out.
    #[arg(long)]
    pub label: Option<String>,
    /// Column of the spurious attribute of SCR.
    #[arg(long)]
    pub spurious: Option<String>,
    /// The two labels of SCR, the positive one first; may be left out where there are just two.
    #[arg(long, num_args = 2, value_names = ["POSITIVE", "NEGATIVE"])]
    pub pair: Option<Vec<String>>,
    /// The two values of the spurious attribute of SCR that go with them.
    #[arg(long, num_args = 2, value_names = ["POSITIVE", "NEGATIVE"])]
    pub spurious_pair: Option<Vec<String>>,
    /// Most contexts of core. By default 200.
    #[arg(long)]
    pub max_contexts: Option<NonZeroUsize>,
    /// Most texts, or words of absorption, as many of each class, drawn by the seed. By default
    /// 5000.
    #[arg(long)]
    pub max_texts: Option<NonZeroUsize>,
    /// Share of the texts or words that is held out. By default 0.2.
    #[arg(long)]
    pub test: Option<f64>,
    /// Seeds of what is split, drawn, and trained; the table shows how far they differ. By default 3.
    #[arg(long)]
    pub seeds: Option<NonZeroUsize>,
    /// The first seed. By default 42.
    #[arg(long)]
    pub seed: Option<u64>,
    /// Letters whose probe must be good for there to be a result of absorption. By default 20.
    #[arg(long)]
    pub min_letters: Option<NonZeroUsize>,
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
    /// Also write the result in the layout of `SAEBench`.
    #[arg(long)]
    pub output: Option<PathBuf>,
    /// Print the result in the layout of `SAEBench` instead of a table.
    #[arg(long)]
    pub json: bool,
}

/// An evaluation, by `SAEBench`'s name.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, ValueEnum)]
#[value(rename_all = "snake_case")]
pub enum Evaluation {
    /// Sparsity, reconstruction, and what the model loses by it.
    #[default]
    Core,
    /// Classes told from a few features.
    SparseProbing,
    /// Targeted probe perturbation.
    Tpp,
    /// Spurious correlation removal.
    Scr,
    /// Absorption of first letters.
    #[value(alias = "absorption_first_letter")]
    Absorption,
}

/// What an evaluation found, and what is said above the table.
struct Findings {
    /// One for each seed; one of core.
    outputs: Vec<EvalOutput>,
    /// What was measured on, such as `4 classes of 78 texts`.
    on: String,
    /// Further lines for a reader, below the table.
    notes: Vec<String>,
}

/// Runs `sae eval`.
///
/// # Errors
///
/// If the autoencoder, the model, the texts, or the activations are at fault, or do not fit each
/// other, or a flag is given that the evaluation does not have.
pub fn run(args: &EvalArgs) -> Result<()> {
    if let Some(path) = &args.output {
        let inputs = args.data.iter().chain(&args.activations).map(PathBuf::as_path);
        output::check_file_beside(path, inputs)?;
    }
    report::write(args, &find(args)?)
}

/// Results of an evaluation, one for each seed.
pub(super) fn evaluate(args: &EvalArgs) -> Result<Vec<EvalOutput>> {
    find(args).map(|findings| findings.outputs)
}

fn find(args: &EvalArgs) -> Result<Findings> {
    args.check()?;
    match args.eval {
        Evaluation::Core => core::run(args),
        Evaluation::SparseProbing | Evaluation::Tpp => classes::run(args),
        Evaluation::Scr => removal::run(args),
        Evaluation::Absorption => absorption::run(args),
    }
}

impl EvalArgs {
    /// An evaluation of an autoencoder on texts, with everything else as it is by default.
    pub(super) fn new(sae: PathBuf, eval: Evaluation, data: PathBuf) -> Self {
        Self {
            sae,
            eval,
            data: Some(data),
            activations: None,
            split: None,
            text: None,
            table: TableArgs::default(),
            label: None,
            spurious: None,
            pair: None,
            spurious_pair: None,
            max_contexts: None,
            max_texts: None,
            test: None,
            seeds: None,
            seed: None,
            min_letters: None,
            model: None,
            hook: None,
            device: "auto".to_owned(),
            dtype: Dtype::Auto,
            output: None,
            json: false,
        }
    }

    /// Refuses flags that the evaluation does not have, and a lack of those that it needs.
    fn check(&self) -> Result<()> {
        use Evaluation::{Absorption, Core, Scr, SparseProbing, Tpp};
        let all: [(&str, bool, &[Evaluation]); 15] = [
            ("data", self.data.is_some(), &[Core, SparseProbing, Tpp, Scr]),
            ("activations", self.activations.is_some(), &[Core, SparseProbing, Tpp]),
            ("text", self.text.is_some(), &[Core, SparseProbing, Tpp, Scr]),
            ("quoting", self.table.quoting.is_some(), &[Core, SparseProbing, Tpp, Scr]),
            ("escape", self.table.escape.is_some(), &[Core, SparseProbing, Tpp, Scr]),
            ("split", self.split.is_some(), &[Core, SparseProbing, Tpp, Scr]),
            ("label", self.label.is_some(), &[SparseProbing, Tpp, Scr]),
            ("spurious", self.spurious.is_some(), &[Scr]),
            ("pair", self.pair.is_some(), &[Scr]),
            ("spurious-pair", self.spurious_pair.is_some(), &[Scr]),
            ("max-contexts", self.max_contexts.is_some(), &[Core]),
            ("max-texts", self.max_texts.is_some(), &[SparseProbing, Tpp, Scr, Absorption]),
            ("test", self.test.is_some(), &[SparseProbing, Tpp, Scr, Absorption]),
            ("seeds", self.seeds.is_some(), &[SparseProbing, Tpp, Scr, Absorption]),
            ("min-letters", self.min_letters.is_some(), &[Absorption]),
        ];
        let eval = self.eval.name();
        let refuse = |message: String| Err(InputError(message).into());
        if let Some((flag, ..)) =
            all.iter().find(|(_, is_given, of)| *is_given && !of.contains(&self.eval))
        {
            return refuse(format!("`--eval {eval}` has no `--{flag}`, leave it out"));
        }
        let of_texts = [
            ("text", self.text.is_some()),
            ("quoting", self.table.quoting.is_some()),
            ("escape", self.table.escape.is_some()),
            ("split", self.split.is_some()),
            ("label", self.label.is_some()),
            ("max-contexts", self.max_contexts.is_some()),
        ];
        if self.activations.is_some()
            && let Some((flag, _)) = of_texts.iter().find(|(_, is_given)| *is_given)
        {
            return refuse(format!("`--activations` has no use for `--{flag}`, leave it out"));
        }
        if self.seed.is_some() && self.eval == Core {
            return refuse("`--eval core` draws nothing, leave `--seed` out".to_owned());
        }
        if self.eval != Absorption && self.data.is_none() && self.activations.is_none() {
            let or = if self.eval == Scr { "" } else { " or `--activations`" };
            return refuse(format!("`--eval {eval}` needs `--data`{or}"));
        }
        if self.eval == Scr && self.spurious.is_none() {
            return refuse("`--eval scr` needs `--spurious`, a column of the texts".to_owned());
        }
        Ok(())
    }

    fn open_model(&self) -> Result<SaeInModel> {
        let place = ModelPlace {
            model: self.model.as_deref(),
            hook: self.hook.as_deref(),
            device: &self.device,
            dtype: self.dtype,
        };
        SaeInModel::open(&self.sae, place)
    }

    fn seeds(&self) -> impl Iterator<Item = u64> + use<> {
        let n = self.seeds.map_or(3, NonZeroUsize::get) as u64;
        let first = self.first_seed();
        (0..n).map(move |i| first.wrapping_add(i))
    }

    fn first_seed(&self) -> u64 {
        self.seed.unwrap_or(42)
    }

    fn max_texts(&self) -> usize {
        self.max_texts.map_or(MAX_TEXTS, NonZeroUsize::get)
    }

    fn max_contexts(&self) -> usize {
        self.max_contexts.map_or(MAX_CONTEXTS, NonZeroUsize::get)
    }

    fn test(&self) -> f64 {
        self.test.unwrap_or(0.2)
    }

    fn text(&self) -> &str {
        self.text.as_deref().unwrap_or("text")
    }

    fn split(&self) -> &str {
        self.split.as_deref().unwrap_or("train")
    }

    fn label(&self) -> &str {
        self.label.as_deref().unwrap_or("label")
    }

    /// What is read, for a message.
    fn source(&self) -> String {
        let path = self.data.as_ref().or(self.activations.as_ref());
        path.map_or_else(String::new, |path| path.display().to_string())
    }

    /// Name of the data, for a result of one seed.
    fn data_name(&self, seed: u64) -> String {
        let path = self.data.as_ref().or(self.activations.as_ref());
        let stem = path.and_then(|path| path.file_stem());
        let name = stem.map_or_else(String::new, |stem| stem.to_string_lossy().into_owned());
        if self.seeds().count() > 1 { format!("{name} (seed {seed})") } else { name }
    }
}

impl Evaluation {
    fn name(self) -> &'static str {
        match self {
            Self::Core => "core",
            Self::SparseProbing => "sparse_probing",
            Self::Tpp => "tpp",
            Self::Scr => "scr",
            Self::Absorption => "absorption",
        }
    }
}
