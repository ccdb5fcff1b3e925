//! `sae eval sparse-probing`, `tpp`, and `scr`: texts with labels.

use std::path::{Path, PathBuf};

use anyhow::Result;
use attention_probes_activations::{DatasetConfig, data_files};
use attention_probes_cli::hub::hub_access;
use attention_probes_cli::table_args::TableArgs;
use attention_probes_cli_sae_words::{Follower, in_flags, say};
use attention_probes_errors::Stop;
use attention_probes_sae::eval::{
    ActivationData, EvalFindings, EvalSae, LabelledEvaluation, LabelledJob, ScrColumns,
    WantedLabels, evaluate_labelled, evaluate_labelled_activations, read_activations,
    read_labelled,
};
use attention_probes_sae::{Follow, PublishedSae, Sae, read_sae_from};
use clap::Args;
use tracing::warn;

use super::report::{self, Title};
use super::{DrawArgs, PlaceArgs, ResultArgs};

/// Flags of `sae eval sparse-probing` and `sae eval tpp`.
#[derive(Args, Debug)]
pub struct ClassArgs {
    /// The autoencoder and its model.
    #[command(flatten)]
    pub place: PlaceArgs,
    /// Texts: `.csv`, `.tsv`, `.jsonl`, `.parquet`, or `hf://datasets/org/name[@revision][/path]`.
    #[arg(long, required_unless_present = "activations")]
    pub data: Option<PathBuf>,
    /// Activations instead of texts and a model: an `.npz` with `x`, `mask`, and `y`, a folder of
    /// shards, or a MOSAIC folder.
    #[arg(long, conflicts_with_all = [
        "data", "model", "hook", "device", "dtype", "split", "text", "quoting", "escape", "label",
    ])]
    pub activations: Option<PathBuf>,
    /// Where texts and labels stand.
    #[command(flatten)]
    pub columns: ColumnArgs,
    /// What is drawn and split.
    #[command(flatten)]
    pub draw: DrawArgs,
    /// Where the result goes.
    #[command(flatten)]
    pub result: ResultArgs,
}

/// Flags of `sae eval scr`.
#[derive(Args, Debug)]
pub struct ScrArgs {
    /// The autoencoder and its model.
    #[command(flatten)]
    pub place: PlaceArgs,
    /// Texts: `.csv`, `.tsv`, `.jsonl`, `.parquet`, or `hf://datasets/org/name[@revision][/path]`.
    #[arg(long)]
    pub data: PathBuf,
    /// Where texts and labels stand.
    #[command(flatten)]
    pub columns: ColumnArgs,
    /// Column of the spurious attribute.
    #[arg(long)]
    pub spurious: String,
    /// The two labels, the positive one first; may be left out where there are just two.
    #[arg(long, num_args = 2, value_names = ["POSITIVE", "NEGATIVE"])]
    pub pair: Option<Vec<String>>,
    /// The two values of the spurious attribute that go with them.
    #[arg(long, num_args = 2, value_names = ["POSITIVE", "NEGATIVE"])]
    pub spurious_pair: Option<Vec<String>>,
    /// What is drawn and split.
    #[command(flatten)]
    pub draw: DrawArgs,
    /// Where the result goes.
    #[command(flatten)]
    pub result: ResultArgs,
}

/// Where texts and labels stand in a file or a data set of the Hub.
#[derive(Args, Debug)]
pub struct ColumnArgs {
    /// Split of a data set of the Hub.
    #[arg(long, default_value = "train")]
    pub split: String,
    /// Column of the texts.
    #[arg(long, default_value = "text")]
    pub text: String,
    /// Column of the labels.
    #[arg(long, default_value = "label")]
    pub label: String,
    /// How fields are written.
    #[command(flatten)]
    pub table: TableArgs,
}

/// Runs `sae eval sparse-probing`.
pub(super) fn sparse_probing(args: &ClassArgs) -> Result<()> {
    of_classes(args, "sparse_probing", LabelledEvaluation::SparseProbing)
}

/// Runs `sae eval tpp`.
pub(super) fn tpp(args: &ClassArgs) -> Result<()> {
    of_classes(args, "tpp", LabelledEvaluation::Tpp)
}

