//! `probe demo`: the whole story offline, on text and a model that come with the program.

use std::io::Write;
use std::path::{Path, PathBuf};

use anyhow::{Context, Result};
use attention_probes_activations::write_atomically;
use attention_probes_probes::{Pool, ProbeKind};
use attention_probes_sweep::config::{ArchitectureConfig, DataConfig, GridConfig};
use attention_probes_sweep::{ExperimentReport, SweepConfig, SweepReport};
use clap::Args;

use super::sweep::{EarlierRun, RunArgs, print_report, run_plan};
use crate::input::ignore_broken_pipe;
use crate::table;

/// Movie-review snippets, positive and negative.
const SENTIMENT: &str = include_str!("../../data/sentiment.csv");
/// Passages of children's books.
const PASSAGES: &str = include_str!("../../data/passages.jsonl");

/// Train whole grids of settings of four kinds of probes on every layer of the embedded model, offline.
#[derive(Args, Debug)]
pub struct DemoArgs {
    /// How to run it.
    #[command(flatten)]
    pub run: RunArgs,
}

/// Runs `probe demo`.
///
/// # Errors
///
/// If the output folder cannot be written.
pub fn run(args: &DemoArgs) -> Result<()> {
    let output = args.run.output.clone().unwrap_or_else(|| "results".into());
    let data = output.join("demo-data");
    std::fs::create_dir_all(&data)
        .with_context(|| format!("cannot create `{}`", data.display()))?;
    let sentiment = put(&data.join("sentiment.csv"), SENTIMENT)?;
    let passages = put(&data.join("passages.jsonl"), PASSAGES)?;

    let mut config = config(output, sentiment, passages);
    if let Some(device) = &args.run.device {
        config.device.clone_from(device);
    }
    let overwrite = args.run.overwrite;
    let earlier = EarlierRun { resume: !overwrite, overwrite };
    let report = run_plan(&config.check()?, earlier, &args.run.track)?;
    ignore_broken_pipe(print(&report, args.run.json))
}

/// Prints the results, and what can be done next with the best probe of sentiment.
fn print(report: &SweepReport, json: bool) -> Result<()> {
    print_report(report, json)?;
    if json {
        return Ok(());
    }
    let experiments: Vec<&ExperimentReport> =
        report.experiments.iter().filter(|experiment| experiment.data == "sentiment").collect();
    let Some((experiment, probe)) = table::chosen_of(&experiments) else { return Ok(()) };
    let file = report.folder.join(&experiment.experiment).join("trained").join(&probe.file);
    // The program as it was called, so that the next command works as it stands.
    let program = std::env::args().next().unwrap_or_else(|| "probe".to_owned());
    let mut stdout = std::io::stdout().lock();
    writeln!(stdout, "\nnext:")?;
    writeln!(
        stdout,
        "  echo \"a warm and wonderful film\" | {program} score --probe {}",
        file.display()
    )?;
    writeln!(
        stdout,
        "  {program} sweep YOURS.toml        (begin with examples/configs/demo.toml)"
    )?;
    Ok(())
}

/// Writes a data file, so that it can be looked at and used again.
fn put(path: &Path, text: &str) -> Result<PathBuf> {
    write_atomically(path, |file| file.write_all(text.as_bytes()))?;
    Ok(path.to_owned())
}

/// The sweep of the demo: sentiment of snippets, and whether the next token is ` the`.
fn config(output: PathBuf, sentiment: PathBuf, passages: PathBuf) -> SweepConfig {
    let architecture = |name, config_name: &str, pool| ArchitectureConfig {
        name,
        config_name: config_name.to_owned(),
        pool,
        ..ArchitectureConfig::default()
    };
    SweepConfig {
        run: "demo".to_owned(),
        output,
        data: vec![
            DataConfig { name: "sentiment".to_owned(), path: sentiment, ..DataConfig::default() },
            DataConfig {
                name: "next-the".to_owned(),
                path: passages,
                task: "next_token".to_owned(),
                target: " the".into(),
                balance: true,
                examples_per_text: 4,
                ..DataConfig::default()
            },
        ],
        architectures: vec![
            architecture(ProbeKind::Linear, "linear-last", Pool::Last),
            architecture(ProbeKind::Linear, "linear-mean", Pool::Mean),
            architecture(ProbeKind::Mlp, "mlp-mean", Pool::Mean),
            architecture(ProbeKind::Attention, "attention", Pool::Mean),
        ],
        sweep: GridConfig { batch_size: 64, ..GridConfig::default() },
        ..SweepConfig::default()
    }
}
