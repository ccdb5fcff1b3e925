//! Reads activations of a language model at named hooks.
//!
//! ```text
//! cargo run --release --example capture
//! ```
//!
//! Prints, for every token of a text, the norm of the residual stream after two layers and the token
//! that the first head of layer 1 looks at most.

#![expect(clippy::print_stdout, reason = "an example prints what it finds")]

use attention_probes::prelude::*;

const TEXT: &str = "Once upon a time there was a little girl who had a red hat.";

fn main() -> Result<(), Box<dyn std::error::Error>> {
    let device = Device::default();
    let model = open_model("demo-gpt2", None, &device)?;
    let ids = model.tokenizer.encode(TEXT)?.ids;
    let batch = TokenBatch::new(&[&ids], PaddingSide::Right, &device)?;

    let pattern = HookPoint::Pattern(1);
    let names = ["blocks.0.hook_resid_post", "blocks.3.hook_resid_post"];
    let mut hooks: Vec<HookPoint> = HookSet::parse(names)?.iter().collect();
    hooks.push(pattern);
    let cache = model.model.run_with_cache(&batch, &HookSet::new(hooks.clone()))?;

    // Lengths of the residual stream, [pos] each.
    let norms = hooks[..2].iter().map(|hook| -> Result<Vec<f32>, Box<dyn std::error::Error>> {
        let stream = cache.stream(*hook).ok_or("the hook was asked for")?;
        Ok(stream.square().sum_dim(2).sqrt().into_data().try_into_vec()?)
    });
    let norms = norms.collect::<Result<Vec<_>, _>>()?;
    // The key with the largest weight of each query of the first head, [pos].
    let weights = cache.heads(pattern).ok_or("the hook was asked for")?;
    let strongest: Vec<i64> =
        weights.narrow(1, 0, 1).argmax(3).into_data().convert::<i64>().try_into_vec()?;

    println!("{:12} {:>8} {:>8}   looks at", "token", "layer 0", "layer 3");
    for (position, &id) in ids.iter().enumerate() {
        let text = model.tokenizer.token_text(id)?;
        let key = model.tokenizer.token_text(ids[strongest[position] as usize])?;
        println!("{text:12} {:8.2} {:8.2}   {key}", norms[0][position], norms[1][position]);
    }
    Ok(())
}
