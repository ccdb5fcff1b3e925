//! `probe extract`: activations of texts or token ids, at any hooks, into one file.

use std::collections::BTreeMap;
use std::fmt::Write as _;
use std::fs::{self, File};
use std::io::Write as _;
use std::num::NonZeroUsize;
use std::path::{Path, PathBuf};

use anyhow::Result;
use attention_probes_activations::{
    ActivationError, Dataset, DatasetConfig, NpzArray, NpzData, TokenizeConfig, length_buckets,
    tokenize, write_atomically, write_npz,
};
use attention_probes_models::{
    Activation, ActivationCache, Convention, HookPoint, HookSet, HookedModel, LanguageModel,
    ModelError, TokenBatch, open_model,
};
use attention_probes_sweep::Tracker;
use burn::tensor::Device;
use clap::{Args, ValueEnum};
use safetensors::SafeTensors;
use safetensors::tensor::{Dtype, TensorView};
use serde::Serialize;
use serde_json::json;
use tracing::{info, warn};

use crate::exit::InputError;
use crate::input::{host_values, ignore_broken_pipe};
use crate::progress::Progress;
use crate::{device, table};

/// Least positions of one forward pass, if the longest text has as many, and least tokens; padding
/// makes up for what is missing. Products of up to 16 rows are summed in another order, and
/// the last bits of a short text would depend on what it is batched with.
const MIN_POS: usize = 32;
const MIN_TOKENS: usize = 32;

/// Run a model and write its activations at named hooks.
#[derive(Args, Debug)]
pub struct ExtractArgs {
    /// An embedded model such as `demo-gpt2`, or a directory in Hugging Face layout.
    #[arg(long)]
    pub model: String,
    /// Text: `.csv`, `.tsv`, or `.jsonl`. Row i of a tensor is row i of the file.
    #[arg(long, required_unless_present = "input_ids", conflicts_with = "input_ids")]
    pub data: Option<PathBuf>,
    /// Token ids instead: safetensors with `input_ids` and perhaps `attention_mask` (1 = real
    /// token), both int64 of shape `[batch, pos]`.
    #[arg(long)]
    pub input_ids: Option<PathBuf>,
    /// Column of the text.
    #[arg(long, default_value = "text", conflicts_with = "input_ids")]
    pub text: String,
    /// Most tokens of a text; the model's context if not given.
    #[arg(long, conflicts_with = "input_ids")]
    pub max_tokens: Option<NonZeroUsize>,
    /// Hooks by their names in `TransformerLens`, separated by commas.
    #[arg(long, required = true, value_delimiter = ',')]
    pub hooks: Vec<String>,
    /// Where to write: `.safetensors` or `.npz`.
    #[arg(long)]
    pub output: PathBuf,
    /// Most tokens of one forward pass, padding included.
    #[arg(long, default_value = "4096")]
    pub batch_tokens: NonZeroUsize,
    /// Which numbers: Hugging Face's, or those of `TransformerLens` after folding and centring.
    #[arg(long, value_enum, default_value = "raw")]
    pub convention: ConventionArg,
    /// Most memory that the tensors may take, in GiB.
    #[arg(long, default_value_t = 4.0)]
    pub memory_budget_gib: f64,
    /// Write activations with NaN or infinity too, instead of refusing them.
    #[arg(long)]
    pub allow_non_finite: bool,
    /// Check everything and print the shapes, but run nothing.
    #[arg(long)]
    pub dry_run: bool,
    /// `auto`, `cpu`, `wgpu`, `cuda`, or `cuda:N`.
    #[arg(long, default_value = "auto")]
    pub device: String,
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

/// In which form the tensors are written.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Format {
    Safetensors,
    Npz,
}

/// What the model is run on.
enum Input {
    Ids(TokenRows),
    Texts(Dataset),
}

/// Token ids of all texts, padded to one length, row by row.
struct TokenRows {
    /// `[batch, pos]`
    ids: Vec<u32>,
    /// `[batch, pos]`, `true` where a real token.
    mask: Vec<bool>,
    batch: usize,
    pos: usize,
    /// Whether ids and mask were made here, so that they belong in the output.
    from_text: bool,
}

/// A hook and the shape of its tensor.
#[derive(Clone, Debug)]
struct HookTensor {
    hook: HookPoint,
    /// `[batch, pos, …]`, or `[batch, n_heads, pos, pos]` for what relates two positions.
    shape: Vec<usize>,
}

