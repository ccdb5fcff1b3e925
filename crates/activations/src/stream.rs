//! The one pass: every sequence through the model once, all activations that are asked for out.

use std::{collections::BTreeSet, fmt, str::FromStr};

use attention_probes_models::{
    Activation, Convention, HookPoint, HookSet, HookedModel, ModelShape, PaddingSide, TokenBatch,
};
use burn::tensor::Device;
use serde::{Deserialize, Serialize};

use crate::{ActivationError, TokenizedDataset, length_buckets};

/// A part of a block whose output can be probed.
#[derive(
    Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize,
)]
#[serde(rename_all = "snake_case")]
pub enum Component {
    /// Residual stream entering the block.
    ResidPre,
    /// Residual stream between attention and MLP.
    ResidMid,
    /// Residual stream leaving the block.
    #[default]
    ResidPost,
    /// What attention adds to the residual stream.
    AttnOut,
    /// What the MLP adds to the residual stream.
    MlpOut,
    /// Mix of values per head, heads side by side.
    Z,
}

impl Component {
    /// Every component.
    pub const ALL: [Self; 6] =
        [Self::ResidPre, Self::ResidMid, Self::ResidPost, Self::AttnOut, Self::MlpOut, Self::Z];

    /// Where a model keeps the component of a layer.
    pub fn hook(self, layer: usize) -> HookPoint {
        match self {
            Self::ResidPre => HookPoint::ResidPre(layer),
            Self::ResidMid => HookPoint::ResidMid(layer),
            Self::ResidPost => HookPoint::ResidPost(layer),
            Self::AttnOut => HookPoint::AttnOut(layer),
            Self::MlpOut => HookPoint::MlpOut(layer),
            Self::Z => HookPoint::Z(layer),
        }
    }

    /// Values per token.
    pub fn width(self, shape: &ModelShape) -> usize {
        match self {
            Self::Z => shape.n_heads * shape.d_head,
            _ => shape.d_model,
        }
    }

    fn name(self) -> &'static str {
        match self {
            Self::ResidPre => "resid_pre",
            Self::ResidMid => "resid_mid",
            Self::ResidPost => "resid_post",
            Self::AttnOut => "attn_out",
            Self::MlpOut => "mlp_out",
            Self::Z => "z",
        }
    }
}

impl fmt::Display for Component {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}

impl FromStr for Component {
    type Err = ActivationError;

    fn from_str(name: &str) -> Result<Self, ActivationError> {
        Self::ALL
            .into_iter()
            .find(|component| component.name() == name)
            .ok_or_else(|| ActivationError::Component { name: name.to_owned() })
    }
}

/// One place whose activations are kept; prints as `L05-resid_post`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Site {
    /// The layer, from 0.
    pub layer: usize,
    /// The part of the layer.
    pub component: Component,
    /// Which numbers are kept.
    pub convention: Convention,
}

impl Site {
    /// Where a model keeps these activations.
    pub fn hook(self) -> HookPoint {
        self.component.hook(self.layer)
    }
}

impl fmt::Display for Site {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "L{:02}-{}", self.layer, self.component)
    }
}

/// What runs on what, and which activations are kept.
#[derive(Clone, Copy)]
pub struct Capture<'a> {
    /// The model.
    pub model: &'a dyn HookedModel,
    /// The sequences.
    pub tokens: &'a TokenizedDataset,
    /// The places, all of one width.
    pub sites: &'a [Site],
    /// Device of the model.
    pub device: &'a Device,
    /// Most tokens of one forward pass, padding included.
    pub max_tokens_per_batch: usize,
}

/// What [`stream_activations`] leaves to say.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct StreamReport {
    /// Sequences with NaN or infinity at any site, ascending. They are never handed on.
    pub skipped: Vec<usize>,
}

impl Capture<'_> {
    /// Values per token, the same at every site.
    ///
    /// # Errors
    ///
    /// - [`ActivationError::NoSites`] if there is no site
    /// - [`ActivationError::SiteWidths`] if two sites differ in width
    pub fn d_model(&self) -> Result<usize, ActivationError> {
        let shape = self.model.shape();
        let &first = self.sites.first().ok_or(ActivationError::NoSites)?;
        let first_width = first.component.width(shape);
        for &other in self.sites {
            let other_width = other.component.width(shape);
            if other_width != first_width {
                return Err(ActivationError::SiteWidths { first, first_width, other, other_width });
            }
        }
        Ok(first_width)
    }

    /// Bytes that the activations of some sequences take as `f32`, at all sites together.
    pub fn needed_bytes(&self, sequences: &[usize]) -> u64 {
        let n_tokens: usize =
            sequences.iter().map(|&sequence| self.tokens.sequence(sequence).len()).sum();
        let shape = self.model.shape();
        let width: usize = self.sites.iter().map(|site| site.component.width(shape)).sum();
        n_tokens as u64 * width as u64 * size_of::<f32>() as u64
    }
}

