//! `sae demo`: attention-output autoencoders of the embedded model, offline, and a page of what
//! their features stand for.

use std::fs;
use std::path::PathBuf;

use anyhow::{Context, Result};
use attention_probes_models::{Dtype, Placement, open_model};
use attention_probes_sae::{SaeRunConfig, read_sae};
use clap::Args;

use super::train::{TrainFlags, print, train};
use super::view::View;
use crate::device;
use crate::sae::texts;

/// What is trained, by the form of any other run.
const CONFIG: &str = include_str!("../../data/sae_demo.toml");

/// Texts of children's books, as `probe demo` reads them.
const PASSAGES: &str = include_str!("../../data/passages.jsonl");

/// Contexts and features of the page.
const PAGE: (usize, usize) = (700, 150);

/// Train autoencoders on attention of the embedded model, and show their features; offline.
#[derive(Args, Debug)]
pub struct DemoArgs {
    /// Folder that holds the runs.
    #[arg(long, default_value = "results")]
    pub output: PathBuf,
    /// `auto`, `cpu`, `wgpu`, `cuda`, or `cuda:N`.
    #[arg(long, default_value = "auto")]
    pub device: String,
    /// Go on with a demo that was stopped.
    #[arg(long)]
    pub resume: bool,
    /// Print one JSON object instead of a table.
    #[arg(long)]
    pub json: bool,
}

/// Runs `sae demo`.
///
/// # Errors
///
/// If the output cannot be written.
pub fn run(args: &DemoArgs) -> Result<()> {
    let mut config: SaeRunConfig = toml::from_str(CONFIG).context("the demo's configuration")?;
    config.output.clone_from(&args.output);
    config.device.clone_from(&args.device);
    let folder = args.output.join(&config.run);
    fs::create_dir_all(&folder)?;
    config.data.path = folder.join("passages.jsonl");
    fs::write(&config.data.path, PASSAGES)?;
    let trained =
        train(&config, TrainFlags { resume: args.resume, overwrite: false, dry_run: false })?;
    print(&trained, args.json)?;
    let device = device::parse(&config.device)?;
    let placement = Placement { device: device.clone(), dtype: Dtype::Auto };
    let model = open_model(&config.model.name, None, placement)?;
    let data = &config.data;
    let size = (data.context_size, data.prepend_bos);
    let contexts = texts::contexts(&data.path, &texts::columns_of_run(data)?, size, &model)?;
    for found in trained {
        let (sae, hook) = (read_sae(&found.folder)?, found.hook.parse()?);
        let view = View { sae: &sae, model: &model, device: &device, contexts: &contexts, hook };
        view.write(&folder.join(format!("{}.html", found.name)), &found.folder, PAGE)?;
    }
    Ok(())
}
