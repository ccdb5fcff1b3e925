//! Autoencoders with the model whose attention reads them.

use std::collections::BTreeSet;
use std::path::{Path, PathBuf};
use std::str::FromStr;

use anyhow::Result;
use attention_probes_activations::{DatasetConfig, LabelColumn, TextReader};
use attention_probes_models::{Dtype, LanguageModel, Placement, open_model};
use attention_probes_sae::fra::{FraLayer, FraSite, hook_of};
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

/// Characters of a text that the first FRA code read.
const N_PUBLISHED_CHARACTERS: usize = 500;

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

/// A model with how its texts begin.
#[derive(Clone, Copy)]
pub(super) struct Reader<'a> {
    pub(super) model: &'a LanguageModel,
    pub(super) device: &'a Device,
    /// Tokens that stand for the beginning of a text and have no features.
    pub(super) n_before: usize,
}

impl Reader<'_> {
    /// The text of a token.
    pub(super) fn token(self, id: u32) -> Result<String> {
        Ok(self.model.tokenizer.token_text(id)?)
    }
}

/// Tokens of one row of the data.
pub(super) struct TextIds {
    /// Row, counted from 0.
    pub(super) row: u64,
    pub(super) ids: Vec<u32>,
}

/// What the flags name.
pub(super) struct Subject {
    pub(super) saes: Vec<Sae>,
    pub(super) paths: Vec<PathBuf>,
    pub(super) model: LanguageModel,
    pub(super) device: Device,
    heads: HeadList,
    is_published: bool,
    pub(super) max_tokens: usize,
    /// The token before every text, which has no features.
    bos: Option<u32>,
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
            bos: model.tokenizer.beginning().filter(|_| has_bos),
            saes,
            paths: args.saes.clone(),
            model,
            device,
            heads: args.heads.clone(),
            is_published: args.published,
            max_tokens,
        })
    }

    /// The layers that read the autoencoders, in the same order.
    pub(super) fn layers(&self) -> Result<Vec<FraLayer<'_>>> {
        let model = &*self.model.model;
        let layer = |sae| {
            let hook = hook_of(sae)?;
            // Of a hook that no scores read, the error names those of its own layer.
            let own = hook.layer().unwrap_or_default();
            if self.is_published {
                return FraLayer::published(sae, model, own);
            }
            FraLayer::new(sae, model, FraSite::of(hook).map_or(own, |(_, layer)| layer))
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

    /// Tokens of a text, cut to the longest length.
    pub(super) fn ids(&self, text: &str) -> Result<Vec<u32>> {
        let end = text.char_indices().nth(N_PUBLISHED_CHARACTERS).filter(|_| self.is_published);
        let text = end.map_or(text, |(end, _)| &text[..end]);
        // One more, which may be the token before every text.
        let n = self.max_tokens.saturating_add(1);
        let ids = self.model.tokenizer.encode_up_to_without_special(text, n)?.ids;
        let text = ids.strip_prefix(self.bos.as_slice()).unwrap_or(&ids);
        Ok(self.bos.into_iter().chain(text.iter().copied()).take(self.max_tokens).collect())
    }

    /// The texts of a file that are long enough to attend to something, one after the other.
    #[expect(clippy::needless_pass_by_value, reason = "the texts outlive what the caller has")]
    pub(super) fn texts(
        &self,
        path: &Path,
        columns: DatasetConfig,
    ) -> Result<impl Iterator<Item = Result<TextIds>>> {
        let rows = (0..).zip(TextReader::open(path, &columns, LabelColumn::Ignored)?);
        let least = self.reader().n_before + 2;
        let texts = rows.map(|(row, text)| Ok(TextIds { row, ids: self.ids(&text?.text)? }));
        Ok(texts.filter(move |text| text.as_ref().map_or(true, |text| text.ids.len() >= least)))
    }

    /// The model, with the tokens that stand for the beginning of a text; the first FRA code
    /// counted those too.
    pub(super) fn reader(&self) -> Reader<'_> {
        let n_before = usize::from(self.has_bos() && !self.is_published);
        Reader { model: &self.model, device: &self.device, n_before }
    }

    /// Whether a token stands before every text.
    pub(super) fn has_bos(&self) -> bool {
        self.bos.is_some()
    }

    /// Whether the numbers are those of the first FRA code.
    pub(super) fn is_published(&self) -> bool {
        self.is_published
    }
}
