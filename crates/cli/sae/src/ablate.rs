//! `sae ablate`: whether guidance by attention helps, against a baseline and three controls.

use std::fmt::Write as _;
use std::io::Write as _;
use std::path::PathBuf;

use anyhow::Result;
use attention_probes_activations::write_atomically;
use attention_probes_cli::device;
use attention_probes_cli::earlier_args::EarlierArgs;
use attention_probes_cli::hub::hub_access;
use attention_probes_cli::output::check_utf8;
use attention_probes_cli::stdout::print;
use attention_probes_cli_sae_words::Follower;
use attention_probes_cli_sae_words::in_flags;
use attention_probes_errors::Stop;
use attention_probes_models::memory_limit_bytes;
use attention_probes_pages_sae::sae_ablation_page;
use attention_probes_pages_sae::text::{ablation_text, arms_text};
use attention_probes_sae::ablation::{AblationConfig, run_ablation};
use attention_probes_sae::{Follow, SaeRunOptions, check_sae_run};
use clap::Args;

use super::train::say_time;

/// Compare autoencoders that attention guides with one that nothing guides, and with controls.
#[derive(Args, Debug)]
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
    /// What becomes of a run that is there already.
    #[command(flatten)]
    pub earlier: EarlierArgs,
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
        earlier: args.earlier.earlier(),
        memory_bytes: memory_limit_bytes(),
        follow: Follow { progress: &|event| follower.show(event), stop: Stop::never() },
        ..SaeRunOptions::new(&device)
    };
    if args.dry_run {
        say_time(check_sae_run(&plan, &options)?.time);
        let text = arms_text(&config);
        return print(&text);
    }
    let report = run_ablation(&config, &options).map_err(in_flags)?;
    let page = sae_ablation_page(&report)?.to_html()?;
    let html = report.folder().join("ablation.html");
    write_atomically(&html, |file| file.write_all(page.as_bytes()))?;
    let text = if args.json {
        report.to_json()?
    } else {
        let mut text = ablation_text(&report);
        let _ = writeln!(text, "\n{}\n", report.verdict.text);
        let json = report.json_path();
        let _ = writeln!(text, "wrote {}\nwrote {}", json.display(), html.display());
        text
    };
    print(&text)
}
