//! `probe extract`: activations of texts or token ids, at any hooks, into one file or a folder.

use std::collections::BTreeMap;
use std::num::NonZeroUsize;
use std::path::Path;

use anyhow::Result;
use attention_probes_activations::{
    ActivationError, DatasetConfig, Shard, ShardData, ShardHook, ShardManifest, ShardModel,
    ShardTokenizer, ShardWriter, TensorSpec, is_shard_folder,
};
use attention_probes_models::files::TemporaryFile;
use attention_probes_models::{
    Convention, HookPoint, HookSet, ModelAlone, NoDownload, Tokenizer, open_model_alone,
};
use burn::tensor::Device;
use tracing::{info, warn};

use crate::exit::InputError;
use crate::extract_args::ExtractArgs;
use crate::extract_file::{OutputFile, specs};
use crate::extract_folder::{OutputFolder, ShardReport};
use crate::extract_report::{ExtractReport, Written, shown_size};
use crate::extraction::{Extraction, HookShape, shapes};
use crate::hub::hub_access;
use crate::input::ignore_broken_pipe;
use crate::source::Source;
use crate::tensor_file::Format;
use crate::{device, output};

/// Rows of a part file: some hundred megabytes of a small model's layer.
const ROWS_PER_PART: usize = 1024;

/// Everything but where the activations go, checked.
struct Prepared<'a> {
    args: &'a ExtractArgs,
    /// File that the texts or ids come from.
    path: &'a Path,
    source: Source,
    model: ModelAlone,
    hooks: HookSet,
    shapes: Vec<HookShape>,
    device: Device,
}

/// Runs `probe extract`.
///
/// # Errors
///
/// If the model, the texts, a hook, or the output is at fault, or an activation is not finite.
pub fn run(args: &ExtractArgs) -> Result<()> {
    let device = device::parse(&args.device)?;
    let format = Format::from_path(&args.output)?;
    let shard = args.check_flags(format)?;
    let names = || args.hooks.iter().map(|name| name.trim());
    // Names are checked before a model is opened or downloaded.
    HookSet::parse_in(names(), 1)?;
    let mut hub = hub_access();
    if args.dry_run {
        hub = hub.map(|hub| hub.without_downloads(NoDownload::CacheOnly));
    }
    let (path, source) = args.read_source(hub.as_ref())?;
    if format != Format::Folder {
        let check = if args.dry_run { output::check_target } else { output::check_file };
        check(&args.output)?;
        output::check_not_read(&args.output, [path])?;
        check_writable(&args.output)?;
        output::check_absent(&args.output, args.overwrite || args.dry_run)?;
    }

    let model = open_model_alone(&args.model, hub.as_ref(), (&device, args.dtype))?;
    let source = source.with_model(&model)?;
    let hooks = HookSet::parse_in(names(), model.model.shape().n_layers)?;
    let shapes = shapes(&*model.model, &hooks, &device)?;
    let prepared = Prepared { args, path, source, model, hooks, shapes, device };
    let (tensors, written) = match format {
        Format::Folder => prepared.write_folder(shard)?,
        format => prepared.write_file(format)?,
    };
    let report = ExtractReport {
        output: &args.output,
        model: &prepared.model.name,
        revision: &prepared.model.revision,
        convention: args.convention.into(),
        tensors,
        written,
        dry_run: args.dry_run,
    };
    ignore_broken_pipe(report.print(args.json))
}

