//! `probe extract`: activations of texts or token ids, at any hooks, into one file or a folder.

use std::collections::BTreeMap;
use std::fs::{self, File};
use std::num::NonZeroUsize;
use std::path::{Path, PathBuf};

use anyhow::Result;
use attention_probes_activations::{
    ActivationError, DatasetConfig, LabelColumn, Shard, ShardData, ShardHook, ShardManifest,
    ShardModel, ShardTokenizer, ShardWriter, StoreDtype, TensorSpec, hash_file,
};
use attention_probes_models::{
    Convention, Dtype, HookPoint, HookSet, HubAccess, LanguageModel, NoDownload, open_model,
};
use burn::tensor::Device;
use clap::{Args, ValueEnum};
use tracing::{info, warn};

use crate::device;
use crate::exit::InputError;
use crate::extract_file::{OutputFile, specs};
use crate::extract_folder::{OutputFolder, ShardReport};
use crate::extract_report::{ExtractReport, Written, shown_size};
use crate::extraction::{Extraction, HookShape, shapes};
use crate::hub::hub_access;
use crate::input::ignore_broken_pipe;
use crate::source::Source;
use crate::tensor_file::Format;
use crate::text_source::TextSource;
use crate::token_rows::TokenRows;

/// Rows of a part file: some hundred megabytes of a small model's layer.
const ROWS_PER_PART: usize = 1024;

/// Run a model and write its activations at named hooks.
#[derive(Args, Debug)]
pub struct ExtractArgs {
    /// An embedded model such as `demo-gpt2`, a directory in Hugging Face layout, or a model of the
    /// Hub, `org/name` or `org/name@revision`, which is downloaded unless it is in the cache.
    #[arg(long)]
    pub model: String,
    /// Text: `.csv`, `.tsv`, `.jsonl`, `.parquet`, or `hf://datasets/org/name[@revision][/path]`.
    /// Row i of a tensor is row i of the file.
    #[arg(long, required_unless_present = "input_ids", conflicts_with = "input_ids")]
    pub data: Option<PathBuf>,
    /// Token ids instead: safetensors with `input_ids` and perhaps `attention_mask` (1 = real
    /// token), both int64 of shape `[batch, pos]`.
    #[arg(long)]
    pub input_ids: Option<PathBuf>,
    /// Split of a data set of the Hub.
    #[arg(long, default_value = "train", conflicts_with = "input_ids")]
    pub split: String,
    /// Column of the text.
    #[arg(long, default_value = "text", conflicts_with = "input_ids")]
    pub text: String,
    /// Column of the label, which a folder keeps; `label`, if there is one, if not given.
    #[arg(long, conflicts_with = "input_ids")]
    pub label: Option<String>,
    /// Most tokens of a text; the model's context if not given.
    #[arg(long, conflicts_with = "input_ids")]
    pub max_tokens: Option<NonZeroUsize>,
    /// Hooks by their names in `TransformerLens`, separated by commas.
    #[arg(long, required = true, value_delimiter = ',')]
    pub hooks: Vec<String>,
    /// Where to write: `.safetensors`, `.npz`, or a folder, whose name has no ending.
    #[arg(long)]
    pub output: PathBuf,
    /// Type of the activations in the file; an npz has no bf16.
    #[arg(long, value_enum, default_value = "f32")]
    pub store_dtype: StoreDtypeArg,
    /// Rows to work on, where jobs share them: `3/10` is the third of ten runs of rows. Needs a
    /// folder.
    #[arg(long, value_name = "I/N")]
    pub shard: Option<String>,
    /// Most rows of a file of a folder; 1024 if not given.
    #[arg(long)]
    pub shard_rows: Option<NonZeroUsize>,
    /// Most tokens of one forward pass, padding included.
    #[arg(long, default_value = "4096")]
    pub batch_tokens: NonZeroUsize,
    /// Which numbers: Hugging Face's, or those of `TransformerLens` after folding and centring.
    #[arg(long, value_enum, default_value = "raw")]
    pub convention: ConventionArg,
    /// Write activations with NaN or infinity too, instead of refusing them.
    #[arg(long)]
    pub allow_non_finite: bool,
    /// Check everything and print the shapes, but run nothing.
    #[arg(long)]
    pub dry_run: bool,
    /// `auto`, `cpu`, `wgpu`, `cuda`, or `cuda:N`.
    #[arg(long, default_value = "auto")]
    pub device: String,
    /// Number format that the model computes in: `f32`, `bf16`, `f16`, or `auto`, which is bf16 on
    /// CUDA and f32 elsewhere.
    #[arg(long, default_value = "auto")]
    pub dtype: Dtype,
    /// Print one JSON object.
    #[arg(long)]
    pub json: bool,
}

/// [`Convention`] as a flag.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
#[value(rename_all = "snake_case")]
pub enum ConventionArg {
    /// Hugging Face's numbers.
    Raw,
    /// What `TransformerLens` captures from processed weights.
    TlProcessed,
}

impl From<ConventionArg> for Convention {
    fn from(convention: ConventionArg) -> Self {
        match convention {
            ConventionArg::Raw => Self::Raw,
            ConventionArg::TlProcessed => Self::TlProcessed,
        }
    }
}

/// [`StoreDtype`] as a flag.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub enum StoreDtypeArg {
    /// 32 bits, as they are computed.
    F32,
    /// 16 bits, rounded to the nearest.
    Bf16,
}

impl From<StoreDtypeArg> for StoreDtype {
    fn from(dtype: StoreDtypeArg) -> Self {
        match dtype {
            StoreDtypeArg::F32 => Self::F32,
            StoreDtypeArg::Bf16 => Self::Bf16,
        }
    }
}