/// What [`run`] prints.
#[derive(Debug, Serialize)]
struct ExtractReport<'a> {
    /// File that was written.
    output: &'a Path,
    /// Name of the model.
    model: &'a str,
    /// Hash of its weights.
    revision: &'a str,
    /// Which numbers the activations are.
    convention: Convention,
    /// Shape of every tensor in the file.
    tensors: BTreeMap<String, Vec<usize>>,
    /// Bytes of all tensors.
    size_bytes: u64,
    /// Texts, by row, whose activations hold NaN or infinity.
    non_finite_texts: Vec<usize>,
    /// Whether nothing was run.
    dry_run: bool,
}

/// Runs `probe extract`.
///
/// # Errors
///
/// If the model, the texts, a hook, or the output is at fault, or an activation is not finite.
pub fn run(args: &ExtractArgs) -> Result<()> {
    let device = device::parse(&args.device)?;
    let format = Format::from_path(&args.output)?;
    let hooks = HookSet::parse(args.hooks.iter().map(|name| name.trim()))?;
    let (source, input) = match (&args.input_ids, &args.data) {
        (Some(path), _) => (path, Input::Ids(TokenRows::read(path)?)),
        (None, Some(path)) => (path, Input::Texts(read_texts(path, &args.text)?)),
        (None, None) => {
            return Err(InputError("give `--data` or `--input-ids`".to_owned()).into());
        }
    };
    check_output(&args.output, source)?;

    let model = open_model(&args.model, &device)?;
    let rows = match input {
        Input::Ids(rows) => rows,
        Input::Texts(dataset) => TokenRows::from_texts(&dataset, &model, args.max_tokens)?,
    };
    rows.check(&*model.model)?;
    let tensors = shapes(&*model.model, &hooks, &rows, &device)?;
    let size_bytes = check_memory(&tensors, &rows, args.memory_budget_gib)?;

    let mut report = ExtractReport {
        output: &args.output,
        model: &model.name,
        revision: &model.revision,
        convention: args.convention.into(),
        tensors: tensors
            .iter()
            .map(|tensor| (tensor.hook.to_string(), tensor.shape.clone()))
            .collect(),
        size_bytes,
        non_finite_texts: Vec::new(),
        dry_run: args.dry_run,
    };
    if rows.from_text {
        for name in ["input_ids", "attention_mask"] {
            report.tensors.insert(name.to_owned(), vec![rows.batch, rows.pos]);
        }
    }
    if !args.dry_run {
        let extraction = Extraction {
            model: &*model.model,
            hooks: &hooks,
            tensors: &tensors,
            rows: &rows,
            convention: report.convention,
            device: &device,
        };
        let extracted = extraction.run(args.batch_tokens.get())?;
        report.non_finite_texts = extracted.non_finite.keys().copied().collect();
        check_finite(&extracted.non_finite, source, args.allow_non_finite)?;
        let arrays = arrays(&tensors, extracted.values, &rows);
        let metadata = [
            ("model", model.name.clone()),
            ("revision", model.revision.clone()),
            ("convention", args.convention_name()),
        ];
        write(&args.output, format, arrays, &metadata)?;
    }
    ignore_broken_pipe(print(&report, args.json))
}

impl ExtractArgs {
    fn convention_name(&self) -> String {
        self.convention
            .to_possible_value()
            .map_or_else(String::new, |value| value.get_name().to_owned())
    }
}

impl Format {
    fn from_path(path: &Path) -> Result<Self, InputError> {
        match path.extension().and_then(|extension| extension.to_str()) {
            Some("safetensors") => Ok(Self::Safetensors),
            Some("npz") => Ok(Self::Npz),
            _ => Err(InputError(format!(
                "`--output {}` is neither .safetensors nor .npz by its name",
                path.display()
            ))),
        }
    }
}

