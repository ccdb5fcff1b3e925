//! Running a model and writing what its hooks see.

use attention_probes_errors::shown_size;
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
/// texts, and its signal is asked before each block of a forward pass.
///
/// # Errors
///
/// - [`ExtractError::OutputName`] or [`ExtractError::NpzBf16`] if the output cannot be written so
/// - [`ExtractError::NonFiniteTexts`] if a text has NaN or infinity and that is not allowed
/// - [`ActivationError::Model`] if the model has no such hook, or refuses the data
/// - [`ActivationError::NoTokens`], [`ActivationError::Tokenize`], or [`ActivationError::Changed`]
///   if the texts are at fault
/// - [`ActivationError::Shards`] if a folder holds something else
/// - [`ActivationError::File`] if the output cannot be written
/// - [`ActivationError::Stopped`] if the signal of `watch` is given; parts of a folder that are whole
///   stay
///
/// # Memory
///
/// The activations of one forward pass; of a file also the tokens of all texts.
///
/// # Examples
///
/// ```
/// use attention_probes::activations::{
///     Corpus, DatasetConfig, ExtractConfig, ExtractData, ExtractInput, LabelColumn, ShardModel,
///     Watch, extract,
/// };
/// use attention_probes::models::{HookSet, open_model};
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
    let rows = &*run.input.data.tokens(run.input.model, &run.watch.stop)?;
    let file = OutputFile::new(run, rows);
    let size_bytes = file.specs.iter().map(TensorSpec::size_bytes).fold(0, u64::saturating_add);
    let (batch, pos) = (rows.len(), rows.pos);
    info!("{batch} texts, {pos} tokens long; the tensors take {}", shown_size(size_bytes));
    let tensors = file.specs.iter().map(|spec| (spec.name.clone(), spec.shape.clone()));
    let tensors = tensors.collect();
    let mut non_finite_texts = Vec::new();
    if !run.config.dry_run {
        let metadata = metadata(run.input, run.config);
        non_finite_texts = file.write(run, &metadata, format == StoreFormat::Npz)?;
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

#[cfg(test)]
mod tests {
    use std::cell::Cell;
    use std::fs;
    use std::path::{Path, PathBuf};

    use attention_probes_errors::Stop;
    use attention_probes_models::{Dtype, HookPoint, HookSet};
    use safetensors::SafeTensors;

    use super::*;
    use crate::testing::Fixture;
    use crate::{ExtractData, FolderConfig, ShardFolder, ShardModel, TokenRows};

    /// Sequences of a fixture as token ids of a file.
    struct Setting {
        fixture: Fixture,
        data: ExtractData,
        identity: ShardModel,
    }

    impl Setting {
        fn new(fixture: Fixture) -> Self {
            let rows = TokenRows::new(fixture.tokens.ids.clone(), fixture.tokens.offsets.clone());
            let (name, revision) = ("model".to_owned(), "5a".to_owned());
            Self {
                fixture,
                data: ExtractData::Ids { rows, hash: "90".to_owned() },
                identity: ShardModel { name, revision, dtype: Dtype::F32 },
            }
        }

        fn run(
            &self,
            config: &ExtractConfig,
            watch: Watch<'_>,
        ) -> Result<ExtractReport, ActivationError> {
            let input = ExtractInput {
                model: &self.fixture.model,
                identity: &self.identity,
                device: &self.fixture.device,
                data: &self.data,
                path: Path::new("ids.safetensors"),
            };
            extract(&input, config, watch)
        }
    }

    /// A stream and a pattern, two rows in a part file.
    fn config(output: PathBuf) -> ExtractConfig {
        let hooks = HookSet::new([HookPoint::ResidPost(1), HookPoint::Pattern(0)]);
        let folder = FolderConfig { rows_per_part: 2, ..FolderConfig::default() };
        ExtractConfig { folder, ..ExtractConfig::new(hooks, output) }
    }

    fn floats(path: &Path, tensor: &str) -> Vec<f32> {
        let bytes = fs::read(path).unwrap();
        let file = SafeTensors::deserialize(&bytes).unwrap();
        let values = file.tensor(tensor).unwrap().data().to_vec();
        values.as_chunks::<4>().0.iter().map(|bytes| f32::from_le_bytes(*bytes)).collect()
    }

    #[test]
    fn a_file_and_a_folder_hold_the_same_bits() {
        let setting = Setting::new(Fixture::new());
        let folder = tempfile::tempdir().unwrap();
        let (file, shards) = (folder.path().join("a.safetensors"), folder.path().join("a"));
        let report = setting.run(&config(file.clone()), Watch::default()).unwrap();
        assert_eq!(report.tensors["blocks.1.hook_resid_post"], [6, 11, 8]);
        assert_eq!(report.tensors["blocks.0.attn.hook_pattern"], [6, 2, 11, 11]);
        setting.run(&config(shards.clone()), Watch::default()).unwrap();

        let stream = floats(&file, "blocks.1.hook_resid_post");
        let shards = ShardFolder::open(&shards).unwrap();
        let hooks: Vec<&str> =
            shards.manifest().hooks.iter().map(|hook| hook.name.as_str()).collect();
        let hook = hooks.iter().position(|name| *name == "blocks.1.hook_resid_post").unwrap();
        for part in 0..3 {
            let part = shards.part(part).unwrap();
            for (index, row) in part.rows().enumerate() {
                let n_tokens = setting.fixture.tokens.sequence(row).len();
                let (of_row, padding) = stream[row * 11 * 8..][..11 * 8].split_at(n_tokens * 8);
                assert_eq!(part.activations(hook, index), of_row);
                assert!(padding.iter().all(|value| *value == 0.0));
            }
        }
    }

    #[test]
    fn nan_is_refused_unless_it_is_allowed() {
        let setting = Setting::new(Fixture::damaged());
        let folder = tempfile::tempdir().unwrap();
        let config = config(folder.path().join("a.safetensors"));
        let error = setting.run(&config, Watch::default()).unwrap_err();
        assert!(
            matches!(
                error,
                ActivationError::Extract {
                    source: ExtractError::NonFiniteTexts { text: 3, n_texts: 1, .. }
                }
            ),
            "{error:?}"
        );
        assert_eq!(fs::read_dir(folder.path()).unwrap().count(), 0);
        let config = ExtractConfig { allow_non_finite: true, ..config };
        let report = setting.run(&config, Watch::default()).unwrap();
        let ExtractWritten::File { non_finite_texts, .. } = report.written else {
            panic!("one file is written")
        };
        assert_eq!(non_finite_texts, [3]);
        assert!(config.output.exists());
    }

    #[test]
    fn a_folder_goes_on_where_it_was_stopped() {
        let setting = Setting::new(Fixture::new());
        let folder = tempfile::tempdir().unwrap();
        let config = config(folder.path().join("a"));
        let (n_done, total) = (Cell::new(0), Cell::new(0));
        let progress = |done, of| {
            n_done.set(done);
            total.set(of);
        };
        let stop = Stop::new();
        let stopping = |done, of| {
            progress(done, of);
            if done >= 2 {
                stop.stop();
            }
        };
        let watch = Watch { progress: Some(&stopping), stop: stop.clone() };
        assert!(matches!(setting.run(&config, watch), Err(ActivationError::Stopped)));
        let watch = Watch { progress: Some(&progress), ..Watch::default() };
        let report = setting.run(&config, watch).unwrap();
        let ExtractWritten::Shard(shard) = report.written else { panic!("a shard is written") };
        assert_eq!((shard.n_found, shard.n_written, shard.n_tokens), (1, 2, 28));
        assert_eq!((n_done.get(), total.get()), (6, 6));
    }

    #[test]
    fn bf16_is_refused_in_an_npz() {
        let setting = Setting::new(Fixture::new());
        let config = ExtractConfig { dtype: StoreDtype::Bf16, ..config("a.npz".into()) };
        let error = setting.run(&config, Watch::default()).unwrap_err().to_string();
        assert!(error.starts_with("bf16 cannot be kept in `a.npz`"), "{error}");
    }
}