/// Runs the model once over some sequences and hands on the activations of their real tokens.
///
/// Sequences of like length share a forward pass, so they come in no particular order. For each,
/// `sink` is called once per site, in the order of the sites, with the sequence, the index of the
/// site, and its activations; `progress` after each forward pass, with the number of sequences done
/// and to do. A sequence with NaN or infinity at any site is skipped at all of them, and named in
/// the log.
///
/// # Shapes
///
/// `sink` gets `[n_tokens, d_model]`, row-major, without padding.
///
/// # Errors
///
/// - as [`Capture::d_model`]
/// - [`ActivationError::Model`] if the model refuses a batch
/// - whatever `sink` returns
///
/// # Panics
///
/// If there is no such sequence, or one is given twice.
///
/// # Memory
///
/// The activations of one forward pass at all sites.
pub fn stream_activations(
    capture: &Capture<'_>,
    sequences: &[usize],
    sink: impl FnMut(usize, usize, &[f32]) -> Result<(), ActivationError>,
    progress: &mut dyn FnMut(usize, usize),
) -> Result<StreamReport, ActivationError> {
    let prefixes: Vec<(usize, usize)> = sequences
        .iter()
        .map(|&sequence| (sequence, capture.tokens.sequence(sequence).len()))
        .collect();
    stream_prefixes(capture, &prefixes, sink, progress)
}

/// As [`stream_activations`], for the first `end` tokens of each `(sequence, end)`.
pub(crate) fn stream_prefixes(
    capture: &Capture<'_>,
    prefixes: &[(usize, usize)],
    mut sink: impl FnMut(usize, usize, &[f32]) -> Result<(), ActivationError>,
    progress: &mut dyn FnMut(usize, usize),
) -> Result<StreamReport, ActivationError> {
    let d_model = capture.d_model()?;
    let hooks = HookSet::new(capture.sites.iter().map(|site| site.hook()));
    let lengths: Vec<usize> = prefixes.iter().map(|(_, end)| *end).collect();
    let mut skipped = BTreeSet::new();
    let mut n_done = 0;
    for bucket in length_buckets(&lengths, capture.max_tokens_per_batch) {
        let texts: Vec<&[u32]> = bucket
            .iter()
            .map(|&index| &capture.tokens.sequence(prefixes[index].0)[..lengths[index]])
            .collect();
        let batch = TokenBatch::new(&texts, PaddingSide::Right, capture.device)?;
        let sites = run_sites(capture, &batch, &hooks)?;

        let [_, pos] = batch.dims();
        for (row, &index) in bucket.iter().enumerate() {
            let start = row * pos * d_model;
            let rows = start..start + lengths[index] * d_model;
            let sequence = prefixes[index].0;
            let is_finite = |site: &Vec<f32>| site[rows.clone()].iter().all(|x| x.is_finite());
            if !sites.iter().all(is_finite) {
                tracing::warn!(
                    sequence,
                    text = capture.tokens.text_rows[sequence],
                    "skipped: NaN or infinity among its activations"
                );
                skipped.insert(sequence);
                continue;
            }
            for (index, site) in sites.iter().enumerate() {
                sink(sequence, index, &site[rows.clone()])?;
            }
        }
        n_done += bucket.len();
        progress(n_done, prefixes.len());
    }
    Ok(StreamReport { skipped: skipped.into_iter().collect() })
}

/// One forward pass: for each site `[batch, pos, d_model]`, read back from the device once.
fn run_sites(
    capture: &Capture<'_>,
    batch: &TokenBatch,
    hooks: &HookSet,
) -> Result<Vec<Vec<f32>>, ActivationError> {
    let cache = capture.model.run_with_cache(batch, hooks)?;
    let read = |site: &Site| {
        let activation = cache.get(site.hook()).cloned().map(Activation::flatten_heads);
        let activation = activation.expect("a model keeps every hook that it does not refuse");
        let values = site.convention.apply(capture.model, site.hook(), activation);
        let values = values.into_data().convert::<f32>().try_into_vec();
        values.expect("the data was converted to f32")
    };
    Ok(capture.sites.iter().map(read).collect())
}