/// Runs `sae eval scr`.
pub(super) fn scr(args: &ScrArgs) -> Result<()> {
    args.result.check([&*args.data])?;
    let pair = |pair: &Option<Vec<String>>| pair.clone().and_then(|pair| pair.try_into().ok());
    let columns = ScrColumns {
        label: args.columns.label.clone(),
        spurious: args.spurious.clone(),
        pair: pair(&args.pair),
        spurious_pair: pair(&args.spurious_pair),
    };
    let texts = Texts {
        place: &args.place,
        data: &args.data,
        columns: &args.columns,
        spurious: Some(&args.spurious),
        draw: &args.draw,
    };
    let found = texts.evaluate(LabelledEvaluation::Scr(columns))?;
    let from = Some(args.data.display().to_string());
    report::write(&Title { evaluation: "scr", sae: &args.place.sae, from }, &args.result, &found)
}

fn of_classes(args: &ClassArgs, name: &'static str, evaluation: LabelledEvaluation) -> Result<()> {
    args.result.check(args.data.iter().chain(&args.activations).map(PathBuf::as_path))?;
    let path = args.activations.as_ref().or(args.data.as_ref());
    let from = path.map(|path| path.display().to_string());
    let found = match (&args.activations, &args.data) {
        (Some(path), _) => {
            let sae = read_sae_from(&args.place.sae, hub_access().as_ref())?;
            let data = activations(path, (&args.place.sae, &sae), WantedLabels::Classes)?;
            let subject = EvalSae { sae: &sae, run: report::eval_run(&args.place.sae) };
            let job = LabelledJob { subject, evaluation, config: args.draw.config() };
            evaluate_labelled_activations(&data, &job, &Stop::never()).map_err(in_flags)?
        }
        (None, Some(data)) => Texts {
            place: &args.place,
            data,
            columns: &args.columns,
            spurious: None,
            draw: &args.draw,
        }
        .evaluate(evaluation)?,
        (None, None) => unreachable!("one of the two was asked for"),
    };
    report::write(&Title { evaluation: name, sae: &args.place.sae, from }, &args.result, &found)
}

/// Texts with labels, and what is done with them.
struct Texts<'a> {
    place: &'a PlaceArgs,
    data: &'a Path,
    columns: &'a ColumnArgs,
    spurious: Option<&'a str>,
    draw: &'a DrawArgs,
}

impl Texts<'_> {
    fn evaluate(&self, evaluation: LabelledEvaluation) -> Result<EvalFindings> {
        let columns = DatasetConfig {
            label: self.columns.label.clone(),
            group: self.spurious.map(str::to_owned),
            ..self.columns.table.columns(&self.columns.text)?
        };
        let files = data_files(self.data, &self.columns.split, hub_access().as_ref())?;
        let data = read_labelled(self.data, &files, &columns)?;
        let config = self.draw.config();
        // Before the model is opened, which takes longer.
        evaluation.check(&data, &config).map_err(in_flags)?;
        let opened = self.place.open()?;
        let subject = EvalSae { sae: &opened.sae, run: report::eval_run(&self.place.sae) };
        let jobs = [LabelledJob { subject, evaluation, config }];
        let follower = Follower::default();
        let follow = Follow { progress: &|event| follower.show(event), stop: Stop::never() };
        let mut found =
            evaluate_labelled(&opened.site(), &data, &jobs, &follow).map_err(in_flags)?;
        Ok(found.swap_remove(0))
    }
}

/// Reads activations that are as wide as the autoencoder reads, with their classes if asked to.
pub(super) fn activations(
    path: &Path,
    (of, sae): (&Path, &Sae),
    labels: WantedLabels,
) -> Result<ActivationData> {
    say(&PublishedSae { path: of, sae }.scale_note());
    let data = read_activations(path, sae, labels)?;
    if !data.activations.skipped.is_empty() {
        let n = data.activations.skipped.len();
        warn!("{n} examples left out: NaN or infinity in a real token, or no real token");
    }
    Ok(data)
}