impl Prepared<'_> {
    fn extraction(&self) -> Extraction<'_> {
        Extraction {
            model: &*self.model.model,
            hooks: &self.hooks,
            shapes: &self.shapes,
            convention: self.args.convention.into(),
            device: &self.device,
            batch_tokens: self.args.batch_tokens.get(),
        }
    }

    fn write_file(&self, format: Format) -> Result<(BTreeMap<String, Vec<usize>>, Written)> {
        let args = self.args;
        let rows = &*self.source.tokens()?;
        let dtype = args.store_dtype.into();
        let specs = specs(rows, &self.shapes, dtype);
        let size_bytes = specs.iter().map(TensorSpec::size_bytes).fold(0, u64::saturating_add);
        let (batch, pos) = (rows.len(), rows.pos);
        info!("{batch} texts, {pos} tokens long; the tensors take {}", shown_size(size_bytes));
        let mut non_finite_texts = Vec::new();
        if !args.dry_run {
            let (metadata, class_names) = (self.metadata()?, self.source.class_names().to_vec());
            let file = OutputFile { path: &args.output, format, dtype, metadata, class_names };
            non_finite_texts = file.write(&self.extraction(), rows, |non_finite| {
                let rows: Vec<_> =
                    non_finite.iter().map(|(row, hook)| (*row, Some(*hook))).collect();
                Ok(check_finite(&rows, self.path, args.allow_non_finite)?)
            })?;
        }
        let tensors = specs.into_iter().map(|spec| (spec.name, spec.shape)).collect();
        Ok((tensors, Written::File { size_bytes, non_finite_texts }))
    }

    fn write_folder(&self, shard: Shard) -> Result<(BTreeMap<String, Vec<usize>>, Written)> {
        let args = self.args;
        let manifest = self.manifest(shard)?;
        match ShardWriter::check(&args.output, &manifest) {
            // Parts of the same activations are kept, and those that are missing are written.
            Err(_) if args.overwrite && is_shard_folder(&args.output) => {
                if !args.dry_run {
                    ShardWriter::remove(&args.output)?;
                }
            }
            other => other?,
        }
        let rows = shard.rows(manifest.data.n_rows);
        let (n, start, end) = (manifest.data.n_rows, rows.start, rows.end);
        info!("shard {shard}: rows {start} to {end} of {n}, {} in a file", manifest.rows_per_part);
        let report = if args.dry_run {
            ShardReport { shard: shard.to_string(), rows: [start, end], ..ShardReport::default() }
        } else {
            let folder = OutputFolder { path: &args.output, manifest, shard };
            folder.write(&self.extraction(), &self.source, &self.model, |non_finite| {
                Ok(check_finite(non_finite, self.path, args.allow_non_finite)?)
            })?
        };
        let tensors = self.shapes.iter().map(|hook| (hook.hook.to_string(), hook.shape.clone()));
        Ok((tensors.collect(), Written::Shard(report)))
    }

    /// What a file says about its tensors: safetensors keep strings alone, so a list is JSON in one.
    fn metadata(&self) -> Result<BTreeMap<String, String>> {
        let name = self.path.file_name().unwrap_or_default().to_string_lossy().into_owned();
        let mut metadata = BTreeMap::from([
            ("model".to_owned(), self.model.name.clone()),
            ("revision".to_owned(), self.model.revision.clone()),
            ("dtype".to_owned(), self.model.dtype.to_string()),
            ("convention".to_owned(), Convention::from(self.args.convention).to_string()),
            ("data".to_owned(), name),
        ]);
        match &self.source {
            Source::Ids { hash, .. } => {
                metadata.insert("data_hash".to_owned(), hash.clone());
            }
            Source::Texts { corpus, max_tokens, .. } => {
                metadata.insert("data_hash".to_owned(), corpus.hash.clone());
                metadata.insert("max_tokens".to_owned(), max_tokens.to_string());
            }
        }
        if !self.source.class_names().is_empty() {
            let json = serde_json::to_string(self.source.class_names())?;
            metadata.insert("class_names".to_owned(), json);
        }
        Ok(metadata)
    }

    /// What the files of a folder have in common.
    fn manifest(&self, shard: Shard) -> Result<ShardManifest> {
        let args = self.args;
        let hook = |hook: &HookShape| ShardHook {
            name: hook.hook.to_string(),
            layout: hook.layout,
            shape: hook.shape.clone(),
        };
        let name = self.path.file_name().unwrap_or_default().to_string_lossy().into_owned();
        let (data, tokenizer) = match &self.source {
            Source::Ids { rows, hash } => {
                let (hash, n_rows, classes) = (hash.clone(), rows.len(), Vec::new());
                (ShardData { name, hash, n_rows, text: None, label: None, classes }, None)
            }
            Source::Texts { corpus, max_tokens, tokenizer } => {
                let label = args.label.clone().unwrap_or(DatasetConfig::default().label);
                let data = ShardData {
                    name,
                    hash: corpus.hash.clone(),
                    n_rows: corpus.n_rows,
                    text: Some(args.text.clone()),
                    label: (!corpus.classes.is_empty()).then_some(label),
                    classes: corpus.classes.clone(),
                };
                let describe = |tokenizer: &Tokenizer| -> Result<ShardTokenizer> {
                    let bare = tokenizer.encode_without_special("a")?.ids;
                    Ok(ShardTokenizer {
                        hash: tokenizer.hash().to_owned(),
                        max_tokens: *max_tokens,
                        special_tokens: tokenizer.encode("a")?.ids != bare,
                    })
                };
                (data, tokenizer.as_deref().map(describe).transpose()?)
            }
        };
        Ok(ShardManifest {
            format_version: 1,
            model: ShardModel {
                name: self.model.name.clone(),
                revision: self.model.revision.clone(),
                dtype: self.model.dtype,
            },
            convention: args.convention.into(),
            dtype: args.store_dtype.into(),
            hooks: self.shapes.iter().map(hook).collect(),
            data,
            tokenizer,
            n_shards: shard.n_shards(),
            rows_per_part: args.shard_rows.map_or(ROWS_PER_PART, NonZeroUsize::get),
        })
    }
}

/// Makes sure before the long part that the output can be written.
fn check_writable(output: &Path) -> Result<()> {
    // Made and dropped: whether the folder takes a file.
    TemporaryFile::create(output)
        .map_err(|source| ActivationError::Write { path: output.to_owned(), source })?;
    Ok(())
}

/// Names every text with NaN or infinity, and the hook if it is known, and refuses them unless they
/// are allowed.
fn check_finite(
    non_finite: &[(usize, Option<HookPoint>)],
    source: &Path,
    allowed: bool,
) -> Result<(), InputError> {
    let Some((first, hook)) = non_finite.first() else { return Ok(()) };
    let (path, n) = (source.display(), non_finite.len());
    let place =
        |hook: &Option<HookPoint>| hook.map_or_else(String::new, |hook| format!("`{hook}` of "));
    if !allowed {
        return Err(InputError(format!(
            "{}text {first} of `{path}` has NaN or infinity, one of {n} such texts; leave them \
             out, or give `--allow-non-finite` to write them as they are",
            place(hook)
        )));
    }
    for (text, hook) in non_finite {
        warn!("{}text {text} of `{path}` has NaN or infinity", place(hook));
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn texts_that_are_not_finite_are_refused_unless_allowed() {
        let bad = [(3, Some(HookPoint::ResidPost(0))), (7, Some(HookPoint::Z(1)))];
        let message = check_finite(&bad, Path::new("t.csv"), false).unwrap_err().to_string();
        let expected =
            "`blocks.0.hook_resid_post` of text 3 of `t.csv` has NaN or infinity, one of 2";
        assert!(message.starts_with(expected), "{message}");
        assert!(check_finite(&bad, Path::new("t.csv"), true).is_ok());
        assert!(check_finite(&[], Path::new("t.csv"), false).is_ok());
    }
}
