//! `probe extract`: activations of texts or token ids, at any hooks, into one file.

use std::collections::BTreeMap;
use std::fmt::Write as _;
use std::fs::{self, File};
use std::io::Write as _;
use std::num::NonZeroUsize;
use std::path::{Path, PathBuf};

use anyhow::Result;
use attention_probes_activations::{ActivationError, Dataset, DatasetConfig, NpzArray};
use attention_probes_models::{Convention, Dtype, HookPoint, HookSet, open_model};
use clap::{Args, ValueEnum};
use serde::Serialize;
use tracing::{info, warn};

use crate::exit::InputError;
use crate::extraction::{Extraction, HookTensor, shapes};
use crate::input::{hub_cache, ignore_broken_pipe};
use crate::tensor_file::{Format, write};
use crate::token_rows::TokenRows;
use crate::{device, table};

/// Run a model and write its activations at named hooks.
#[derive(Args, Debug)]
pub struct ExtractArgs {
    /// An embedded model such as `demo-gpt2`, a directory in Hugging Face layout, or a model of the
    /// Hub that is in its cache, `org/name` or `org/name@revision`.
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

/// What the model is run on.
enum Input {
    Ids(TokenRows),
    Texts(Dataset),
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

    let model = open_model(&args.model, hub_cache().as_ref(), (&device, args.dtype))?;
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
