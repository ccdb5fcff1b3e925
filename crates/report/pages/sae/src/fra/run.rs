//! Pairs of features over many texts as one run: a folder, checkpoints, reports, pages.

use std::collections::BTreeSet;
use std::fs;
use std::io::ErrorKind;
use std::path::{Path, PathBuf};

use attention_probes_activations::{ActivationError, EarlierRun, FolderLock};
use attention_probes_errors::FileError;
use attention_probes_report::ReportError;
use attention_probes_sae::fra::{
    FraCheckpoints, FraCorpus, FraHeadReport, FraLookConfig, FraReportConfig, FraSettings,
    FraStatistics, FraStatisticsConfig,
};
use serde_json::Value;

use super::error::FraRunError;
use super::event::FraRunEvent;
use super::files::{FraFiles, FraFilesConfig, FraFound, fra_files, write_fra_files};
use super::links::file_stem;
use super::package::write_package;

/// A layer of a run over many texts.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct FraRunLayer {
    /// Its heads, each once.
    pub heads: Vec<usize>,
    /// What its autoencoder is called.
    pub sae: String,
    /// Page of the autoencoder, relative to the folder of the run; empty if there is none.
    pub sae_page: String,
}

/// A run over many texts.
#[derive(Clone, Debug, PartialEq)]
pub struct FraRunConfig {
    /// Folder of the files, which is made.
    pub folder: PathBuf,
    /// What becomes of an earlier run with the same heads and number of texts, whose files are the only
    /// ones that are overwritten.
    pub earlier: EarlierRun,
    /// The layers of the corpus, in its order.
    pub layers: Vec<FraRunLayer>,
    /// What is asked for: the run takes `top`, `memory_budget_gib`, `permuted`, `seed`, and
    /// `examples` from it, sets `inputs_hash`, and puts all of it into the reports.
    pub settings: FraSettings,
    /// Pages of single texts for each layer, of those with most of the strongest pairs.
    pub sample_pages: usize,
    /// Texts between two checkpoints, at least 1.
    pub checkpoint_every: usize,
    /// One archive of all files, `.tar.gz`.
    pub package: Option<PathBuf>,
}

/// What a run found.
#[derive(Debug)]
pub enum FraRun {
    /// The heads of each layer, and the files that were written.
    Done {
        /// By layer.
        reports: Vec<Vec<FraHeadReport>>,
        /// The files.
        found: FraFound,
    },
    /// A run with the same settings was complete already: the reports of its heads, as JSON.
    Complete(Vec<Value>),
}