fn read_texts(path: &Path, text: &str) -> Result<Dataset, ActivationError> {
    let columns = DatasetConfig { text: text.to_owned(), ..DatasetConfig::default() };
    Dataset::read(&path.display().to_string(), path, &columns, false)
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

impl TokenRows {
    /// Tokenizes every text; one that is empty, or has no token, is a row of padding.
    fn from_texts(
        dataset: &Dataset,
        model: &LanguageModel,
        max_tokens: Option<NonZeroUsize>,
    ) -> Result<Self> {
        let n_ctx = model.model.shape().n_ctx;
        let max_tokens = max_tokens.map_or(n_ctx, |n| n.get().min(n_ctx));
        let tokenizing = TokenizeConfig { max_tokens, cache: None };
        let tokens = tokenize(dataset, &model.tokenizer, &tokenizing)?;
        for (n, what) in [
            (dataset.skipped_empty + tokens.empty_rows.len(), "empty texts are rows of padding"),
            (tokens.n_truncated, "texts cut to the longest length allowed"),
        ] {
            if n > 0 {
                info!("`{}`: {n} {what}", dataset.name);
            }
        }
        let batch = dataset.len() + dataset.skipped_empty;
        let pos = tokens.lengths().into_iter().max().unwrap_or(0);
        let mut rows = Self {
            ids: vec![0; batch * pos],
            mask: vec![false; batch * pos],
            batch,
            pos,
            from_text: true,
        };
        for (sequence, &text) in tokens.text_rows.iter().enumerate() {
            let ids = tokens.sequence(sequence);
            let start = dataset.source_rows[text] * pos;
            rows.ids[start..start + ids.len()].copy_from_slice(ids);
            rows.mask[start..start + ids.len()].fill(true);
        }
        Ok(rows)
    }

    /// Reads `input_ids` and, if it is there, `attention_mask`.
    fn read(path: &Path) -> Result<Self> {
        let bytes = fs::read(path)
            .map_err(|source| ActivationError::Read { path: path.to_owned(), source })?;
        let file = SafeTensors::deserialize(&bytes)
            .map_err(|source| ModelError::Safetensors { path: path.to_owned(), source })?;
        let Ok(ids) = file.tensor("input_ids") else {
            let names: Vec<String> =
                file.names().into_iter().map(|name| format!("`{name}`")).collect();
            let found = if names.is_empty() { "none".to_owned() } else { names.join(", ") };
            let path = path.display();
            let message = format!("`{path}` has no tensor `input_ids`; tensors: {found}");
            return Err(InputError(message).into());
        };
        let &[batch, pos] = ids.shape() else {
            let message = format!("has shape {:?}, expected [batch, pos]", ids.shape());
            return Err(wrong_tensor(path, "input_ids", &message).into());
        };
        if batch == 0 || pos == 0 {
            let message = format!("has shape {:?}, expected a token", ids.shape());
            return Err(wrong_tensor(path, "input_ids", &message).into());
        }
        let place = |index: usize| format!("row {}, position {}", index / pos, index % pos);
        let token_id = |(index, id): (usize, i64)| {
            u32::try_from(id).map_err(|_| {
                let message = format!("has {id} at {}, expected a token id", place(index));
                wrong_tensor(path, "input_ids", &message)
            })
        };
        let ids: Vec<u32> =
            int64s(path, "input_ids", &ids)?.enumerate().map(token_id).collect::<Result<_, _>>()?;

        let mask = match file.tensor("attention_mask") {
            Err(_) => vec![true; ids.len()],
            Ok(mask) if mask.shape() != [batch, pos] => {
                let shape = mask.shape();
                let message =
                    format!("has shape {shape:?}, but `input_ids` has shape {:?}", [batch, pos]);
                return Err(wrong_tensor(path, "attention_mask", &message).into());
            }
            Ok(mask) => {
                let flag = |(index, value): (usize, i64)| match value {
                    0 => Ok(false),
                    1 => Ok(true),
                    _ => {
                        let message = format!(
                            "has {value} at {}, expected 1 for a real token or 0 for padding",
                            place(index)
                        );
                        Err(wrong_tensor(path, "attention_mask", &message))
                    }
                };
                let mask = int64s(path, "attention_mask", &mask)?.enumerate().map(flag);
                mask.collect::<Result<Vec<bool>, _>>()?
            }
        };
        if !mask.contains(&true) {
            let message = "has no 1, so there is no real token";
            return Err(wrong_tensor(path, "attention_mask", message).into());
        }
        Ok(Self { ids, mask, batch, pos, from_text: false })
    }

    /// Refuses what the model would refuse, before anything runs.
    fn check(&self, model: &dyn HookedModel) -> Result<(), ModelError> {
        let (n_ctx, d_vocab) = (model.shape().n_ctx, model.shape().d_vocab);
        let n_real = |row: &[bool]| row.iter().filter(|real| **real).count();
        let found = self.mask.chunks(self.pos).map(n_real).max().unwrap_or(0);
        if found > n_ctx {
            return Err(ModelError::ContextLength { found, n_ctx });
        }
        // Some families look up padding too.
        match self.ids.iter().find(|id| **id as usize >= d_vocab) {
            Some(&id) => Err(ModelError::TokenOutOfRange { id, d_vocab }),
            None => Ok(()),
        }
    }

    /// Positions of each row up to its last real token.
    fn lengths(&self) -> Vec<usize> {
        let length = |row: &[bool]| row.iter().rposition(|real| *real).map_or(0, |last| last + 1);
        self.mask.chunks(self.pos).map(length).collect()
    }
}

/// The values of an int64 tensor.
fn int64s<'a>(
    path: &Path,
    name: &str,
    tensor: &TensorView<'a>,
) -> Result<impl Iterator<Item = i64> + use<'a>, InputError> {
    if tensor.dtype() != Dtype::I64 {
        let message = format!("is {:?}, expected I64", tensor.dtype());
        return Err(wrong_tensor(path, name, &message));
    }
    Ok(tensor.data().as_chunks::<8>().0.iter().map(|bytes| i64::from_le_bytes(*bytes)))
}

