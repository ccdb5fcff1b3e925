//! The files of some layers, made when the pairs of their heads are known.

use anyhow::Result;
use attention_probes_pages::fra::{FraFeatures, FraFiles, fra_layer_files};
use attention_probes_sae::fra::{
    FraCorpus, FraHeadReport, FraLookConfig, FraProgress, FraRowSamples, resolve_texts, shown_pairs,
};
use tracing::warn;

use crate::progress::Progress;

/// Files, and the features that are shown of each layer.
pub(super) struct Found {
    pub(super) files: FraFiles,
    pub(super) features: Vec<FraFeatures>,
}

/// Looks at some of the texts once more, adds what they say to the reports, and makes the files of
/// each layer's heads; `sae_pages` are the pages of the autoencoders, empty where there is none.
pub(super) fn files(
    corpus: &FraCorpus<'_>,
    reports: &mut [Vec<FraHeadReport>],
    config: FraLookConfig,
    sae_pages: &[String],
) -> Result<Found> {
    let shown: Vec<_> = reports.iter().map(|heads| shown_pairs(heads)).collect();
    let mut bar = Progress::default();
    let examples = corpus.look_again(&shown, config, &mut |told| show(&mut bar, told))?;
    bar.clear();
    let mut found = Found { files: FraFiles::new(), features: Vec::new() };
    for (place, (heads, examples)) in reports.iter_mut().zip(examples).enumerate() {
        heads.iter_mut().for_each(|head| head.add_intervals(&examples.spreads));
        let layer = &corpus.layers[place];
        let FraRowSamples { samples, left_out } =
            resolve_texts(&corpus.reader, layer, heads, &examples.texts)?;
        for (row, error) in left_out {
            warn!("no page of row {row}: {error:#}");
        }
        let sae_page = &sae_pages[place];
        found.files.extend(fra_layer_files(heads, &examples.features, &samples, sae_page)?);
        found.features.push(examples.features);
    }
    Ok(found)
}

/// Moves a progress bar.
pub(super) fn show(bar: &mut Progress, told: FraProgress) {
    if let FraProgress::LookedAt { done, total } = told {
        bar.advance("texts of the pairs".to_owned(), done, total);
    }
}
