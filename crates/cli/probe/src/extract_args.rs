//! Flags of `probe extract`, checked one against another.

use std::num::NonZeroUsize;
use std::path::{Path, PathBuf};

use anyhow::Result;
use attention_probes_activations::{
    ActivationError, Corpus, DatasetConfig, ExtractData, LabelColumn, Shard, StoreDtype,
    StoreFormat, TextSource,
};
use attention_probes_cli::exit::InputError;
use attention_probes_cli::signals::GoOn;
use attention_probes_cli::table_args::TableArgs;
use attention_probes_models::{Convention, Dtype, HubAccess};
use clap::{Args, ValueEnum};

/// Run a model and write its activations at named hooks.
#[derive(Args, Debug)]
#[expect(clippy::struct_excessive_bools, reason = "each is a flag")]
pub struct ExtractArgs {
    /// An embedded model such as `demo-gpt2`, a directory in Hugging Face layout, or a model of the
    /// Hub, `org/name` or `org/name@revision`, which is downloaded unless it is in the cache.
    #[arg(long)]
    pub model: String,
    /// Text: `.csv`, `.tsv`, `.jsonl`, `.parquet`, or `hf://datasets/org/name[@revision][/path]`.
    /// Row i of a tensor is row i of the file.
    #[arg(long, required_unless_present = "input_ids", conflicts_with = "input_ids")]
    pub data: Option<PathBuf>,
    /// Token ids instead: safetensors with `input_ids` and perhaps `attention_mask` (1 = real
    /// token), both int64 of shape `[batch, pos]`.
    #[arg(long)]
    pub input_ids: Option<PathBuf>,
    /// Split of a data set of the Hub.
    #[arg(long, default_value = "train", conflicts_with = "input_ids")]
    pub split: String,
    /// Column of the text.
    #[arg(long, default_value = "text", conflicts_with = "input_ids")]
    pub text: String,
    /// How fields are written.
    #[command(flatten)]
    pub table: TableArgs,
    /// Column of the label, which is kept too; `label`, if there is one, if not given.
    #[arg(long, conflicts_with = "input_ids")]
    pub label: Option<String>,
    /// Most tokens of a text; the model's context if not given.
    #[arg(long, conflicts_with = "input_ids")]
    pub max_tokens: Option<NonZeroUsize>,
    /// Hooks by their names in `TransformerLens`, separated by commas; `*` stands for every layer,
    /// as in `blocks.*.hook_resid_post`.
    #[arg(long, required = true, value_delimiter = ',')]
    pub hooks: Vec<String>,
    /// Where to write: `.safetensors`, `.npz`, or a folder, whose name has no ending.
    #[arg(long)]
    pub output: PathBuf,
    /// Type of the activations in the file; an npz has no bf16.
    #[arg(long, value_enum, default_value = "f32")]
    pub store_dtype: StoreDtypeArg,
    /// Rows to work on, where jobs share them: `3/10` is the third of ten runs of rows. Needs a
    /// folder.
    #[arg(long, value_name = "I/N")]
    pub shard: Option<String>,
    /// Most rows of a file of a folder; 1024 if not given.
    #[arg(long)]
    pub shard_rows: Option<NonZeroUsize>,
    /// Replace a file, or the activations of a folder that holds others; not a folder with other
    /// files.
    #[arg(long, conflicts_with = "shard")]
    pub overwrite: bool,
    /// Most tokens of one forward pass, padding included.
    #[arg(long, default_value = "4096")]
    pub batch_tokens: NonZeroUsize,
    /// Which numbers: Hugging Face's, or those of `TransformerLens` after folding and centring.
    #[arg(long, value_enum, default_value = "raw")]
    pub convention: ConventionArg,
    /// Write activations with NaN or infinity too, instead of refusing them.
    #[arg(long)]
    pub allow_non_finite: bool,
    /// Check everything and print the shapes, but run nothing.
    #[arg(long)]
    pub dry_run: bool,
    /// `auto`, `cpu`, `wgpu`, `cuda`, or `cuda:N`.
    #[arg(long, default_value = "auto")]
    pub device: String,
    /// Number format that the model computes in: `f32`, `bf16`, `f16`, or `auto`, which is bf16 on
    /// CUDA and f32 elsewhere.
    #[arg(long, default_value = "auto")]
    pub dtype: Dtype,
    /// Print one JSON object.
    #[arg(long)]
    pub json: bool,
}