fn wrong_tensor(path: &Path, name: &str, message: &str) -> InputError {
    InputError(format!("`{}`: tensor `{name}` {message}", path.display()))
}

/// Whether a hook relates two positions, `[batch, n_heads, query_pos, key_pos]`.
fn relates_positions(hook: HookPoint) -> bool {
    matches!(hook, HookPoint::AttnScores(_) | HookPoint::Pattern(_))
}

/// Shapes of all tensors, from one token through the model.
fn shapes(
    model: &dyn HookedModel,
    hooks: &HookSet,
    rows: &TokenRows,
    device: &Device,
) -> Result<Vec<HookTensor>> {
    let batch = TokenBatch::from_mask(&[0], &[true], 1, device)?;
    let mut cache = model.run_with_cache(&batch, hooks)?;
    let shape_of = |hook: HookPoint| {
        let mut shape = take(&mut cache, hook)?.dims();
        shape[0] = rows.batch;
        if relates_positions(hook) {
            shape[2..].fill(rows.pos);
        } else {
            shape[1] = rows.pos;
        }
        Ok(HookTensor { hook, shape })
    };
    hooks.iter().map(shape_of).collect()
}

fn take(cache: &mut ActivationCache, hook: HookPoint) -> Result<Activation, InputError> {
    let message = || format!("this model has no hook `{hook}`, leave it out");
    cache.remove(hook).ok_or_else(|| InputError(message()))
}

/// Bytes of all tensors, if they are within the budget.
fn check_memory(tensors: &[HookTensor], rows: &TokenRows, budget_gib: f64) -> Result<u64> {
    let gib = |bytes: f64| bytes / f64::from(1 << 30);
    let bytes_of = |shape: &[usize], item_bytes: usize| {
        shape.iter().fold(item_bytes as u64, |bytes, &axis| bytes.saturating_mul(axis as u64))
    };
    let activations = tensors.iter().map(|tensor| bytes_of(&tensor.shape, size_of::<f32>()));
    let tokens = if rows.from_text { 2 } else { 0 };
    let tokens = (0..tokens).map(|_| bytes_of(&[rows.batch, rows.pos], size_of::<i64>()));
    let size_bytes = activations.chain(tokens).fold(0, u64::saturating_add);
    let needed = gib(size_bytes as f64);
    if needed.is_nan() || budget_gib.is_nan() || needed > budget_gib {
        let message = format!(
            "the tensors take {needed:.2} GiB, but `--memory-budget-gib` is {budget_gib}; raise \
             it, or take fewer hooks or texts at a time"
        );
        return Err(InputError(message).into());
    }
    let (batch, pos) = (rows.batch, rows.pos);
    info!("{batch} texts, {pos} tokens long; the tensors take {}", shown_size(size_bytes));
    Ok(size_bytes)
}

/// Bytes as a person reads them.
fn shown_size(bytes: u64) -> String {
    let mib = bytes as f64 / f64::from(1 << 20);
    if mib < 1024.0 { format!("{mib:.2} MiB") } else { format!("{:.2} GiB", mib / 1024.0) }
}

