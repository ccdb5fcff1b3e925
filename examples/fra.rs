//! Resolves the attention of one text into pairs of features, in one call.
//!
//! ```text
//! cargo run --release --example fra
//! ```
//!
//! Trains a small autoencoder for a few seconds on what layer 3 of the embedded model reads, and
//! finds the head that looks behind earlier occurrences of a token. Prints the features that are
//! strongest in a text where a sentence occurs twice, the pairs of features that make that head look
//! there, and how well the four terms add up to the model's own scores.

#![expect(clippy::print_stdout, reason = "an example prints what it finds")]

use attention_probes::models::{HookPoint, LanguageModel, open_model};
use attention_probes::sae::fra::{FraLayer, FraRank, FraReader, FraReaderConfig};
use attention_probes::sae::fra::{RepeatedTokensConfig, capture};
use attention_probes::sae::{
    LearningRateSchedule, Sae, SaeError, SaeTrainConfig, SaeTrainer, TrainArchitecture,
};
use burn::tensor::Device;

const TEXT: &str = "The old king of the north had a daughter. The old king of the north had a son.";
const N_STEPS: usize = 300;

fn main() -> Result<(), Box<dyn std::error::Error>> {
    let device = Device::flex();
    let model = open_model("demo-gpt2", None, &device)?;
    let reader = FraReader::new(&model, &device, FraReaderConfig::default());
    let repeated = reader.repeated_tokens(RepeatedTokensConfig::default());
    let induction = reader.induction_heads(&repeated)?[0];
    let sae = train(&model, &device, induction.layer, &repeated)?;
    let layer = FraLayer::of(&sae, &*model.model)?;

    let fra = layer.text(&reader, TEXT)?;
    let tokens = &fra.features().tokens;
    println!("features of {} tokens, the strongest first:", tokens.len());
    for found in fra.features().top(5) {
        let token = &tokens[found.position].text;
        let (feature, activation) = (found.feature, found.activation);
        println!("  {feature:<4} {activation:>7.3} at {token:?}, on {} tokens", found.n_active);
    }

    let head = fra.head(induction.head)?;
    println!("\nlayer {}, head {}, pairs that look back:", induction.layer, induction.head);
    for pair in head.top(5, FraRank::Induction) {
        println!("  {pair}");
    }

    let (sums, scores) = (head.terms()?.scores(), fra.scores(induction.head)?);
    let n = head.n_positions();
    let seen = (0..n * n).filter(|i| head.sees(i / n, i % n));
    let error = seen.map(|i| (sums[i] - scores[i]).abs()).fold(0.0, f32::max);
    println!("\nthe four terms add up to the model's scores within {error:.1e}");
    Ok(())
}

/// An autoencoder of what the attention of a layer reads in some texts.
fn train(
    model: &LanguageModel,
    device: &Device,
    layer: usize,
    texts: &[Vec<u32>],
) -> Result<Sae, SaeError> {
    let (hook, d_in) = (HookPoint::Ln1Normalized(layer), model.model.shape().d_model);
    let architecture = TrainArchitecture::TopK { k: 8, aux_loss_coefficient: 1.0 };
    let learning_rate = LearningRateSchedule::constant(2e-3);
    let (d_sae, others) = (4 * d_in, SaeTrainConfig::default());
    let config = SaeTrainConfig { architecture, d_sae, learning_rate, ..others };
    let mut trainer = SaeTrainer::new(config, d_in, 0)?;
    let mut batches = Vec::new();
    for ids in texts {
        batches.extend(capture(&*model.model, device, ids, &[hook])?.remove(&hook));
    }
    for step in 0..N_STEPS {
        trainer.step(&batches[step % batches.len()])?;
    }
    let mut sae = trainer.sae();
    sae.set_hook(hook);
    Ok(sae)
}
