//! `sae ablate`: whether guidance by attention helps, against a baseline and three controls.

use std::fmt::Write as _;
use std::io::Write as _;
use std::path::PathBuf;

use anyhow::Result;
use attention_probes_activations::write_atomically;
use attention_probes_errors::Stop;
use attention_probes_metrics::SeedSummary;
use attention_probes_pages::sae_ablation_page;
use attention_probes_sae::ablation::{AblationConfig, AblationReport, Arm, run_ablation};
use attention_probes_sae::{Follow, SaeRunOptions, check_sae_run};
use clap::Args;

use super::train::say_time;
use crate::hub::hub_access;
use crate::input::ignore_broken_pipe;
use crate::memory::limit_bytes;
use crate::output::check_utf8;
use crate::sae::flag_words::in_flags;
use crate::sae::follow::Follower;
use crate::{device, table};

/// Compare autoencoders that attention guides with one that nothing guides, and with controls.
#[derive(Args, Debug)]
#[expect(clippy::struct_excessive_bools, reason = "each is a flag")]
pub struct AblateArgs {
    /// The ablation, in TOML; paths in it are relative to its folder.
    pub config: PathBuf,
    /// Folder that holds the runs, instead of the configuration's.
    #[arg(long)]
    pub output: Option<PathBuf>,
    /// `auto`, `cpu`, `wgpu`, `cuda`, or `cuda:N`, instead of the configuration's.
    #[arg(long)]
    pub device: Option<String>,
    /// Tokens that each autoencoder sees, instead of the configuration's.
    #[arg(long)]
    pub tokens: Option<u64>,
    /// Go on with an ablation that was stopped.
    #[arg(long, conflicts_with = "overwrite")]
    pub resume: bool,
    /// Replace a run that is there already; files that this program did not write stay.
    #[arg(long)]
    pub overwrite: bool,
    /// Check everything and print the arms, but train nothing.
    #[arg(long)]
    pub dry_run: bool,
    /// Print one JSON object instead of a table.
    #[arg(long)]
    pub json: bool,
}

/// Runs `sae ablate`.
///
/// # Errors
///
/// If the configuration, the model, the texts, or the output is at fault, or a training diverges.
pub fn run(args: &AblateArgs) -> Result<()> {
    let mut config = AblationConfig::read(&args.config)?;
    if let Some(output) = &args.output {
        config.output.clone_from(output);
    }
    if let Some(device) = &args.device {
        config.device.clone_from(device);
    }
    config.train.tokens = args.tokens.unwrap_or(config.train.tokens);
    for path in config.evaluation.labelled.iter().map(|data| &data.path) {
        check_utf8(path)?;
    }
    check_utf8(&config.output)?;
    check_utf8(&config.data.path)?;
    let plan = config.check()?;
    let (device, hub, follower) =
        (device::parse(&config.device)?, hub_access(), Follower::default());
    let options = SaeRunOptions {
        hub: hub.as_ref(),
        resume: args.resume,
        overwrite: args.overwrite,
        memory_bytes: limit_bytes(),
        follow: Follow { progress: &|event| follower.show(event), stop: Stop::never() },
        ..SaeRunOptions::new(&device)
    };
    if args.dry_run {
        say_time(check_sae_run(&plan, &options)?.time);
        return print_arms(&config.arms(), config.seeds.len());
    }
    let report = run_ablation(&config, &options).map_err(in_flags)?;
    let page = sae_ablation_page(&report)?.to_html()?;
    let html = report.folder().join("ablation.html");
    write_atomically(&html, |file| file.write_all(page.as_bytes()))?;
    let text = if args.json {
        report.to_json()?
    } else {
        let mut text = summary(&report);
        let _ = writeln!(text, "\n{}\n", report.verdict.text);
        let json = report.json_path();
        let _ = writeln!(text, "wrote {}\nwrote {}", json.display(), html.display());
        text
    };
    ignore_broken_pipe(write!(std::io::stdout().lock(), "{text}").map_err(Into::into))
}

fn print_arms(arms: &[Arm], n_seeds: usize) -> Result<()> {
    let mut rows = vec![["arm", "guided by"].map(str::to_owned)];
    rows.extend(arms.iter().map(|arm| [arm.name.clone(), arm.label.clone()]));
    let mut text = String::new();
    table::aligned(&mut text, &rows);
    let _ = writeln!(text, "{} arms of {n_seeds} seeds", arms.len());
    ignore_broken_pipe(write!(std::io::stdout().lock(), "{text}").map_err(Into::into))
}

/// Means and half-widths of intervals, an arm in a row.
fn summary(report: &AblationReport) -> String {
    let metrics = &report.metrics;
    let mut header = vec!["guided by".to_owned()];
    header.extend(metrics.iter().map(|metric| metric.label.clone()));
    let mut rows = vec![header];
    for (i, arm) in report.arms.iter().enumerate() {
        let mut row = vec![arm.label.clone()];
        row.extend(metrics.iter().map(|metric| {
            let summary = SeedSummary::new(&metric.by_arm[i], 0.95);
            summary.map_or("-".to_owned(), |one| {
                format!("{:.4} ± {:.4}", one.mean, one.interval.upper - one.mean)
            })
        }));
        rows.push(row);
    }
    let mut text = String::new();
    table::aligned(&mut text, &rows);
    text
}