/// What runs, on what, and what is kept.
struct Extraction<'a> {
    model: &'a dyn HookedModel,
    hooks: &'a HookSet,
    tensors: &'a [HookTensor],
    rows: &'a TokenRows,
    convention: Convention,
    device: &'a Device,
}

/// The values of every tensor, row-major.
struct Extracted {
    values: Vec<Vec<f32>>,
    /// First hook with NaN or infinity, of each text that has one.
    non_finite: BTreeMap<usize, HookPoint>,
}

/// One row of a batch, and where it goes.
struct Place<'a> {
    /// Row of the output.
    row: usize,
    /// Real tokens of the row, as far as the batch is long.
    mask: &'a [bool],
    /// Positions of the output.
    pos: usize,
}

impl Extraction<'_> {
    /// Runs rows of like length together.
    fn run(&self, batch_tokens: usize) -> Result<Extracted> {
        let n_values = |tensor: &HookTensor| tensor.shape.iter().product();
        let mut extracted = Extracted {
            values: self.tensors.iter().map(|tensor| vec![0.0; n_values(tensor)]).collect(),
            non_finite: BTreeMap::new(),
        };
        let lengths = self.rows.lengths();
        let filled: Vec<usize> = (0..self.rows.batch).filter(|&row| lengths[row] > 0).collect();
        let filled_lengths: Vec<usize> = filled.iter().map(|&row| lengths[row]).collect();
        let mut bar = Progress::default();
        let mut n_done = 0;
        for bucket in length_buckets(&filled_lengths, batch_tokens) {
            let rows: Vec<usize> = bucket.iter().map(|&index| filled[index]).collect();
            let longest = rows.iter().map(|&row| lengths[row]).max().unwrap_or(0);
            let pos = longest.max(MIN_POS).min(self.rows.pos);
            self.run_rows(&rows, pos, &mut extracted)?;
            n_done += rows.len();
            bar.extracted("extract", n_done, filled.len());
        }
        bar.clear();
        Ok(extracted)
    }

    /// Runs the first `pos` positions of some rows.
    fn run_rows(&self, rows: &[usize], pos: usize, extracted: &mut Extracted) -> Result<()> {
        let columns = |row: usize| row * self.rows.pos..row * self.rows.pos + pos;
        let mut ids: Vec<u32> =
            rows.iter().flat_map(|&row| &self.rows.ids[columns(row)]).copied().collect();
        let mut mask: Vec<bool> =
            rows.iter().flat_map(|&row| &self.rows.mask[columns(row)]).copied().collect();
        let batch = rows.len().max(MIN_TOKENS.div_ceil(pos));
        ids.resize(batch * pos, 0);
        mask.resize(batch * pos, false);
        let tokens = TokenBatch::from_mask(&ids, &mask, batch, self.device)?;
        let mut cache = self.model.run_with_cache(&tokens, self.hooks)?;
        for (tensor, output) in self.tensors.iter().zip(&mut extracted.values) {
            let hook = tensor.hook;
            let activation = take(&mut cache, hook)?.flatten_heads();
            let values = if relates_positions(hook) {
                host_values(activation)
            } else {
                host_values(self.convention.apply(self.model, hook, activation))
            };
            let per_row = values.len() / batch;
            let of_output = output.len() / self.rows.batch;
            for ((&row, values), mask) in
                rows.iter().zip(values.chunks(per_row)).zip(mask.chunks(pos))
            {
                let output = &mut output[row * of_output..(row + 1) * of_output];
                let place = Place { row, mask, pos: self.rows.pos };
                let is_finite = if relates_positions(hook) {
                    place.copy_pairs(hook, values, output)
                } else {
                    place.copy_tokens(values, output)
                };
                if !is_finite {
                    extracted.non_finite.entry(place.row).or_insert(hook);
                }
            }
        }
        Ok(())
    }
}

