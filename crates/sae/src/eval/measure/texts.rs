//! Texts that run through a model once, and are encoded by any number of autoencoders.

use std::collections::{BTreeSet, HashMap, HashSet};

use attention_probes_activations::{
    Batching, CaptureOptions, EncodeConfig, HookLayout, ModelCapture, NonFinitePolicy,
    TOKENS_PER_FORWARD, Watch, capture_rows, encode_texts, length_buckets,
};
use attention_probes_errors::Stop;

use super::data::LabelledData;
use super::site::SaeSite;
use crate::eval::encoded::EncodedTexts;
use crate::eval::texts::TextActivations;
use crate::follow::{Follow, SaeEvent};
use crate::{Sae, SaeError};

/// An autoencoder, and the texts that it encodes.
pub(super) struct Wanted<'a> {
    pub(super) sae: &'a Sae,
    /// Texts of the data, by number.
    pub(super) texts: BTreeSet<usize>,
}

/// Texts that one autoencoder has encoded.
pub(super) struct EncodedBy {
    encoded: EncodedTexts,
    /// Where each text of the data is among them; a text that was left out is nowhere.
    places: HashMap<usize, usize>,
}

/// Texts that were encoded, and the group of each.
pub(super) struct Grouped {
    pub(super) encoded: EncodedTexts,
    pub(super) groups: Vec<usize>,
}

/// Texts as tokens.
pub(super) struct Tokenized {
    /// By number of the text in the data.
    tokens: HashMap<usize, Vec<u32>>,
    /// The texts, in the order in which they are read.
    order: Vec<usize>,
    bos: Option<u32>,
}

impl EncodedBy {
    /// Begins without texts.
    pub(super) fn new(sae: &Sae) -> Self {
        Self { encoded: EncodedTexts::new(sae), places: HashMap::new() }
    }

    /// Encodes further texts of the data.
    pub(super) fn push(
        &mut self,
        sae: &Sae,
        texts: &[usize],
        activations: &TextActivations,
    ) -> Result<(), SaeError> {
        let first = self.encoded.n_texts();
        self.encoded.push(sae, activations)?;
        self.places.extend(texts.iter().enumerate().map(|(i, text)| (*text, first + i)));
        Ok(())
    }

    /// Some texts in an order, with the group of each; those that were left out are missing.
    pub(super) fn grouped(&self, texts: &[usize], groups: &[Option<usize>]) -> Grouped {
        let known = texts.iter().filter_map(|text| {
            let place = self.places.get(text)?;
            Some((*place, groups[*text]?))
        });
        let (places, groups): (Vec<usize>, Vec<usize>) = known.unzip();
        Grouped { encoded: self.encoded.select(&places), groups }
    }
}

impl Tokenized {
    /// Tokenizes texts of the data, each once, on all cores, in the order in which they come.
    pub(super) fn new(
        site: &SaeSite<'_>,
        data: &LabelledData,
        texts: impl IntoIterator<Item = usize>,
    ) -> Result<Self, SaeError> {
        let bos = site.bos();
        let mut seen = HashSet::new();
        let order: Vec<usize> = texts.into_iter().filter(|text| seen.insert(*text)).collect();
        let texts: Vec<&str> = order.iter().map(|text| data.texts[*text].text.as_str()).collect();
        let config = EncodeConfig { max_tokens: site.context_size, special_tokens: false };
        let mut tokens = HashMap::with_capacity(order.len());
        for (text, encoded) in order.iter().zip(encode_texts(&texts, &site.model.tokenizer, config))
        {
            let mut ids: Vec<u32> = bos.into_iter().chain(encoded?.ids).collect();
            ids.truncate(site.context_size);
            tokens.insert(*text, ids);
        }
        Ok(Self { tokens, order, bos })
    }

    /// Texts by length, those of equal length in the order given: as they are read if they are read
    /// alone.
    pub(super) fn by_length(&self, texts: &[usize]) -> Vec<usize> {
        let mut texts = texts.to_vec();
        texts.sort_by_key(|text| self.tokens[text].len());
        texts
    }

