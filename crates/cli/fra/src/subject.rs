//! Autoencoders with the model whose attention reads them.

use std::collections::BTreeSet;
use std::path::{Path, PathBuf};
use std::str::FromStr;

use anyhow::Result;
use attention_probes_activations::{
    ActivationError, DatasetConfig, LabelColumn, TextReader, data_files,
};
use attention_probes_cli::device;
use attention_probes_cli::exit::InputError;
use attention_probes_cli::hub::hub_access;
use attention_probes_cli_sae_words::{in_flags, say};
use attention_probes_sae::SaeError;
use attention_probes_sae::fra::{FraLayer, FraOpenOptions, FraSubject, open_fra};
use clap::Args;
use clap::builder::RangedU64ValueParser;
use tracing::warn;

/// Flags that name autoencoders, a model, and heads.
#[derive(Args, Debug)]
pub struct FraArgs {
    /// An autoencoder in any known form, of `blocks.L.ln1.hook_normalized` or of the residual
    /// stream that enters block L; several for several layers.
    #[arg(long = "sae", required = true)]
    pub saes: Vec<PathBuf>,
    /// Model, instead of the one that the autoencoders name.
    #[arg(long)]
    pub model: Option<String>,
    /// Heads, as in `0,3`, or `all`.
    #[arg(long, default_value = "all")]
    pub heads: HeadList,
    /// Most tokens of a text; by default as many as in the autoencoders' training.
    #[arg(long, value_parser = at_least_one())]
    pub max_tokens: Option<usize>,
    /// `auto`, `cpu`, `wgpu`, `cuda`, or `cuda:N`.
    #[arg(long, default_value = "auto")]
    pub device: String,
    /// Compute what the first FRA code computed of an autoencoder of `hook_z`, which is no
    /// decomposition of any score.
    #[arg(long)]
    pub published: bool,
}

/// Reads a number that is not 0.
pub(super) fn at_least_one() -> RangedU64ValueParser<usize> {
    RangedU64ValueParser::new().range(1..)
}

/// Heads of a layer.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum HeadList {
    /// Every head.
    All,
    /// These.
    Some(Vec<usize>),
}

impl FromStr for HeadList {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        if text == "all" {
            return Ok(Self::All);
        }
        let heads: Option<Vec<usize>> =
            text.split(',').map(|head| head.trim().parse().ok()).collect();
        let heads = heads.ok_or("expected `all`, or numbers as in `0,3`")?;
        let mut seen = BTreeSet::new();
        match heads.iter().find(|head| !seen.insert(**head)) {
            Some(twice) => Err(format!("{twice} is named twice, expected heads, each once")),
            None => Ok(Self::Some(heads)),
        }
    }
}

/// Reads what the flags name, and says what a person should know.
///
/// # Errors
///
/// If something cannot be read, or autoencoders do not agree about the model.
pub(super) fn open(args: &FraArgs) -> Result<FraSubject> {
    let (device, hub) = (device::parse(&args.device)?, hub_access());
    let options = FraOpenOptions {
        model: args.model.as_deref(),
        max_tokens: args.max_tokens,
        published: args.published,
        device: &device,
        hub: hub.as_ref(),
    };
    let subject = open_fra(&args.saes, &options).map_err(|error| match error {
        SaeError::ContextLength { context_size, model, n_ctx } => InputError(format!(
            "`--max-tokens` is {context_size}, but `{model}` reads {n_ctx} at most"
        ))
        .into(),
        error => in_flags(error),
    })?;
    say(&subject.notes);
    if args.published {
        warn!(
            "`--published`: queries and keys do not read `hook_z`, so these numbers add up to no \
             score; they are what the first FRA code computed"
        );
    }
    Ok(subject)
}

impl FraArgs {
    /// The heads of a layer that were asked for.
    pub(super) fn heads_of(&self, layer: &FraLayer<'_>) -> Vec<usize> {
        match &self.heads {
            HeadList::All => (0..layer.n_heads()).collect(),
            HeadList::Some(heads) => heads.clone(),
        }
    }
}

/// The texts of a file, one after the other.
pub(super) fn rows(
    path: &Path,
    columns: &DatasetConfig,
) -> Result<impl Iterator<Item = Result<String, ActivationError>> + use<>> {
    let files = data_files(path, "train", hub_access().as_ref())?;
    let rows = TextReader::open_files(&files, columns, LabelColumn::Ignored)?;
    Ok(rows.map(|row| Ok(row?.text)))
}
