//! Texts with a label each, drawn in equal parts, and encoded in batches.

use std::path::Path;

use anyhow::Result;
use attention_probes_activations::{
    ActivationError, DatasetConfig, LabelColumn, SplitConfig, TOKENS_PER_FORWARD, TextReader,
    data_files, length_buckets, stratified_split,
};
use attention_probes_models::{HookPoint, HookSet, PaddingSide, TokenBatch, host_values};
use attention_probes_sae::SaeError;
use attention_probes_sae::eval::{EncodedTexts, TextActivations, cut_to_parts};
use tracing::warn;

use super::EvalArgs;
use crate::exit::InputError;
use crate::hub::hub_access;
use crate::progress::Progress;
use crate::sae::subject::{SaeInModel, check_width};

/// Fewest texts of a class, or of a share of one.
pub(super) const MIN_TEXTS: usize = 10;

/// Texts that were encoded, and the group of each.
pub(super) struct Labelled {
    pub(super) encoded: EncodedTexts,
    pub(super) groups: Vec<usize>,
}

/// One side of a split: the texts of each group.
pub(super) type Side = Vec<Vec<usize>>;

impl Labelled {
    /// Texts of each group on either side, as many as the parts ask for in both.
    pub(super) fn split(&self, parts: &[usize], test: f64, seed: u64) -> Result<[Side; 2]> {
        let config = SplitConfig { validation: 0.0, test, seed };
        let split = stratified_split(&self.groups, None, &config)?;
        Ok([split.train, split.test].map(|texts| {
            let mut by_group = vec![Vec::new(); parts.len()];
            for text in texts {
                by_group[self.groups[text]].push(text);
            }
            cut_to_parts(&mut by_group, parts, usize::MAX);
            by_group
        }))
    }
}

/// Rows of a file: the text, its label, and another column's value where one is named.
pub(super) fn read_rows(
    args: &EvalArgs,
    path: &Path,
    other: Option<&str>,
) -> Result<Vec<(String, String, String)>> {
    let columns = DatasetConfig {
        label: args.label().to_owned(),
        group: other.map(str::to_owned),
        ..args.table.columns(args.text())?
    };
    let files = data_files(path, args.split(), hub_access().as_ref())?;
    let (mut rows, mut n_rows) = (Vec::new(), 0);
    for row in TextReader::open_files(&files, &columns, LabelColumn::Needed)? {
        let row = row?;
        n_rows += 1;
        if !row.text.trim().is_empty() {
            if let (Some(column), None) = (other, &row.group) {
                let row = n_rows - 1;
                let from = path.display();
                let error = format!("`{from}` row {row}: column `{column}` holds nothing");
                return Err(InputError(error).into());
            }
            let label = row.label.unwrap_or_default();
            rows.push((row.text, label, row.group.unwrap_or_default()));
        }
    }
    if rows.is_empty() {
        return Err(ActivationError::NoText { name: args.source(), n_rows }.into());
    }
    Ok(rows)
}

/// Runs the model over texts, one for itself, and encodes what it computes.
///
/// Special tokens, such as the one for the beginning, are left out of every mean. Texts without
/// another token, or with NaN or infinity, are left out and counted in the log.
///
/// # Memory
///
/// The tokens of the texts, activations of one batch, and what [`EncodedTexts`] keeps.
pub(super) fn encode(subject: &SaeInModel, texts: &[(&str, usize)]) -> Result<Labelled> {
    let SaeInModel { sae, model, hook, context_size, .. } = subject;
    let max_tokens = *context_size;
    let bos =
        model.tokenizer.beginning().filter(|_| sae.config.metadata.prepend_bos().unwrap_or(true));
    let mut tokens = Vec::with_capacity(texts.len());
    for (text, _) in texts {
        let ids = model.tokenizer.encode_without_special(text)?.ids;
        let mut ids: Vec<u32> = bos.into_iter().chain(ids).collect();
        ids.truncate(max_tokens);
        tokens.push(ids);
    }
    let counts = |id: &u32| Some(*id) != bos && !model.tokenizer.is_special(*id);
    let lengths: Vec<usize> = tokens.iter().map(Vec::len).collect();
    let mut encoded = EncodedTexts::new(sae);
    let (mut groups, mut n_done) = (Vec::new(), 0);
    let mut progress = Progress::default();
    for bucket in length_buckets(&lengths, TOKENS_PER_FORWARD) {
        n_done += bucket.len();
        let bucket: Vec<usize> =
            bucket.into_iter().filter(|text| tokens[*text].iter().any(counts)).collect();
        if bucket.is_empty() {
            continue;
        }
        let ids: Vec<&[u32]> = bucket.iter().map(|text| &tokens[*text][..]).collect();
        let (values, width) = activations(subject, &ids)?;
        let pos = ids.iter().map(|ids| ids.len()).max().unwrap_or(0);
        let (mut kept, mut kept_lengths) = (Vec::new(), Vec::new());
        for (row, (text, ids)) in bucket.iter().zip(&ids).enumerate() {
            let rows = (0..ids.len()).filter(|at| counts(&ids[*at])).map(|at| row * pos + at);
            let before = kept.len();
            kept.extend(rows.flat_map(|at| &values[at * width..][..width]).copied());
            let of_text = &kept[before..];
            if of_text.iter().all(|x| x.is_finite()) && of_text.iter().any(|x| x.abs() > 0.0) {
                kept_lengths.push(of_text.len() / width);
                groups.push(texts[*text].1);
            } else {
                kept.truncate(before);
            }
        }
        if !kept_lengths.is_empty() {
            encoded.push(sae, &TextActivations::ragged(kept, &kept_lengths, width)?)?;
        }
        progress.advance("reading texts".to_owned(), n_done, texts.len());
    }
    progress.clear();
    if groups.len() < texts.len() {
        let n = texts.len() - groups.len();
        warn!("{n} texts left out: no token but special ones, or NaN or infinity at `{hook}`");
    }
    Ok(Labelled { encoded, groups })
}

/// Activations of texts of any length at the autoencoder's hook, `[n, longest, width]`.
pub(super) fn activations(subject: &SaeInModel, ids: &[&[u32]]) -> Result<(Vec<f32>, usize)> {
    let SaeInModel { sae, model, device, hook, .. } = subject;
    let is_square = matches!(hook, HookPoint::AttnScores(_) | HookPoint::Pattern(_));
    let missing = || SaeError::Hook { hook: hook.to_string() };
    let batch = TokenBatch::new(ids, PaddingSide::Right, device)?;
    let mut cache = model.model.run_with_cache(&batch, &HookSet::new([*hook]))?;
    let captured = cache.remove(*hook).filter(|_| !is_square).ok_or_else(missing)?;
    let captured = captured.flatten_heads();
    let [_, _, found] = captured.dims();
    check_width(sae, *hook, found)?;
    Ok((host_values(captured)?, found))
}