impl Place<'_> {
    /// Copies `[pos, features]` but for padding; `false` if NaN or infinity is among it.
    fn copy_tokens(&self, values: &[f32], output: &mut [f32]) -> bool {
        let features = output.len() / self.pos;
        let mut is_finite = true;
        for (p, _) in self.mask.iter().enumerate().filter(|(_, real)| **real) {
            let token = p * features..(p + 1) * features;
            is_finite &= values[token.clone()].iter().all(|value| value.is_finite());
            output[token.clone()].copy_from_slice(&values[token]);
        }
        is_finite
    }

    /// Copies `[n_heads, query_pos, key_pos]` but for padded queries; `false` if NaN or infinity
    /// is among it, other than the minus infinity of a score whose key is hidden.
    fn copy_pairs(&self, hook: HookPoint, values: &[f32], output: &mut [f32]) -> bool {
        let from_pos = self.mask.len();
        // Keys behind the end of the batch lie in the future of every query.
        let is_scores = matches!(hook, HookPoint::AttnScores(_));
        let hidden = if is_scores { f32::NEG_INFINITY } else { 0.0 };
        let is_wrong =
            |value: &f32| !(value.is_finite() || is_scores && *value == f32::NEG_INFINITY);
        let mut is_finite = true;
        let heads = values.chunks(from_pos * from_pos).zip(output.chunks_mut(self.pos * self.pos));
        for (values, output) in heads {
            let queries = values.chunks(from_pos).zip(output.chunks_mut(self.pos));
            for ((values, output), _) in queries.zip(self.mask).filter(|(_, real)| **real) {
                is_finite &= !values.iter().any(is_wrong);
                output[..from_pos].copy_from_slice(values);
                output[from_pos..].fill(hidden);
            }
        }
        is_finite
    }
}

/// Names every text with NaN or infinity, and refuses them unless they are allowed.
fn check_finite(
    non_finite: &BTreeMap<usize, HookPoint>,
    source: &Path,
    allowed: bool,
) -> Result<(), InputError> {
    let Some((first, hook)) = non_finite.first_key_value() else { return Ok(()) };
    let (path, n) = (source.display(), non_finite.len());
    if !allowed {
        return Err(InputError(format!(
            "`{hook}` of text {first} of `{path}` has NaN or infinity, one of {n} such texts; \
             leave them out, or give `--allow-non-finite` to write them as they are"
        )));
    }
    for (text, hook) in non_finite {
        warn!("`{hook}` of text {text} of `{path}` has NaN or infinity");
    }
    Ok(())
}

/// Every tensor of the file by name.
fn arrays(
    tensors: &[HookTensor],
    values: Vec<Vec<f32>>,
    rows: &TokenRows,
) -> Vec<(String, NpzArray)> {
    let mut arrays = Vec::with_capacity(tensors.len() + 2);
    if rows.from_text {
        let shape = || vec![rows.batch, rows.pos];
        let ids: Vec<i64> = rows.ids.iter().map(|&id| i64::from(id)).collect();
        let mask: Vec<i64> = rows.mask.iter().map(|&real| i64::from(real)).collect();
        arrays.push(("input_ids".to_owned(), NpzArray::new(shape(), ids)));
        arrays.push(("attention_mask".to_owned(), NpzArray::new(shape(), mask)));
    }
    let activations = tensors.iter().zip(values).map(|(tensor, values)| {
        (tensor.hook.to_string(), NpzArray::new(tensor.shape.clone(), values))
    });
    arrays.extend(activations);
    arrays
}

/// Writes the tensors with a note of where they come from.
fn write(
    path: &Path,
    format: Format,
    mut arrays: Vec<(String, NpzArray)>,
    metadata: &[(&str, String)],
) -> Result<()> {
    let metadata: BTreeMap<&str, &str> =
        metadata.iter().map(|(name, value)| (*name, value.as_str())).collect();
    match format {
        Format::Safetensors => write_safetensors(path, &arrays, &metadata),
        Format::Npz => {
            let json = serde_json::to_vec(&metadata)?;
            arrays.push(("metadata".to_owned(), NpzArray::new(vec![json.len()], json)));
            let arrays: Vec<(&str, NpzArray)> =
                arrays.iter_mut().map(|(name, array)| (name.as_str(), take_array(array))).collect();
            Ok(write_npz(path, &arrays)?)
        }
    }
}

/// Moves an array out, so that it is not copied.
fn take_array(array: &mut NpzArray) -> NpzArray {
    std::mem::replace(array, NpzArray { shape: vec![0], data: NpzData::F32(Vec::new()) })
}

