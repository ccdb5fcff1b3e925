//! The page of a run, in its folder.

use std::io::Write as _;
use std::path::{Path, PathBuf};

use attention_probes_activations::write_atomically;
use attention_probes_sweep::{SavedRun, SweepError};

use super::page::sweep_page;
use crate::PageError;

/// A page that was written.
#[derive(Debug)]
pub struct SweepPageFile {
    /// Where it lies.
    pub path: PathBuf,
    /// Why other seeds of the run are not on it; may be empty.
    pub left_out: Vec<SweepError>,
}

/// Writes the page of a run, beside the folders of its seeds.
///
/// Other seeds of the run that lie there are on the page too, if they can be read.
///
/// # Errors
///
/// - [`PageError::Sweep`] if the run cannot be read back
/// - [`PageError::Metric`] or [`PageError::Report`] if a page cannot be made of it
/// - [`PageError::Activation`] if the page cannot be written
///
/// # Memory
///
/// The results of all seeds, and the page.
///
/// # Examples
///
/// ```
/// use attention_probes::activations::EarlierRun;
/// use attention_probes::errors::Stop;
/// use attention_probes::pages::probes::{compare_page, write_sweep_page};
/// use attention_probes::sweep::config::{ArchitectureConfig, DataConfig};
/// use attention_probes::sweep::{
///     NoTracker, RunOptions, SavedRun, SweepConfig, compare_runs, run_sweep,
/// };
/// use burn::tensor::Device;
///
/// let folder = tempfile::tempdir()?;
/// let path = folder.path().join("days.csv");
/// let row = |i: usize| format!("{} day the {i}th,{}\n", ["a fine", "an awful"][i % 2], i % 2);
/// let rows: String = (0..60).map(row).collect();
/// std::fs::write(&path, format!("text,label\n{rows}"))?;
/// let mut config = SweepConfig {
///     output: folder.path().join("results"),
///     data: vec![DataConfig { name: "days".to_owned(), path, ..DataConfig::default() }],
///     architectures: vec![ArchitectureConfig {
///         name: "linear".to_owned(),
///         config_name: "linear".to_owned(),
///         ..ArchitectureConfig::default()
///     }],
///     ..SweepConfig::default()
/// };
/// config.activations.layers = "2".parse()?;
/// let device = Device::default();
/// let options = RunOptions {
///     device: &device,
///     hub: None,
///     earlier: EarlierRun::Refuse,
///     memory_bytes: None,
///     stop: Stop::never(),
/// };
/// let report = run_sweep(&config.check()?, &options, &mut NoTracker)?;
///
/// let page = write_sweep_page(&report.folder)?;
/// assert!(std::fs::read_to_string(&page.path)?.starts_with("<!doctype html>"));
///
/// let run = SavedRun::read(&report.folder)?;
/// let runs = [run.clone(), run];
/// let page = compare_page(&runs, &compare_runs(&runs)?);
/// assert_eq!(page.chosen.len(), 2);
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
pub fn write_sweep_page(folder: &Path) -> Result<SweepPageFile, PageError> {
    let path = sweep_page_path(folder);
    let (mut runs, mut left_out) = (vec![SavedRun::read(folder)?], Vec::new());
    let siblings = path.parent().map(std::fs::read_dir).into_iter().flatten().flatten().flatten();
    for sibling in siblings.map(|entry| entry.path()) {
        let is_run = sibling.join("config.toml").is_file();
        if is_run && sibling.file_name() != folder.file_name() {
            match SavedRun::read(&sibling) {
                Ok(run) => runs.push(run),
                Err(error) => left_out.push(error),
            }
        }
    }
    let html = sweep_page(&mut runs)?.to_html()?;
    write_atomically(&path, |file| file.write_all(html.as_bytes()))?;
    Ok(SweepPageFile { path, left_out })
}

/// Where the page of a run lies.
pub fn sweep_page_path(folder: &Path) -> PathBuf {
    folder.parent().unwrap_or(folder).join("report.html")
}
