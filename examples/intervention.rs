//! Changes what a language model computes on the way, and sees what becomes of its prediction.
//!
//! ```text
//! cargo run --release --example intervention
//! ```
//!
//! A name occurs twice; which heads bring back what followed it the first time? Prints the
//! probability of that token with each head of the model set to zero, where it changes most.

#![expect(clippy::print_stdout, reason = "an example prints what it finds")]

use attention_probes::prelude::*;
use burn::tensor::activation::log_softmax;

const TEXT: &str = "The old king of the north had a daughter. The old king of the north had a son. \
                    The old king of the";
const NEXT: &str = " north";

fn main() -> Result<(), Box<dyn std::error::Error>> {
    let device = Device::default();
    let model = open_model("demo-gpt2", None, &device)?;
    let ids = model.tokenizer.encode(TEXT)?.ids;
    let next = model.tokenizer.encode_without_special(NEXT)?.ids[0] as usize;
    let batch = TokenBatch::new(&[&ids], PaddingSide::Right, &device)?;

    let probability = |changes: &[Intervention]| -> Result<f64, Box<dyn std::error::Error>> {
        let request = ForwardRequest { interventions: changes, ..ForwardRequest::logits() };
        let logits =
            model.model.execute(&batch, &request)?.logits.ok_or("logits were asked for")?;
        let at_the_end = logits.narrow(1, ids.len() - 1, 1);
        let log_probability = log_softmax(at_the_end, 2).narrow(2, next, 1);
        Ok(f64::from(log_probability.exp().into_scalar::<f32>()))
    };

    let before = probability(&[])?;
    println!("probability of {NEXT:?} after {TEXT:?}: {before:.3}");
    let shape = model.model.shape();
    let mut found = Vec::new();
    for layer in 0..shape.n_layers {
        for head in 0..shape.n_heads {
            let without = Intervention::zero(HookPoint::Z(layer)).on_heads([head]);
            found.push((probability(&[without])?, layer, head));
        }
    }
    found.sort_by(|a, b| (b.0 - before).abs().total_cmp(&(a.0 - before).abs()));
    for (after, layer, head) in &found[..5] {
        println!("without head {head} of layer {layer}: {after:.3}");
    }
    Ok(())
}