/// Writes a safetensors file straight from the arrays: the length of the header, the header, and
/// the values. int64 comes first, so that every tensor is aligned.
fn write_safetensors(
    path: &Path,
    arrays: &[(String, NpzArray)],
    metadata: &BTreeMap<&str, &str>,
) -> Result<()> {
    let mut header = serde_json::Map::new();
    header.insert("__metadata__".to_owned(), json!(metadata));
    let mut end = 0;
    for (name, array) in arrays {
        let (dtype, item_bytes) = match array.data {
            NpzData::I64(_) => ("I64", size_of::<i64>()),
            _ => ("F32", size_of::<f32>()),
        };
        let start = end;
        end += array.data.len() * item_bytes;
        let entry = json!({ "dtype": dtype, "shape": array.shape, "data_offsets": [start, end] });
        header.insert(name.clone(), entry);
    }
    let mut header = serde_json::to_vec(&header)?;
    // The values begin at a multiple of eight.
    header.resize(header.len().next_multiple_of(8), b' ');
    write_atomically(path, |file| {
        file.write_all(&(header.len() as u64).to_le_bytes())?;
        file.write_all(&header)?;
        for (_, array) in arrays {
            match &array.data {
                NpzData::I64(values) => {
                    values.iter().try_for_each(|value| file.write_all(&value.to_le_bytes()))?;
                }
                NpzData::F32(values) => {
                    values.iter().try_for_each(|value| file.write_all(&value.to_le_bytes()))?;
                }
                _ => unreachable!("tensors are int64 or f32"),
            }
        }
        Ok(())
    })?;
    Ok(())
}

fn print(report: &ExtractReport<'_>, json: bool) -> Result<()> {
    let mut stdout = std::io::stdout().lock();
    if json {
        writeln!(stdout, "{}", serde_json::to_string_pretty(report)?)?;
        return Ok(());
    }
    let mut text = String::new();
    let verb = if report.dry_run { "would write" } else { "wrote" };
    let size = shown_size(report.size_bytes);
    let _ = writeln!(text, "{verb} {} ({size})", report.output.display());
    let rows: Vec<[String; 2]> =
        report.tensors.iter().map(|(name, shape)| [name.clone(), format!("{shape:?}")]).collect();
    table::aligned(&mut text, &rows);
    if !report.non_finite_texts.is_empty() {
        let n = report.non_finite_texts.len();
        let _ = writeln!(text, "NaN or infinity in {n} texts: {:?}", report.non_finite_texts);
    }
    write!(stdout, "{text}")?;
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn padding_is_left_zero_and_nan_in_it_does_not_count() {
        let place = Place { row: 0, mask: &[false, true], pos: 3 };
        let mut output = vec![0.0; 6];
        assert!(place.copy_tokens(&[f32::NAN, 1.0, 2.0, 3.0], &mut output));
        assert_eq!(output, [0.0, 0.0, 2.0, 3.0, 0.0, 0.0]);
        assert!(!place.copy_tokens(&[0.0, 0.0, f32::INFINITY, 3.0], &mut output));
    }

    #[test]
    fn hidden_keys_keep_minus_infinity_and_padded_queries_are_zero() {
        let hidden = f32::NEG_INFINITY;
        let place = Place { row: 0, mask: &[true, false], pos: 3 };
        let mut output = vec![0.0; 9];
        let values = [1.0, hidden, f32::NAN, 3.0];
        assert!(place.copy_pairs(HookPoint::AttnScores(0), &values, &mut output));
        assert_eq!(output, [1.0, hidden, hidden, 0.0, 0.0, 0.0, 0.0, 0.0, 0.0]);

        // In a pattern, a hidden key weighs 0, and infinity is wrong wherever it is.
        let mut output = vec![0.0; 9];
        assert!(!place.copy_pairs(HookPoint::Pattern(0), &values, &mut output));
        assert!(output[2].abs() < f32::EPSILON);
    }

    #[test]
    fn texts_that_are_not_finite_are_refused_unless_allowed() {
        let bad = BTreeMap::from([(7, HookPoint::Z(1)), (3, HookPoint::ResidPost(0))]);
        let message = check_finite(&bad, Path::new("t.csv"), false).unwrap_err().to_string();
        let expected =
            "`blocks.0.hook_resid_post` of text 3 of `t.csv` has NaN or infinity, one of 2";
        assert!(message.starts_with(expected), "{message}");
        assert!(check_finite(&bad, Path::new("t.csv"), true).is_ok());
        assert!(check_finite(&BTreeMap::new(), Path::new("t.csv"), false).is_ok());
    }
}
