//! Trains a sparse autoencoder on a model's activations, saves it, and looks at its features.
//!
//! ```text
//! cargo run --release --example autoencoder
//! ```
//!
//! Trains for some seconds on film reviews, at the end of layer 2. Prints how sparse and how exact the
//! code is, and the tokens on which the strongest features are active in a sentence.

#![expect(clippy::print_stdout, reason = "an example prints what it finds")]

use attention_probes::activations::demo::SENTIMENT;
use attention_probes::prelude::*;
use attention_probes::sae::fra::{capture, capture_texts};
use attention_probes::sae::{
    LearningRateSchedule, SaeTrainConfig, SaeTrainer, TrainArchitecture, read_sae, write_sae_lens,
};

const TEXT: &str = "The story is slow, but the actors are very good and the end is beautiful.";

fn main() -> Result<(), Box<dyn std::error::Error>> {
    let device = Device::flex();
    let model = open_model("demo-gpt2", None, &device)?;
    let (hook, d_in) = (HookPoint::ResidPost(2), model.model.shape().d_model);

    let mut texts = Vec::new();
    for review in SENTIMENT.lines().skip(1).take(600) {
        texts.push(model.tokenizer.encode_up_to(review, 64)?.ids);
    }
    let mut rows = Vec::new();
    for text in capture_texts(&*model.model, &device, &texts, &[hook])? {
        rows.extend(text?.remove(&hook).unwrap_or_default());
    }

    let architecture = TrainArchitecture::TopK { k: 16, aux_loss_coefficient: 1.0 };
    let learning_rate = LearningRateSchedule::constant(1e-3);
    let config =
        SaeTrainConfig { architecture, d_sae: 8 * d_in, learning_rate, ..Default::default() };
    let mut trainer = SaeTrainer::new(config, d_in, 0)?;
    let n_steps = 300;
    for (step, batch) in rows.chunks_exact(1024 * d_in).cycle().take(n_steps).enumerate() {
        let report = trainer.step(batch)?;
        if (step + 1) % 100 == 0 {
            println!(
                "step {}: {:.1} features, {:.3} of the variance left",
                step + 1,
                report.l0,
                report.fvu
            );
        }
    }

    let mut sae = trainer.sae();
    sae.set_hook(hook);
    let folder = std::env::temp_dir().join("attention-probes-autoencoder");
    write_sae_lens(&sae, &folder)?;
    println!("saved {}, which SAELens loads", folder.display());

    let sae = read_sae(&folder)?;
    let ids = model.tokenizer.encode(TEXT)?.ids;
    let x = capture(&*model.model, &device, &ids, &[hook])?.remove(&hook).unwrap_or_default();
    for (position, (features, values)) in sae.encode(&x)?.codes.rows().enumerate().skip(1) {
        let strongest = features.iter().zip(values).max_by(|a, b| a.1.total_cmp(b.1));
        let token = model.tokenizer.token_text(ids[position])?;
        if let Some((feature, value)) = strongest {
            println!("{token:12} feature {feature:<4} {value:.2}");
        }
    }
    Ok(())
}
