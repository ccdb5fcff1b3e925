//! A probe beside a model: one activation after another, a verdict after each.
//!
//! ```text
//! cargo run --release --example streaming
//! ```
//!
//! Trains a probe that weighs tokens on whether a sentence is about the sea, and watches a text that
//! turns to it. Prints the probability after each token; the state does not grow with the text.

#![expect(clippy::print_stdout, reason = "an example prints what it finds")]

use attention_probes::prelude::*;

const TEXT: &str = "He went home and slept, and dreamed of a ship on the waves of the sea.";

fn main() -> Result<(), Box<dyn std::error::Error>> {
    let file = std::env::temp_dir().join("attention-probes-sea.csv");
    let places = [("ship sailed over the waves", "sea"), ("horse ran over the field", "land")];
    let begins = ["The old", "A small", "Every", "That big", "One fast", "Her", "The king's", "My"];
    let ends = ["in the night", "with the wind", "and was happy", "for a long time"];
    let mut table = vec!["text,label".to_owned()];
    for begin in begins {
        for end in ends {
            for (place, label) in places {
                table.push(format!("{begin} {place} {end}.,{label}"));
            }
        }
    }
    std::fs::write(&file, table.join("\n"))?;

    let device = Device::flex();
    let (hook, model) = (HookPoint::ResidPost(2), open_model("demo-gpt2", None, &device)?);
    let place = TextsConfig::new(Place::resid_post(2));
    let data = TrainingData::from_texts(&Dataset::labelled(file)?, &model, &place, &device)?;
    let config = AttentionProbeTrainConfig { n_steps: 100, ..Default::default() };
    let probe = train_probe(&data, &config, &device)?;
    let names = data.class_names();

    let ids = model.tokenizer.encode(TEXT)?.ids;
    let batch = TokenBatch::new(&[&ids], PaddingSide::Right, &device)?;
    let cache = model.model.run_with_cache(&batch, &HookSet::new([hook]))?;
    let rows: Vec<f32> =
        cache.stream(hook).ok_or("the hook was asked for")?.into_data().try_into_vec()?;

    let mut stream = StreamingProbe::new(probe.config(), &probe.state()?)?;
    for (id, row) in ids.iter().zip(rows.chunks(data.d_model())) {
        let logit = f64::from(stream.push(row)[0]);
        let probability = 1.0 / (1.0 + (-logit).exp());
        println!("{:10} {}: {probability:.3}", model.tokenizer.token_text(*id)?, names[1]);
    }
    stream.reset(); // the next token begins another text
    Ok(())
}
