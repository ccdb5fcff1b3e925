//! `sae eval core`: sparsity and reconstruction, and, where there is a model, what it loses.

use std::num::NonZeroUsize;
use std::path::{Path, PathBuf};

use anyhow::Result;
use attention_probes_activations::data_files;
use attention_probes_cli::hub::hub_access;
use attention_probes_cli::table_args::TableArgs;
use attention_probes_cli_sae_words::in_flags;
use attention_probes_errors::Stop;
use attention_probes_sae::eval::{
    CoreConfig, EvalFindings, EvalSae, WantedLabels, core_of_activations, core_of_contexts,
};
use attention_probes_sae::{read_contexts, read_sae_from};
use clap::Args;

use super::report::{self, Title};
use super::{PlaceArgs, ResultArgs, labelled};

/// Flags of `sae eval core`.
#[derive(Args, Debug)]
pub struct CoreArgs {
    /// The autoencoder and its model.
    #[command(flatten)]
    pub place: PlaceArgs,
    /// Texts: `.csv`, `.tsv`, `.jsonl`, `.parquet`, or `hf://datasets/org/name[@revision][/path]`.
    #[arg(long, required_unless_present = "activations")]
    pub data: Option<PathBuf>,
    /// Activations instead of texts and a model: an `.npz` with `x` and `mask`, a folder of shards,
    /// or a MOSAIC folder.
    #[arg(long, conflicts_with_all = [
        "data", "model", "hook", "device", "dtype", "split", "text", "quoting", "escape",
        "max_contexts",
    ])]
    pub activations: Option<PathBuf>,
    /// Split of a data set of the Hub.
    #[arg(long, default_value = "train")]
    pub split: String,
    /// Column of the texts.
    #[arg(long, default_value = "text")]
    pub text: String,
    /// How fields are written.
    #[command(flatten)]
    pub table: TableArgs,
    /// Most contexts.
    #[arg(long, default_value = "200")]
    pub max_contexts: NonZeroUsize,
    /// Where the result goes.
    #[command(flatten)]
    pub result: ResultArgs,
}

/// Runs `sae eval core`.
pub(super) fn run(args: &CoreArgs) -> Result<()> {
    args.result.check(args.data.iter().chain(&args.activations).map(PathBuf::as_path))?;
    let path = args.activations.as_ref().or(args.data.as_ref());
    let from = path.map(|path| path.display().to_string());
    let found = match (&args.activations, &args.data) {
        (Some(path), _) => of_file(args, path),
        (None, Some(data)) => in_model(args, data),
        (None, None) => unreachable!("one of the two was asked for"),
    }?;
    let title = Title { evaluation: "core", sae: &args.place.sae, from };
    report::write(&title, &args.result, &found)
}

/// Activations of a file, without a model.
fn of_file(args: &CoreArgs, path: &Path) -> Result<EvalFindings> {
    let sae = read_sae_from(&args.place.sae, hub_access().as_ref())?;
    let data = labelled::activations(path, (&args.place.sae, &sae), WantedLabels::None)?;
    let subject = EvalSae { sae: &sae, run: report::eval_run(&args.place.sae) };
    Ok(core_of_activations(&subject, &data, &Stop::never())?)
}

/// Contexts of texts, with the model.
fn in_model(args: &CoreArgs, data: &Path) -> Result<EvalFindings> {
    let files = data_files(data, &args.split, hub_access().as_ref())?;
    let opened = args.place.open()?;
    let columns = args.table.columns(&args.text)?;
    let contexts = read_contexts(&files, &columns, opened.context(), &opened.model)?;
    let (max_contexts, from) = (args.max_contexts.get(), data.display().to_string());
    let config = CoreConfig { max_contexts, from, ..CoreConfig::default() };
    let subject = EvalSae { sae: &opened.sae, run: report::eval_run(&args.place.sae) };
    core_of_contexts(&opened.site(), &subject, &contexts, &config).map_err(in_flags)
}
