//! The texts of a layer that have most of its strongest pairs, resolved.

use super::report::FraHeadReport;
use crate::SaeError;
use crate::fra::layer::FraLayer;
use crate::fra::pairs::FraShownPairs;
use crate::fra::reading::{FraReader, FraSample, FraSampleConfig, FraTextIds};

/// Pairs of each head that are resolved in a text wherever they occur, and of the text itself.
const N_RESOLVED: usize = 30;

/// Rows of some data, whose scores are resolved.
#[derive(Debug, Default)]
pub struct FraRowSamples {
    /// The rows.
    pub samples: Vec<FraRowSample>,
    /// Rows whose scores, which statistics do not read, are not finite, with what is not.
    pub left_out: Vec<(u64, SaeError)>,
}

/// A row of some data, whose scores are resolved.
#[derive(Clone, Debug, PartialEq)]
pub struct FraRowSample {
    /// Row, counted from 0.
    pub row: u64,
    /// Its scores.
    pub sample: FraSample,
}

/// Resolves the scores of some texts ([`FraExamples::texts`](super::FraExamples::texts)) for the
/// heads of a layer's reports: the 30 strongest pairs of each text, and where they occur the 30
/// strongest over all texts; with [`maps`](crate::fra::FraSampleHead::maps).
///
/// # Errors
///
/// - [`SaeError::Model`] if the model fails.
/// - [`SaeError::Head`] if the layer has no head of a report.
/// - [`SaeError::Stopped`] if the signal of [`FraReader::with_stop`] is given.
///
/// # Memory
///
/// That of [`FraReading::sample`](crate::fra::FraReading::sample) for each text, and the activations of up
/// to 64 texts, or of as many as take 256 MiB, one at least.
pub fn resolve_texts(
    reader: &FraReader<'_>,
    layer: &FraLayer<'_>,
    heads: &[FraHeadReport],
    texts: &[FraTextIds],
) -> Result<FraRowSamples, SaeError> {
    let strongest = |head: &FraHeadReport| {
        let pairs = head.main_pairs().iter().take(N_RESOLVED);
        (head.head, pairs.map(|of| of.pair).collect())
    };
    let also: FraShownPairs = heads.iter().map(strongest).collect();
    let numbers: Vec<usize> = heads.iter().map(|head| head.head).collect();
    let sae = heads.first().map_or_else(String::new, |first| first.sae.clone());
    let config = FraSampleConfig { n_top: N_RESOLVED, also, sae, maps: true };
    let mut found = FraRowSamples::default();
    let all: Vec<&[u32]> = texts.iter().map(|text| &text.ids[..]).collect();
    reader.running().each(&all, &layer.reading_hooks(), |text, kept| {
        let FraTextIds { row, ids } = &texts[text];
        let reading = kept.and_then(|kept| layer.reading(reader, (ids, kept), &numbers));
        match reading.and_then(|reading| reading.sample(&config)) {
            Ok(sample) => found.samples.push(FraRowSample { row: *row, sample }),
            Err(error @ SaeError::NonFinite { .. }) => found.left_out.push((*row, error)),
            Err(error) => return Err(error),
        }
        Ok(())
    })?;
    Ok(found)
}