    /// Runs the model over all texts, each once and for itself, and lets every autoencoder encode
    /// those that it wants.
    ///
    /// Special tokens, such as the one for the beginning, are left out of every mean. Texts without
    /// another token, or with NaN or infinity, are left out and told of.
    ///
    /// # Memory
    ///
    /// Activations of one batch, and for each autoencoder what [`EncodedTexts`] keeps.
    pub(super) fn encode(
        &self,
        site: &SaeSite<'_>,
        wanted: &[Wanted<'_>],
        follow: &Follow<'_>,
    ) -> Result<Vec<EncodedBy>, SaeError> {
        let counts = |id: &u32| Some(*id) != self.bos && !site.model.tokenizer.is_special(*id);
        let lengths: Vec<usize> = self.order.iter().map(|text| self.tokens[text].len()).collect();
        let mut encoded: Vec<EncodedBy> =
            wanted.iter().map(|one| EncodedBy::new(one.sae)).collect();
        let (mut n_done, mut n_kept) = (0, 0);
        for bucket in length_buckets(&lengths, TOKENS_PER_FORWARD) {
            follow.check()?;
            n_done += bucket.len();
            let bucket: Vec<usize> = bucket
                .into_iter()
                .map(|i| self.order[i])
                .filter(|text| self.tokens[text].iter().any(counts))
                .collect();
            if bucket.is_empty() {
                continue;
            }
            let ids: Vec<&[u32]> = bucket.iter().map(|text| &self.tokens[text][..]).collect();
            let mut kept = Kept::default();
            read_together(site, &ids, &follow.stop, |row, values| {
                let ids = ids[row];
                let width = values.len() / ids.len();
                wanted.iter().try_for_each(|one| site.check_width(one.sae, width))?;
                kept.width = width;
                let rows = (0..ids.len()).filter(|at| counts(&ids[*at]));
                let rows = rows.flat_map(|at| &values[at * width..][..width]).copied();
                kept.push(bucket[row], rows);
                Ok(())
            })?;
            let width = kept.width;
            n_kept += kept.texts.len();
            for (one, encoded) in wanted.iter().zip(&mut encoded) {
                let (texts, values, lengths) = kept.only(&one.texts);
                if !texts.is_empty() {
                    let activations = TextActivations::ragged(values, &lengths, width)?;
                    encoded.push(one.sae, &texts, &activations)?;
                }
            }
            let total = self.order.len();
            follow.tell(SaeEvent::Read { what: "texts", done: n_done, total });
        }
        let total = self.order.len();
        follow.tell(SaeEvent::Read { what: "texts", done: total, total });
        if n_kept < total {
            let (n_texts, hook) = (total - n_kept, site.hook);
            follow.tell(SaeEvent::TextsLeftOut { n_texts, hook });
        }
        Ok(encoded)
    }
}

/// Rows of the texts of a batch that are kept, text by text.
#[derive(Default)]
struct Kept {
    width: usize,
    texts: Vec<usize>,
    values: Vec<f32>,
    /// Rows of each text.
    lengths: Vec<usize>,
}

impl Kept {
    /// Keeps the rows of a text if they are finite and not all 0.
    fn push(&mut self, text: usize, rows: impl Iterator<Item = f32>) {
        let before = self.values.len();
        self.values.extend(rows);
        let of_text = &self.values[before..];
        if of_text.iter().all(|x| x.is_finite()) && of_text.iter().any(|x| x.abs() > 0.0) {
            self.lengths.push(of_text.len() / self.width);
            self.texts.push(text);
        } else {
            self.values.truncate(before);
        }
    }

    /// Texts that are wanted, with their rows and the numbers of those.
    fn only(&self, wanted: &BTreeSet<usize>) -> (Vec<usize>, Vec<f32>, Vec<usize>) {
        let (mut texts, mut values, mut lengths) = (Vec::new(), Vec::new(), Vec::new());
        let mut first = 0;
        for (text, length) in self.texts.iter().zip(&self.lengths) {
            if wanted.contains(text) {
                texts.push(*text);
                lengths.push(*length);
                values.extend_from_slice(&self.values[first..][..length * self.width]);
            }
            first += length * self.width;
        }
        (texts, values, lengths)
    }
}

/// Runs the model over texts of any length together, and hands on what is at the hook of each:
/// its number, and `[n_tokens, width]`.
pub(super) fn read_together(
    site: &SaeSite<'_>,
    ids: &[&[u32]],
    stop: &Stop,
    mut each: impl FnMut(usize, &[f32]) -> Result<(), SaeError>,
) -> Result<(), SaeError> {
    let hook = site.hook;
    if HookLayout::of(hook) == HookLayout::Pairs {
        return Err(SaeError::Hook { hook: hook.to_string() });
    }
    let options = CaptureOptions {
        batching: Batching::InOrder { max_sequences: usize::MAX },
        // A text may do without the tokens that are not finite.
        non_finite: NonFinitePolicy::Keep,
        watch: Watch { progress: None, stop: stop.clone() },
        ..CaptureOptions::default()
    };
    let (model, device) = (&*site.model.model, site.device);
    let capture = ModelCapture { model, device, hooks: &[hook.into()], options };
    capture_rows(&capture, ids, |rows| each(rows.sequence, rows.values[0]))?;
    Ok(())
}
