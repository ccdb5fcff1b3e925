//! How the files of feature-resolved attention are called, and where they lead.

use attention_probes_report::FraSampleLink;
use attention_probes_sae::fra::FraRowSample;

/// What a page of one text is called, and where other pages lie; empty where there is none.
#[derive(Clone, Copy, Debug, Default)]
pub struct FraLinks<'a> {
    /// The text, as in `row 5`.
    pub text: &'a str,
    /// Page of the autoencoder, relative to this one.
    pub sae: &'a str,
    /// Whether the heads have pages over many texts, and of how many.
    pub n_texts: Option<u64>,
}

/// Name of a head's files over so many texts, without what comes behind the point.
pub fn file_stem(layer: usize, head: usize, n_texts: u64) -> String {
    format!("accumulated_fra_L{layer}H{head}_N{n_texts}")
}

/// The page of a row.
pub(super) fn sample_link(FraRowSample { row, sample }: &FraRowSample) -> FraSampleLink {
    let page = format!("fra_sample_L{}_row{row}.html", sample.layer);
    FraSampleLink { name: format!("row {row}"), page }
}
