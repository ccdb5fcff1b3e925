//! A kind of probe of one's own: swept next to attention, saved, loaded, and read token by token.
//!
//! ```text
//! cargo run --release --example own_probe
//! ```
//!
//! The kind adds the highest and the lowest score of a text, so that one telling word in either
//! direction counts. Prints the test accuracy of both kinds on movie reviews.

#![expect(clippy::print_stdout, reason = "an example prints what it finds")]

use std::error::Error;
use std::fs;

use attention_probes::activations::demo::SENTIMENT;
use attention_probes::prelude::*;
use attention_probes::sweep::config::{ArchitectureConfig, DataConfig, GridConfig, Layers};
use serde::{Deserialize, Serialize};

/// `logits[b,c] = max over p of s[b,p,c] + min over p of s[b,p,c] + bias[c]`
#[derive(Clone, Debug, Serialize, Deserialize)]
struct Extremes {}

impl ProbeKind for Extremes {
    fn name(&self) -> &'static str {
        "extremes"
    }

    fn layout(&self, size: ProbeSize) -> Layout {
        Layout::new().rows("weight", size.n_out).small("bias", [size.n_out])
    }

    fn forward(&self, batch: &Batch) -> Tensor<3> {
        let [n_trials, n_out, _] = batch.dims();
        let scores = batch.product("weight"); // [n_trials, n_out, batch, pos]
        let highest = (scores.clone() + batch.padding()).max_dim(3);
        let lowest = (scores - batch.padding()).min_dim(3);
        let sums = (highest + lowest).reshape(batch.dims());
        sums + batch.array("bias", [n_trials, n_out, 1])
    }
}

fn main() -> Result<(), Box<dyn Error>> {
    let folder = std::env::temp_dir().join("attention-probes-own-probe");
    fs::create_dir_all(&folder)?;
    let path = folder.join("sentiment.csv");
    fs::write(&path, SENTIMENT)?;

    let architecture =
        |name: &str| ArchitectureConfig { name: name.to_owned(), ..ArchitectureConfig::default() };
    let mut config = SweepConfig {
        output: folder,
        data: vec![DataConfig { path, ..DataConfig::default() }],
        architectures: vec![architecture("attention"), architecture("extremes")],
        sweep: GridConfig { learning_rates: Some(vec![1e-3, 5e-3]), ..GridConfig::default() },
        ..SweepConfig::default()
    };
    config.activations.layers = Layers::One(-1);
    config.sweep.weight_decays = vec![0.0];

    let kinds = Kinds::builtin().with(Extremes {});
    let device = Device::flex();
    let options = RunOptions { earlier: EarlierRun::Overwrite, ..RunOptions::new(&device) };
    let report = run_sweep(&config.check_with(&kinds)?, &options, &mut NoTracker)?;
    let experiment = &report.experiments[0];
    for found in &experiment.architectures {
        println!("{:10} test accuracy {:.3}", found.config_name, found.test.accuracy);
    }

    let trained = report.folder.join(&experiment.experiment).join("trained");
    let saved = SavedProbe::load_with(&trained.join(&experiment.architectures[1].file), &kinds)?;
    let mut stream = StreamingProbe::on_device(saved.config(), &saved.state, &device)?;
    let logit = stream.push(&vec![0.5; saved.config().d_model()])[0];
    println!(
        "loaded a probe of kind `{}`, logit of a token: {logit:.3}",
        saved.config().kind().name()
    );
    Ok(())
}
