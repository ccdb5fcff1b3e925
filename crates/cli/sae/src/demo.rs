//! `sae demo`: attention-output autoencoders of the embedded model, offline, and a page of what
//! their features stand for.

use std::fs;

use anyhow::Result;
use attention_probes_activations::demo::PASSAGES;
use attention_probes_cli::demo_args::DemoRunArgs;
use attention_probes_cli::device;
use attention_probes_errors::Stop;
use attention_probes_models::{Dtype, Placement, open_model};
use attention_probes_pages_sae::{SaePageConfig, sae_page};
use attention_probes_sae::eval::SaeSite;
use attention_probes_sae::{PublishedSae, demo_sae_run, read_sae};
use clap::Args;

use super::train::{TrainFlags, print_trained, train};
use super::view::write_page;

/// Contexts and features of the page.
const PAGE: SaePageConfig =
    SaePageConfig { max_contexts: 700, n_features: 150, stop: Stop::never() };

/// Train autoencoders on attention of the embedded model, and show their features; offline.
#[derive(Args, Debug)]
pub struct DemoArgs {
    /// How it is run.
    #[command(flatten)]
    pub run: DemoRunArgs,
}

/// Runs `sae demo`.
///
/// # Errors
///
/// If the output cannot be written.
pub fn run(args: &DemoArgs) -> Result<()> {
    let mut config = demo_sae_run(&args.run.output)?;
    config.device.clone_from(&args.run.device);
    let folder = args.run.output.join(&config.run);
    fs::create_dir_all(&folder)?;
    fs::write(&config.data.path, PASSAGES)?;
    let trained = train(&config, TrainFlags { earlier: args.run.earlier(), dry_run: false })?;
    print_trained(&trained, args.run.json)?;
    let device = device::parse(&config.device)?;
    let placement = Placement { device: device.clone(), dtype: Dtype::Auto };
    let model = open_model(&config.model.name, None, placement)?;
    let data = &config.data;
    let contexts = data.read_contexts(&model, None)?;
    for found in trained {
        let (sae, hook) = (read_sae(&found.folder)?, found.hook.parse()?);
        let site = SaeSite {
            model: &model,
            device: &device,
            hook,
            context_size: contexts.length(),
            prepend_bos: contexts.has_bos(),
        };
        let subject = PublishedSae { path: &found.folder, sae: &sae };
        let page = sae_page(&site, subject, &contexts, &PAGE)?;
        write_page(&page, &folder.join(format!("{}.html", found.name)))?;
    }
    Ok(())
}