/// What the model is to be run on, before there is one.
pub(crate) enum Read {
    /// Texts that were looked through.
    Texts(Corpus),
    /// Token ids.
    Ids(ExtractData),
}

impl ExtractArgs {
    /// How the command is taken up again after it was stopped: parts of a folder that are whole are
    /// not written again.
    pub fn go_on(&self) -> GoOn {
        match StoreFormat::from_path(&self.output) {
            Ok(StoreFormat::Folder) => GoOn::SameCommand,
            _ => GoOn::Again,
        }
    }

    /// Refuses flags that do not go with the form of the output; returns the shard.
    pub(crate) fn check_flags(&self, format: StoreFormat) -> Result<Shard> {
        let output = self.output.display();
        let wrong = |message: String| Err(InputError(message).into());
        if format != StoreFormat::Folder {
            let flag = self.shard.as_ref().map(|shard| format!("--shard {shard}"));
            let rows = self.shard_rows.map(|rows| format!("--shard-rows {rows}"));
            if let Some(flag) = flag.or(rows) {
                return wrong(format!(
                    "`{flag}` needs a folder as `--output`, but `{output}` is one file; leave out \
                     its ending"
                ));
            }
        }
        if format == StoreFormat::Npz && self.store_dtype == StoreDtypeArg::Bf16 {
            return wrong(format!(
                "`--store-dtype bf16` cannot be kept in `{output}`, as numpy has no such type; \
                 write .safetensors, a folder, or f32"
            ));
        }
        let shard = self.shard.as_ref().map(|name| name.parse().map_err(ActivationError::from));
        Ok(shard.transpose()?.unwrap_or(Shard::WHOLE))
    }

    /// Reads token ids, or looks through texts.
    pub(crate) fn read(&self, hub: Option<&HubAccess>) -> Result<(&Path, Read)> {
        match (&self.input_ids, &self.data) {
            (Some(path), _) => Ok((path, Read::Ids(ExtractData::read_ids(path)?))),
            (None, Some(path)) => {
                let (label, how) = match &self.label {
                    Some(label) => (label.clone(), LabelColumn::Needed),
                    None => (DatasetConfig::default().label, LabelColumn::IfThere),
                };
                let columns = DatasetConfig { label, ..self.table.columns(&self.text)? };
                let texts = TextSource { path, split: &self.split, hub };
                Ok((path, Read::Texts(texts.scan(&columns, how)?)))
            }
            (None, None) => Err(InputError("give `--data` or `--input-ids`".to_owned()).into()),
        }
    }
}

/// [`Convention`] as a flag.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
#[value(rename_all = "snake_case")]
pub enum ConventionArg {
    /// Hugging Face's numbers.
    Raw,
    /// What `TransformerLens` captures from processed weights.
    TlProcessed,
}

impl From<ConventionArg> for Convention {
    fn from(convention: ConventionArg) -> Self {
        match convention {
            ConventionArg::Raw => Self::Raw,
            ConventionArg::TlProcessed => Self::TlProcessed,
        }
    }
}

/// [`StoreDtype`] as a flag.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub enum StoreDtypeArg {
    /// 32 bits, as they are computed.
    F32,
    /// 16 bits, rounded to the nearest.
    Bf16,
}

impl From<StoreDtypeArg> for StoreDtype {
    fn from(dtype: StoreDtypeArg) -> Self {
        match dtype {
            StoreDtypeArg::F32 => Self::F32,
            StoreDtypeArg::Bf16 => Self::Bf16,
        }
    }
}