/// Everything but where the activations go, checked.
struct Prepared<'a> {
    args: &'a ExtractArgs,
    /// File that the texts or ids come from.
    path: &'a Path,
    source: Source,
    model: LanguageModel,
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
    let hooks = HookSet::parse(args.hooks.iter().map(|name| name.trim()))?;
    let mut hub = hub_access();
    if args.dry_run {
        hub = hub.map(|hub| hub.without_downloads(NoDownload::CacheOnly));
    }
    let (path, source) = args.read_source(hub.as_ref())?;
    if format != Format::Folder {
        check_output(&args.output, path)?;
    }

    let model = open_model(&args.model, hub.as_ref(), (&device, args.dtype))?;
    let source = source.with_context_of(&*model.model);
    if let Source::Ids { rows, .. } = &source {
        rows.check(&*model.model)?;
    }
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

impl ExtractArgs {
    /// Refuses flags that do not go with the form of the output; returns the shard.
    fn check_flags(&self, format: Format) -> Result<Shard> {
        let output = self.output.display();
        let wrong = |message: String| Err(InputError(message).into());
        if format != Format::Folder {
            let flag = self.shard.as_ref().map(|shard| format!("--shard {shard}"));
            let rows = self.shard_rows.map(|rows| format!("--shard-rows {rows}"));
            let label = self.label.as_ref().map(|label| format!("--label {label}"));
            if let Some(flag) = flag.or(rows).or(label) {
                return wrong(format!(
                    "`{flag}` needs a folder as `--output`, but `{output}` is one file; leave out \
                     its ending"
                ));
            }
        }
        if format == Format::Npz && self.store_dtype == StoreDtypeArg::Bf16 {
            return wrong(format!(
                "`--store-dtype bf16` cannot be kept in `{output}`, as numpy has no such type; \
                 write .safetensors, a folder, or f32"
            ));
        }
        let shard = self.shard.as_ref().map(|name| name.parse().map_err(ActivationError::from));
        Ok(shard.transpose()?.unwrap_or(Shard::WHOLE))
    }

    /// Reads token ids, or looks through texts.
    fn read_source(&self, hub: Option<&HubAccess>) -> Result<(&Path, Source)> {
        match (&self.input_ids, &self.data) {
            (Some(path), _) => {
                let bytes = fs::read(path)
                    .map_err(|source| ActivationError::Read { path: path.clone(), source })?;
                let rows = TokenRows::read(path, &bytes)?;
                Ok((path, Source::Ids { rows, hash: hash_file(path)? }))
            }
            (None, Some(path)) => {
                let (label, how) = match &self.label {
                    Some(label) => (label.clone(), LabelColumn::Needed),
                    None => (DatasetConfig::default().label, LabelColumn::IfThere),
                };
                let columns =
                    DatasetConfig { text: self.text.clone(), label, ..DatasetConfig::default() };
                let texts = TextSource { path, split: &self.split, hub };
                let corpus = texts.scan(&columns, how)?;
                let max_tokens = self.max_tokens.map_or(usize::MAX, NonZeroUsize::get);
                Ok((path, Source::Texts { corpus, max_tokens }))
            }
            (None, None) => Err(InputError("give `--data` or `--input-ids`".to_owned()).into()),
        }
    }

    fn convention_name(&self) -> String {
        self.convention
            .to_possible_value()
            .map_or_else(String::new, |value| value.get_name().to_owned())
    }
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
        let rows = &*self.source.tokens(&self.model.tokenizer)?;
        let dtype = args.store_dtype.into();
        let specs = specs(rows, &self.shapes, dtype);
        let size_bytes = specs.iter().map(TensorSpec::size_bytes).fold(0, u64::saturating_add);
        let (batch, pos) = (rows.len(), rows.pos);
        info!("{batch} texts, {pos} tokens long; the tensors take {}", shown_size(size_bytes));
        let mut non_finite_texts = Vec::new();
        if !args.dry_run {
            let metadata = BTreeMap::from([
                ("model".to_owned(), self.model.name.clone()),
                ("revision".to_owned(), self.model.revision.clone()),
                ("dtype".to_owned(), self.model.dtype.to_string()),
                ("convention".to_owned(), args.convention_name()),
            ]);
            let file = OutputFile { path: &args.output, format, dtype, metadata };
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
        ShardWriter::check(&args.output, &manifest)?;
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
            Source::Texts { corpus, max_tokens } => {
                let label = args.label.clone().unwrap_or(DatasetConfig::default().label);
                let data = ShardData {
                    name,
                    hash: corpus.hash.clone(),
                    n_rows: corpus.n_rows,
                    text: Some(args.text.clone()),
                    label: (!corpus.classes.is_empty()).then_some(label),
                    classes: corpus.classes.clone(),
                };
                let tokenizer = &self.model.tokenizer;
                let bare = tokenizer.encode_without_special("a")?.ids;
                let tokenizer = ShardTokenizer {
                    hash: tokenizer.hash().to_owned(),
                    max_tokens: *max_tokens,
                    special_tokens: tokenizer.encode("a")?.ids != bare,
                };
                (data, Some(tokenizer))
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

/// Makes sure before the long part that the output can be written, and is not the input.
fn check_output(output: &Path, source: &Path) -> Result<()> {
    if output.is_dir() {
        let message = format!("`{}` is a folder, name a file in it", output.display());
        return Err(InputError(message).into());
    }
    if let (Ok(output), Ok(source)) = (output.canonicalize(), source.canonicalize())
        && output == source
    {
        let message = format!("`{}` is the input, name another output", output.display());
        return Err(InputError(message).into());
    }
    let name = output.file_name().unwrap_or_default().to_string_lossy();
    let trial = output.with_file_name(format!(".{name}.{}.trial", std::process::id()));
    File::create_new(&trial)
        .and_then(|_| fs::remove_file(&trial))
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
