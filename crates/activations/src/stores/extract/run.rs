//! Running a model and writing what its hooks see.

use attention_probes_wording::shown_size;
use tracing::info;

use super::config::{ExtractConfig, ExtractInput};
use super::error::ExtractError;
use super::file::OutputFile;
use super::folder::OutputFolder;
use super::format::StoreFormat;
use super::manifest::{manifest, metadata};
use super::plan::Run;
use super::report::{ExtractReport, ExtractWritten, ShardReport};
use crate::{
    ActivationError, CaptureHook, HookShape, ShardWriter, StoreDtype, TensorSpec, Watch,
    hook_shapes, is_shard_folder,
};

/// Runs a model over texts or token ids and writes what some hooks see: into one file, padded to
/// one length, or into a folder of shards, where parts that are whole are not written again.
///
/// A text has the same activations, to the last bit, whatever other texts there are. `watch` counts
/// texts, and is asked before each forward pass.
///
/// # Errors
///
/// - [`ExtractError::OutputName`] or [`ExtractError::NpzBf16`] if the output cannot be written so
/// - [`ExtractError::NonFiniteTexts`] if a text has NaN or infinity and that is not allowed
/// - [`ActivationError::Model`] if the model has no such hook, or refuses the data
/// - [`ActivationError::NoTokens`], [`ActivationError::Tokenize`], or [`ActivationError::Changed`]
///   if the texts are at fault
/// - [`ActivationError::Shards`] if a folder holds something else
/// - [`ActivationError::Write`] if the output cannot be written
/// - [`ActivationError::Stopped`] if `watch` says so; parts of a folder that are whole stay
///
/// # Memory
///
/// The activations of one forward pass; of a file also the tokens of all texts.
///
/// # Examples
///
/// ```
/// use attention_probes_activations::{
///     Corpus, DatasetConfig, ExtractConfig, ExtractData, ExtractInput, LabelColumn, ShardModel,
///     Watch, extract,
/// };
/// use attention_probes_models::{HookSet, open_model};
/// use burn::tensor::Device;
///
/// let folder = tempfile::tempdir()?;
/// let path = folder.path().join("texts.csv");
/// std::fs::write(&path, "text\nOnce upon a time\nThe end\n")?;
///
/// let device = Device::flex();
/// let opened = open_model("demo-gpt2", None, &device)?;
/// let corpus = Corpus::scan(&[&path], &DatasetConfig::default(), LabelColumn::Ignored)?;
/// let identity = ShardModel::from(&opened);
/// let hooks = HookSet::parse_in(["blocks.*.hook_resid_post"], opened.model.shape().n_layers)?;
/// let input = ExtractInput {
///     model: &*opened.model,
///     identity: &identity,
///     device: &device,
///     data: &ExtractData::texts(corpus, opened.tokenizer, 64),
///     path: &path,
/// };
/// let output = folder.path().join("activations.safetensors");
/// let report = extract(&input, &ExtractConfig::new(hooks, &output), Watch::default())?;
/// assert_eq!(report.tensors["blocks.3.hook_resid_post"][2], 160);
/// assert!(output.exists());
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
pub fn extract(
    input: &ExtractInput<'_>,
    config: &ExtractConfig,
    watch: Watch<'_>,
) -> Result<ExtractReport, ActivationError> {
    let format = StoreFormat::from_path(&config.output)?;
    if format == StoreFormat::Npz && config.dtype == StoreDtype::Bf16 {
        return Err(ExtractError::NpzBf16 { path: config.output.clone() }.into());
    }
    input.data.check(input.model)?;
    let shapes = hook_shapes(input.model, &config.hooks, input.device)?;
    let hook = |shape: &HookShape| CaptureHook { hook: shape.hook, convention: config.convention };
    let hooks: Vec<CaptureHook> = shapes.iter().map(hook).collect();
    let run = Run { input, config, shapes: &shapes, hooks: &hooks, watch };
    let written = match format {
        StoreFormat::Folder => write_folder(&run)?,
        format => write_file(&run, format)?,
    };
    let (tensors, written) = written;
    Ok(ExtractReport {
        output: config.output.clone(),
        model: input.identity.name.clone(),
        revision: input.identity.revision.clone(),
        convention: config.convention,
        tensors: tensors.into_iter().collect(),
        written,
        dry_run: config.dry_run,
    })
}

type Tensors = Vec<(String, Vec<usize>)>;

fn write_file(
    run: &Run<'_>,
    format: StoreFormat,
) -> Result<(Tensors, ExtractWritten), ActivationError> {
    let rows = &*run.input.data.tokens(run.input.model)?;
    let file = OutputFile::new(run, rows);
    let size_bytes = file.specs.iter().map(TensorSpec::size_bytes).fold(0, u64::saturating_add);
    let (batch, pos) = (rows.len(), rows.pos);
    info!("{batch} texts, {pos} tokens long; the tensors take {}", shown_size(size_bytes));
    let tensors = file.specs.iter().map(|spec| (spec.name.clone(), spec.shape.clone()));
    let tensors = tensors.collect();
    let mut non_finite_texts = Vec::new();
    if !run.config.dry_run {
        let metadata = metadata(run.input, run.config);
        non_finite_texts = file.write(run, metadata, format == StoreFormat::Npz)?;
    }
    Ok((tensors, ExtractWritten::File { size_bytes, non_finite_texts }))
}

fn write_folder(run: &Run<'_>) -> Result<(Tensors, ExtractWritten), ActivationError> {
    let Run { input, config, shapes, .. } = run;
    let shard = config.folder.shard;
    let manifest = manifest(input, config, shapes)?;
    match ShardWriter::check(&config.output, &manifest) {
        // Parts of the same activations are kept, and those that are missing are written.
        Err(_) if config.folder.overwrite && is_shard_folder(&config.output) => {
            if !config.dry_run {
                ShardWriter::remove(&config.output)?;
            }
        }
        other => other?,
    }
    let rows = shard.rows(manifest.data.n_rows);
    let (n, start, end) = (manifest.data.n_rows, rows.start, rows.end);
    info!("shard {shard}: rows {start} to {end} of {n}, {} in a file", manifest.rows_per_part);
    let report = if config.dry_run {
        ShardReport { shard: shard.to_string(), rows: [start, end], ..ShardReport::default() }
    } else {
        OutputFolder { path: &config.output, manifest, shard }.write(run)?
    };
    let tensors = shapes.iter().map(|hook| (hook.hook.to_string(), hook.shape.clone()));
    Ok((tensors.collect(), ExtractWritten::Shard(report)))
}
