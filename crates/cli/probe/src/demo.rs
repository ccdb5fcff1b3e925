//! `probe demo`: the whole story offline, on text and a model that come with the program.

use std::io::Write;

use anyhow::{Context, Result};
use attention_probes_activations::demo::{PASSAGES, SENTIMENT};
use attention_probes_activations::{EarlierRun, write_atomically};
use attention_probes_cli::stdout::print;
use attention_probes_sweep::{ExperimentReport, SweepReport, chosen_experiment, demo_sweep};
use clap::Args;

use super::sweep::{RunArgs, print_report, run_plan};

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
    for (name, text) in [("sentiment.csv", SENTIMENT), ("passages.jsonl", PASSAGES)] {
        write_atomically(&data.join(name), |file| file.write_all(text.as_bytes()))?;
    }
    let mut config = demo_sweep(&output);
    if let Some(device) = &args.run.device {
        config.device.clone_from(device);
    }
    let earlier = if args.run.overwrite { EarlierRun::Overwrite } else { EarlierRun::Resume };
    let report = run_plan(&config.check()?, earlier, &args.run.track)?;
    print_report(&report, args.run.json)?;
    if args.run.json { Ok(()) } else { print_next(&report) }
}

/// Prints what can be done next with the best probe of sentiment.
fn print_next(report: &SweepReport) -> Result<()> {
    let experiments: Vec<&ExperimentReport> =
        report.experiments.iter().filter(|experiment| experiment.data == "sentiment").collect();
    let Some((experiment, probe)) = chosen_experiment(&experiments) else { return Ok(()) };
    let file = report.folder.join(&experiment.experiment).join("trained").join(&probe.file);
    // The program as it was called, so that the next command works as it stands.
    let program = std::env::args().next().unwrap_or_else(|| "probe".to_owned());
    print(&format!(
        "\nnext:\n  echo \"a warm and wonderful film\" | {program} score --probe {}\n  {program} \
         sweep YOURS.toml        (begin with examples/configs/demo.toml)\n",
        file.display()
    ))
}
