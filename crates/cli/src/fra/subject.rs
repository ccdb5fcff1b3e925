//! Autoencoders with the model whose attention reads them.

use std::collections::BTreeSet;
use std::path::{Path, PathBuf};
use std::str::FromStr;

use anyhow::Result;
use attention_probes_activations::{ActivationError, DatasetConfig, LabelColumn, TextReader};
use attention_probes_models::{Dtype, LanguageModel, Placement, open_model};
use attention_probes_sae::fra::{FraLayer, FraReader, FraReaderConfig, hook_of};
use attention_probes_sae::{Sae, read_sae};
use burn::tensor::Device;
use clap::Args;
use clap::builder::RangedU64ValueParser;
use tracing::warn;

use crate::device;
use crate::exit::InputError;
use crate::hub::hub_access;
use crate::sae::kept::Kept;

/// Tokens of a text where the autoencoder does not say.
const MAX_TOKENS: usize = 128;

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

/// What the flags name.
pub(super) struct Subject {
    pub(super) saes: Vec<Sae>,
    pub(super) paths: Vec<PathBuf>,
    pub(super) model: LanguageModel,
    device: Device,
    heads: HeadList,
    texts: FraReaderConfig,
}

impl Subject {
    /// Reads everything.
    ///
    /// # Errors
    ///
    /// If something cannot be read, or autoencoders do not agree about the model.
    pub(super) fn open(args: &FraArgs) -> Result<Self> {
        let device = device::parse(&args.device)?;
        let saes = args.saes.iter().map(read_sae).collect::<Result<Vec<_>, _>>()?;
        let kept = || args.saes.iter().zip(&saes).map(|(path, sae)| Kept { path, sae });
        kept().try_for_each(|kept| kept.check_site())?;
        let same = |what: &str, of: &dyn Fn(&Sae) -> Option<String>| {
            let first = of(&saes[0]);
            if let Some(other) = saes.iter().map(of).find(|other| *other != first) {
                let shown = |value: Option<String>| value.unwrap_or_else(|| "nothing".to_owned());
                let (first, other) = (shown(first), shown(other));
                let error = format!("the autoencoders name two {what}, `{first}` and `{other}`");
                return Err(InputError(error));
            }
            Ok(first)
        };
        let name = match &args.model {
            Some(name) => name.clone(),
            None => same("models", &|sae| sae.config.metadata.model_name().map(str::to_owned))?
                .ok_or_else(|| {
                    InputError("the autoencoder names no model, give `--model`".to_owned())
                })?,
        };
        let of_others = |sae: &&Sae| sae.config.metadata.model_name().is_some_and(|of| of != name);
        if let Some(other) = saes.iter().find(of_others) {
            let other = other.config.metadata.model_name().unwrap_or_default();
            warn!("an autoencoder of `{other}` is read with the scores of `{name}`");
        }
        let has_bos = |sae: &Sae| Some(sae.config.metadata.prepend_bos()?.to_string());
        let has_bos = same("ways to begin a text", &has_bos)?.is_none_or(|says| says == "true");
        // The terms are to add up to the scores within the rounding of `f32`.
        let placement = Placement { device: device.clone(), dtype: Dtype::F32 };
        let mut model = open_model(&name, hub_access().as_ref(), placement)?;
        let n_ctx = model.model.shape().n_ctx;
        let mut known = None;
        for kept in kept() {
            if args.max_tokens.is_none() && kept.names_context_size() {
                let size = kept.context_size(&*model.model)?;
                known = Some(known.map_or(size, |known: usize| known.min(size)));
            }
            if let Some(hook) = kept.sae.config.metadata.hook_name() {
                model = kept.follow_processing(model, hook.parse()?);
            }
        }
        let max_tokens = match args.max_tokens {
            Some(n) if n > n_ctx => {
                let error = format!("`--max-tokens` is {n}, but `{name}` reads {n_ctx} at most");
                return Err(InputError(error).into());
            }
            given => given.or(known).unwrap_or(MAX_TOKENS).min(n_ctx),
        };
        if args.published {
            warn!(
                "`--published`: queries and keys do not read `hook_z`, so these numbers add up to \
                 no score; they are what the first FRA code computed"
            );
        }
        Ok(Self {
            saes,
            paths: args.saes.clone(),
            model,
            device,
            heads: args.heads.clone(),
            texts: FraReaderConfig { max_tokens, prepend_bos: has_bos, published: args.published },
        })
    }

    /// The layers that read the autoencoders, in the same order.
    pub(super) fn layers(&self) -> Result<Vec<FraLayer<'_>>> {
        let model = &*self.model.model;
        let layer = |sae| {
            if self.texts.published {
                return FraLayer::published(sae, model, hook_of(sae)?.layer().unwrap_or_default());
            }
            FraLayer::of(sae, model)
        };
        Ok(self.saes.iter().map(layer).collect::<Result<Vec<_>, _>>()?)
    }

    /// The heads of a layer that were asked for.
    pub(super) fn heads(&self, layer: &FraLayer<'_>) -> Vec<usize> {
        match &self.heads {
            HeadList::All => (0..layer.n_heads()).collect(),
            HeadList::Some(heads) => heads.clone(),
        }
    }

    /// The model with how its texts begin.
    pub(super) fn reader(&self) -> FraReader<'_> {
        FraReader::new(&self.model, &self.device, self.texts)
    }
}

/// The texts of a file, one after the other.
pub(super) fn rows(
    path: &Path,
    columns: DatasetConfig,
) -> Result<impl Iterator<Item = Result<String, ActivationError>>> {
    let rows = TextReader::open(path, &columns, LabelColumn::Ignored)?;
    Ok(rows.map(|row| Ok(row?.text)))
}
