//! `sae ablate`: whether guidance by attention helps, against a baseline and three controls.

use std::fmt::Write as _;
use std::io::Write as _;
use std::path::PathBuf;

use anyhow::Result;
use attention_probes_activations::write_atomically;
use attention_probes_cli::device;
use attention_probes_cli::hub::hub_access;
use attention_probes_cli::output::check_utf8;
use attention_probes_cli::stdout::print;
use attention_probes_cli_sae_words::{Follower, in_flags};
use attention_probes_errors::Stop;
use attention_probes_models::memory_limit_bytes;
use attention_probes_pages_sae::sae_ablation_page;
use attention_probes_pages_sae::text::{ablation_text, arms_text};
use attention_probes_sae::ablation::{AblationConfig, run_ablation};
use attention_probes_sae::{Follow, SaeRunOptions, check_sae_run};
use clap::Args;

use super::run_args::RunArgs;
use super::train::say_time;

/// Compare autoencoders that attention guides with one that nothing guides, and with controls.
#[derive(Args, Debug)]
pub struct AblateArgs {
    /// The ablation, in TOML; paths in it are relative to its folder.
    pub config: PathBuf,
    /// How the runs are made.
    #[command(flatten)]
    pub run: RunArgs,
}

/// Runs `sae ablate`.
///
/// # Errors
///
/// If the configuration, the model, the texts, or the output is at fault, or a training diverges.
pub fn run(args: &AblateArgs) -> Result<()> {
    let mut config = AblationConfig::read(&args.config)?;
    args.run.put(&mut config.output, &mut config.device, &mut config.train.tokens);
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
        earlier: args.run.earlier.earlier(),
        memory_bytes: memory_limit_bytes(),
        follow: Follow { progress: &|event| follower.show(event), stop: Stop::never() },
        ..SaeRunOptions::new(&device)
    };
    if args.run.dry_run {
        say_time(check_sae_run(&plan, &options)?.time);
        let text = arms_text(&config);
        return print(&text);
    }
    let report = run_ablation(&config, &options).map_err(in_flags)?;
    let page = sae_ablation_page(&report)?.to_html()?;
    let html = report.folder().join("ablation.html");
    write_atomically(&html, |file| file.write_all(page.as_bytes()))?;
    let text = if args.run.json {
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
