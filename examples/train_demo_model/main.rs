//! Trains the embedded model `demo-gpt2`: tokenizer, language model, evaluation, model card.
//!
//! ```sh
//! cargo run --release --example train_demo_model -- --corpus DIR --output DIR
//! ```
//!
//! `--corpus` is a folder of `.txt` files; those whose name begins with `valid` are held out. A
//! run that was stopped goes on from its last checkpoint. It prints the loss as it trains, and at
//! the end writes `config.json`, `model.safetensors` (bf16), `tokenizer.json`, and the figures of
//! the model card, `figures.json`.

#![expect(clippy::print_stdout, reason = "an example prints what it finds")]

mod corpus;
mod evaluate;
mod ngram;
mod train;

use std::path::PathBuf;
use std::time::Instant;

use anyhow::{Context, Result};
use attention_probes_models::{ActivationFunction, Gpt2Config};
use burn::tensor::Device;
use clap::Parser;

#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

/// Trains the embedded demo model.
#[derive(Parser)]
struct Args {
    /// Folder of `.txt` files; those whose name begins with `valid` are held out.
    #[arg(long)]
    corpus: PathBuf,
    /// Folder for the model, its tokenizer, and the checkpoints.
    #[arg(long)]
    output: PathBuf,
    /// Entries of the byte-level BPE vocabulary.
    #[arg(long, default_value_t = 2048)]
    vocabulary: usize,
    /// Number of blocks.
    #[arg(long, default_value_t = 4)]
    layers: usize,
    /// Number of heads.
    #[arg(long, default_value_t = 5)]
    heads: usize,
    /// Width of the residual stream.
    #[arg(long, default_value_t = 160)]
    d_model: usize,
    /// Longest text in tokens, and length of a training sequence.
    #[arg(long, default_value_t = 256)]
    context: usize,
    /// Tokens to train on, repetitions counted.
    #[arg(long, default_value_t = 24_000_000)]
    tokens: usize,
    /// Sequences per step.
    #[arg(long, default_value_t = 8)]
    batch: usize,
    /// Highest learning rate; a tenth of it at the end.
    #[arg(long, default_value_t = 3e-3)]
    learning_rate: f64,
    /// Share of sequences that are random tokens with a repeated segment.
    #[arg(long, default_value_t = 0.05)]
    repeats: f64,
    /// Replicas of the model that share each batch, one thread each.
    #[arg(long, default_value_t = 2)]
    replicas: usize,
    /// Stop after this many steps without finishing, to measure speed.
    #[arg(long)]
    stop_after: Option<usize>,
    /// Seed of weights and batches.
    #[arg(long, default_value_t = 42)]
    seed: u64,
}

fn main() -> Result<()> {
    let args = Args::parse();
    std::fs::create_dir_all(&args.output)
        .with_context(|| format!("cannot create `{}`", args.output.display()))?;
    let texts = corpus::read(&args.corpus)?;
    let tokenizer = corpus::tokenizer(&texts.train, args.vocabulary, &args.output)?;
    let train = corpus::encode(&tokenizer, &texts.train)?;
    let held_out = corpus::encode(&tokenizer, &texts.held_out)?;
    println!("{} training tokens, {} held-out tokens", train.len(), held_out.len());

    let config = Gpt2Config {
        n_layers: args.layers,
        n_heads: args.heads,
        d_model: args.d_model,
        d_mlp: 4 * args.d_model,
        d_vocab: tokenizer.n_tokens(),
        n_ctx: args.context,
        activation: ActivationFunction::GeluTanh,
        layer_norm_epsilon: 1e-5,
        scale_attn_weights: true,
        scale_attn_by_inverse_layer_idx: false,
        tie_word_embeddings: true,
    };
    let device = Device::default();
    let start = Instant::now();
    let Some(model) = train::train(&args, &config, &train, &held_out, &device)? else {
        return Ok(());
    };
    let elapsed_s = start.elapsed().as_secs_f64();
    train::save(&model, &args.output)?;

    let model = attention_probes_models::load::load_gpt2(&args.output, &device)?;
    let figures = evaluate::figures(&model, &tokenizer, &train, &held_out, &device)?;
    let figures = serde_json::json!({
        "figures": figures,
        "n_parameters": burn::module::Module::num_params(&model),
        "training_tokens_seen": args.tokens,
        "training_tokens_distinct": train.len(),
        "elapsed_s_of_last_run": elapsed_s,
    });
    let text = serde_json::to_string_pretty(&figures)?;
    std::fs::write(args.output.join("figures.json"), &text)?;
    println!("{text}");
    Ok(())
}