/// Collects the pairs of the heads of some layers over many texts, and writes a report and a page
/// of each head into a folder, beside pages of single texts.
///
/// Every file is written to a temporary name and renamed, and a run that is stopped goes on to the
/// same bits.
///
/// # Errors
///
/// - [`FraRunError::SameLayer`] if two autoencoders are read by the scores of one layer.
/// - [`FraRunError::Finished`], [`FraRunError::Unfinished`], or [`FraRunError::OtherSettings`] if an
///   earlier run is in the way.
/// - [`FraRunError::NotFinite`] if no text has finite activations.
/// - [`FraRunError::Stopped`] if the signal of the corpus's reader is given; the run goes on from its
///   last whole text.
/// - [`FraRunError::Sae`] if an autoencoder or the model is at fault.
/// - [`FraRunError::Report`] if a figure is not finite, or the page of an autoencoder is not relative.
/// - [`FraRunError::Activation`] if a file cannot be read or written, or the folder is in use.
///
/// # Panics
///
/// If there are not as many layers as the corpus has.
///
/// # Memory
///
/// The pairs of all heads and layers, at most `settings.memory_budget_gib`; beyond, the smallest are
/// dropped, and the reports say what they may lack. At the end all pages, as they are written: for
/// each head the strongest pairs, and for each of `sample_pages` texts of a layer its own.
pub fn run_fra(
    corpus: &FraCorpus<'_>,
    config: &FraRunConfig,
    tell: &mut dyn FnMut(FraRunEvent<'_>),
) -> Result<FraRun, FraRunError> {
    let FraRunConfig { folder, layers, settings, .. } = config;
    assert_eq!(layers.len(), corpus.layers.len(), "the layers of the corpus");
    let mut seen = BTreeSet::new();
    if let Some(twice) = corpus.layers.iter().find(|layer| !seen.insert(layer.layer())) {
        return Err(FraRunError::SameLayer { layer: twice.layer() });
    }
    let mut all = begin(corpus, config)?;
    let digest = corpus.digest()?;
    let settings = FraSettings { inputs_hash: Some(digest.clone()), ..settings.clone() };
    let _lock = FolderLock::claim(folder)?;
    let checkpoints: Vec<PathBuf> = corpus
        .layers
        .iter()
        .map(|layer| folder.join(format!("accumulated_fra_L{}.checkpoint", layer.layer())))
        .collect();
    if config.earlier == EarlierRun::Overwrite {
        // Pages and tables get their names when they are written.
        checkpoints.iter().try_for_each(|path| remove_file(path))?;
    } else if !checkpoints.iter().any(|path| path.exists())
        && let Some(heads) = finished(corpus, config, &settings)?
    {
        return Ok(FraRun::Complete(heads));
    }
    for (statistics, path) in all.iter_mut().zip(&checkpoints).filter(|(_, path)| path.exists()) {
        if config.earlier != EarlierRun::Resume {
            return Err(FraRunError::Unfinished { path: path.clone() });
        }
        statistics.load(path, &digest)?;
        tell(FraRunEvent::GoesOn { path, n_texts: statistics.n_texts() });
    }
    let kept =
        FraCheckpoints { paths: &checkpoints, every: config.checkpoint_every, digest: &digest };
    corpus.accumulate(&mut all, Some(kept), &mut |told| tell(FraRunEvent::Progress(told)))?;
    if all.iter().all(|statistics| statistics.n_texts() == 0) {
        return Err(FraRunError::NotFinite);
    }
    let model = &corpus.reader.model().name;
    let mut reports = Vec::with_capacity(layers.len());
    for ((layer, statistics), named) in corpus.layers.iter().zip(&all).zip(layers) {
        let of_layer = FraReportConfig { model, sae: &named.sae, settings: &settings };
        reports.push(statistics.reports(layer, &of_layer)?);
    }
    let sae_pages = layers.iter().map(|layer| &layer.sae_page[..]).collect();
    let look = FraLookConfig { n_examples: settings.examples, n_texts: config.sample_pages };
    let found = fra_files(corpus, &mut reports, &FraFilesConfig { look, sae_pages }, tell)?;
    write(config, &found.files)?;
    for path in &checkpoints {
        let _ = fs::remove_file(path); // it may never have been written
    }
    Ok(FraRun::Done { reports, found })
}

/// The statistics of each layer, without a text.
fn begin(corpus: &FraCorpus<'_>, config: &FraRunConfig) -> Result<Vec<FraStatistics>, FraRunError> {
    let settings = &config.settings;
    let budget = settings.memory_budget_gib * f64::from(1 << 30) / corpus.layers.len() as f64;
    let mut all = Vec::new();
    for (layer, of_run) in corpus.layers.iter().zip(&config.layers) {
        let of_layer = FraStatisticsConfig {
            heads: of_run.heads.clone(),
            budget_bytes: budget as usize,
            seed: settings.seed,
            permuted: settings.permuted,
        };
        all.push(FraStatistics::new(layer, of_layer)?);
    }
    Ok(all)
}

fn write(config: &FraRunConfig, files: &FraFiles) -> Result<(), ActivationError> {
    write_fra_files(&config.folder, files)?;
    config.package.as_ref().map_or(Ok(()), |path| write_package(path, files))
}

/// What a run of the same settings left of every head, if it is to go on and is finished; a run
/// whose files would be written over is refused.
fn finished(
    corpus: &FraCorpus<'_>,
    config: &FraRunConfig,
    settings: &FraSettings,
) -> Result<Option<Vec<Value>>, FraRunError> {
    let settings = serde_json::to_value(settings).map_err(|source| ReportError::Json { source })?;
    let mut found = Vec::new();
    let mut n_missing = 0;
    for (layer, FraRunLayer { heads, sae, .. }) in corpus.layers.iter().zip(&config.layers) {
        for head in heads {
            let stem = file_stem(layer.layer(), *head, corpus.texts.len() as u64);
            let path = config.folder.join(format!("{stem}.json"));
            if !path.exists() {
                n_missing += 1;
                continue;
            }
            if config.earlier != EarlierRun::Resume {
                return Err(FraRunError::Finished { path });
            }
            let text = fs::read(&path).map_err(FileError::read(&path))?;
            let report: Value = serde_json::from_slice(&text).unwrap_or_default();
            if report["settings"] != settings || report["sae"] != *sae {
                return Err(FraRunError::OtherSettings { path });
            }
            found.push(report);
        }
    }
    // One that was stopped while it wrote its last files has a checkpoint, or begins again.
    Ok((n_missing == 0).then_some(found))
}

/// Removes a file, which may not be there.
fn remove_file(path: &Path) -> Result<(), ActivationError> {
    match fs::remove_file(path) {
        Err(source) if source.kind() != ErrorKind::NotFound => {
            Err(FileError::write(path)(source).into())
        }
        _ => Ok(()),
    }
}
