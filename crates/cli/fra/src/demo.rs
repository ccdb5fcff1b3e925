//! `fra demo`: an induction head of an embedded model, the pairs of features behind it, and what
//! the model loses without them, offline.

use std::fs;

use anyhow::{Context, Result};
use attention_probes_cli::demo_args::DemoRunArgs;
use attention_probes_cli::device;
use attention_probes_cli::output::check_utf8;
use attention_probes_cli::progress::Progress;
use attention_probes_cli::stdout::print;
use attention_probes_cli_sae_words::{Follower, in_flags};
use attention_probes_models::memory_limit_bytes;
use attention_probes_pages_sae::fra::{FraDemoConfig, FraRunError, run_fra_demo};
use attention_probes_pages_sae::text::fra_demo_text;
use attention_probes_sae::{Follow, SaeRunOptions};
use clap::{Args, ValueEnum};

use super::told::show;

/// Find an induction head of an embedded model and the pairs of features behind it; offline.
#[derive(Args, Debug)]
pub struct DemoArgs {
    /// The model.
    #[arg(long, default_value = "demo-gpt2")]
    pub model: DemoModel,
    /// Tokens that the autoencoder is trained on, instead of the demo's own number.
    #[arg(long)]
    pub tokens: Option<u64>,
    /// How it is run.
    #[command(flatten)]
    pub run: DemoRunArgs,
}

/// The embedded models.
#[derive(Clone, Copy, Debug, ValueEnum)]
pub enum DemoModel {
    /// Layer norms; positions are embedded.
    DemoGpt2,
    /// Root-mean-square norms, of queries and keys too; positions turn queries and keys.
    DemoGemma,
}

impl DemoModel {
    fn name(self) -> &'static str {
        match self {
            Self::DemoGpt2 => "demo-gpt2",
            Self::DemoGemma => "demo-gemma",
        }
    }
}

/// Runs `fra demo`.
///
/// # Errors
///
/// If the output cannot be written.
pub fn run(args: &DemoArgs) -> Result<()> {
    check_utf8(&args.run.output)?;
    let config = FraDemoConfig {
        model: args.model.name().to_owned(),
        tokens: args.tokens,
        output: args.run.output.clone(),
        device: args.run.device.clone(),
    };
    let folder = args.run.output.join(format!("fra-{}", config.model));
    fs::create_dir_all(&folder).with_context(|| format!("cannot make `{}`", folder.display()))?;
    let (device, follower) = (device::parse(&args.run.device)?, Follower::default());
    let options = SaeRunOptions {
        earlier: args.run.earlier(),
        memory_bytes: memory_limit_bytes(),
        follow: Follow { progress: &|event| follower.show(event), ..Follow::default() },
        ..SaeRunOptions::new(&device)
    };
    let (mut bar, told) = (Progress::default(), ("passages.jsonl", "pairs of features"));
    let demo = run_fra_demo(&config, &options, &mut |event| show(&mut bar, event, told));
    bar.clear();
    let demo = demo.map_err(|error| match error {
        FraRunError::Sae(error) => in_flags(error),
        FraRunError::Report(error) => error.into(),
        FraRunError::Activation(error) => (*error).into(),
        error => error.into(),
    })?;
    let text = if args.run.json {
        format!("{:#}\n", demo.to_json())
    } else {
        let (n, page) = (demo.files.len() + 1, demo.page());
        format!("{}\nwrote {n} files; begin with {}\n", fra_demo_text(&demo), page.display())
    };
    print(&text)
}
