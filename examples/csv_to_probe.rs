//! From a file of texts and labels to a saved probe and a scored text.
//!
//! ```text
//! cargo run --release --example csv_to_probe [FILE.csv [MODEL]]
//! ```
//!
//! The file has the columns `text` and `label`; without one, film reviews. Prints what the probe says
//! of texts that it has not seen, and of every token of a sentence.

#![expect(clippy::print_stdout, reason = "an example prints what it finds")]

use attention_probes::activations::demo::SENTIMENT;
use attention_probes::prelude::*;

fn main() -> Result<(), Box<dyn std::error::Error>> {
    let mut arguments = std::env::args().skip(1);
    let folder = std::env::temp_dir();
    let file = if let Some(file) = arguments.next() {
        file.into()
    } else {
        let file = folder.join("attention-probes-reviews.csv");
        std::fs::write(&file, SENTIMENT)?;
        file
    };
    let device = Device::default();
    let model = open_model(&arguments.next().unwrap_or("demo-gpt2".to_owned()), None, &device)?;
    let in_the_middle = Place::resid_post(model.model.shape().n_layers / 2);

    let texts = Dataset::labelled(file)?;
    let data = TrainingData::from_texts(&texts, &model, &TextsConfig::new(in_the_middle), &device)?;
    let sides = data.split(&SplitConfig { validation: 0.0, test: 0.3, seed: 42 })?;
    let config =
        AttentionProbeTrainConfig { weight_decay: 1e-3, n_steps: 50, ..Default::default() };
    let probe = train_probe(&sides.train, &config, &device)?;

    let test = sides.test.ok_or("a part was asked for")?;
    let report = compute_metrics(&evaluate_probe(&probe, &test, &device)?, &test, 42)?;
    println!("{} texts to train on, {} to test", sides.train.n_examples(), test.n_examples());
    println!("test accuracy {:.3}, most frequent class {:.3}", report.accuracy, majority(&test));

    let metadata = sides.train.metadata(probe.config());
    let path = SavedProbe::from_probe(&probe, metadata)?.save(&folder, "csv_to_probe")?;
    println!("saved {}", path.display());
    let saved = SavedProbe::load(&path)?;
    let opened = saved.open_model(&ModelChoice::default(), None, &device)?;
    for token in saved.score(&opened, "A sad film, and a great one.")?.tokens.unwrap_or_default() {
        println!("{:12} {:?}", token.text.clone().unwrap_or_default(), token.score());
    }
    Ok(())
}

/// Share of the most frequent class.
fn majority(data: &TrainingData) -> f64 {
    let of_class = |class: usize| data.classes().iter().filter(|label| **label == class).count();
    let most = (0..data.class_names().len()).map(of_class).max().unwrap_or(0);
    most as f64 / data.n_examples() as f64
}
