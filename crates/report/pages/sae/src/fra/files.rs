//! The files of a layer: figures and page of each head, and pages of single texts.

use std::collections::BTreeMap;
use std::fs;
use std::io::Write as _;
use std::path::Path;

use attention_probes_activations::{ActivationError, write_atomically};
use attention_probes_errors::FileError;
use attention_probes_report::ReportError;
use attention_probes_sae::fra::{
    FraCorpus, FraHeadReport, FraLookConfig, FraRowSample, FraRowSamples, resolve_texts,
    shown_pairs,
};

use super::corpus_page::{fra_corpus_pages, stem_of};
use super::error::FraRunError;
use super::event::FraRunEvent;
use super::feature::FraFeatures;
use super::links::{FraLinks, sample_link};
use super::sample_page::fra_sample_page;

/// Names and contents of files.
pub type FraFiles = Vec<(String, Vec<u8>)>;

/// Makes the files of the heads of one layer: `accumulated_fra_L{layer}H{head}_N{texts}.json` and
/// `.html` of each, and `fra_sample_L{layer}_row{row}.html` of each text; in the order of their
/// names.
///
/// `sae_page` is the page of the autoencoder, relative to the files; empty if there is none.
///
/// # Errors
///
/// - [`ReportError::NonFinite`] if a figure is NaN or infinite.
/// - [`ReportError::Link`] if `sae_page` is not relative.
/// - [`ReportError::Json`] if a report cannot be written as JSON.
pub fn fra_layer_files(
    heads: &[FraHeadReport],
    known: &FraFeatures,
    samples: &[FraRowSample],
    sae_page: &str,
) -> Result<FraFiles, ReportError> {
    let n_texts = heads.first().map(|first| first.n_texts);
    let links = FraLinks { sae: sae_page, n_texts, ..FraLinks::default() };
    let mut files = BTreeMap::new();
    for of_row in samples {
        let link = sample_link(of_row);
        let links = FraLinks { text: &link.name, ..links };
        let page = fra_sample_page(&of_row.sample, known, links).to_html()?;
        files.insert(link.page, page.into_bytes());
    }
    for (head, page) in heads.iter().zip(fra_corpus_pages(heads, known, samples, links)?) {
        let mut text =
            serde_json::to_vec_pretty(head).map_err(|source| ReportError::Json { source })?;
        text.push(b'\n');
        files.insert(format!("{}.json", stem_of(head)), text);
        files.insert(format!("{}.html", stem_of(head)), page.to_html()?.into_bytes());
    }
    Ok(files.into_iter().collect())
}

/// Writes files into a folder, which is made.
///
/// # Errors
///
/// [`ActivationError::File`] if the folder cannot be made or a file cannot be written.
pub fn write_fra_files(folder: &Path, files: &FraFiles) -> Result<(), ActivationError> {
    fs::create_dir_all(folder).map_err(FileError::write(folder))?;
    for (name, contents) in files {
        write_atomically(&folder.join(name), |file| file.write_all(contents))?;
    }
    Ok(())
}

/// The files of some layers, and the features that are shown of each.
#[derive(Debug)]
pub struct FraFound {
    /// All files.
    pub files: FraFiles,
    /// What is known of the features of each layer's pairs.
    pub features: Vec<FraFeatures>,
}

/// What is shown of texts, and where pages of autoencoders are.
#[derive(Clone, Debug)]
pub struct FraFilesConfig<'a> {
    /// How many texts are looked at once more, and how many have pages.
    pub look: FraLookConfig,
    /// Page of the autoencoder of each layer, relative to the files; empty where there is none.
    pub sae_pages: Vec<&'a str>,
}

/// Looks at some of the texts once more, adds what they say to the reports of each layer, and makes
/// the files of their heads.
///
/// # Errors
///
/// - [`FraRunError::Sae`] if the model fails.
/// - the errors of [`fra_layer_files`].
///
/// # Panics
///
/// If there are more reports than layers or pages.
pub fn fra_files(
    corpus: &FraCorpus<'_>,
    reports: &mut [Vec<FraHeadReport>],
    config: &FraFilesConfig<'_>,
    tell: &mut dyn FnMut(FraRunEvent<'_>),
) -> Result<FraFound, FraRunError> {
    let shown: Vec<_> = reports.iter().map(|heads| shown_pairs(heads)).collect();
    let examples =
        corpus.look_again(&shown, config.look, &mut |told| tell(FraRunEvent::Progress(told)))?;
    let mut found = FraFound { files: FraFiles::new(), features: Vec::new() };
    for (place, (heads, examples)) in reports.iter_mut().zip(examples).enumerate() {
        for head in heads.iter_mut() {
            head.add_intervals(&examples.spreads);
        }
        let layer = &corpus.layers[place];
        let FraRowSamples { samples, left_out } =
            resolve_texts(&corpus.reader, layer, heads, &examples.texts)?;
        for (row, error) in left_out {
            tell(FraRunEvent::NoPage { row, error });
        }
        let sae_page = config.sae_pages[place];
        found.files.extend(fra_layer_files(heads, &examples.features, &samples, sae_page)?);
        found.features.push(examples.features);
    }
    Ok(found)
}
