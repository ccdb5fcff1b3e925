//! Trains the embedded models `demo-gpt2` and `demo-gemma`: tokenizer, language model, evaluation, model card.
//!
//! ```sh
//! cargo run --release --example train_demo_model -- gpt2 --corpus DIR --output DIR
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

use anyhow::{Context, Result};
use attention_probes_models::{
    ActivationFunction, GemmaConfig, GemmaGeneration, Gpt2Config, HookedModel, LayerKind, Rope,
    Tokenizer, load, save,
};
use burn::module::Module;
use burn::tensor::Device;
use clap::{Parser, ValueEnum};

#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

/// Architecture of the model.
#[derive(Clone, Copy, ValueEnum)]
enum Family {
    Gpt2,
    /// Gemma 3.
    Gemma,
}

/// Trains an embedded demo model.
#[derive(Parser)]
struct Args {
    /// Architecture of the model.
    family: Family,
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
    /// Number of key and value heads of a Gemma.
    #[arg(long, default_value_t = 2)]
    key_value_heads: usize,
    /// Width of a head of a Gemma; of a GPT-2 it is `d_model / heads`.
    #[arg(long, default_value_t = 32)]
    d_head: usize,
    /// Width of the residual stream.
    #[arg(long, default_value_t = 160)]
    d_model: usize,
    /// Width of the hidden layer of the MLP, four times `d_model` by default.
    #[arg(long)]
    d_mlp: Option<usize>,
    /// Keys that a query of a Gemma's sliding layers sees; every second layer slides.
    #[arg(long, default_value_t = 64)]
    window: usize,
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

    let device = Device::default();
    let run =
        Run { args: &args, tokenizer: &tokenizer, train: &train, held_out: &held_out, device };
    let d_mlp = args.d_mlp.unwrap_or(4 * args.d_model);
    match args.family {
        Family::Gpt2 => {
            let config = Gpt2Config {
                n_layers: args.layers,
                n_heads: args.heads,
                d_model: args.d_model,
                d_mlp,
                d_vocab: tokenizer.n_tokens(),
                n_ctx: args.context,
                activation: ActivationFunction::GeluTanh,
                layer_norm_epsilon: 1e-5,
                scale_attn_weights: true,
                scale_attn_by_inverse_layer_idx: false,
                tie_word_embeddings: true,
            };
            let model = train::train(&run, |device| config.init(device))?;
            let Some(model) = model else { return Ok(()) };
            save::save_gpt2(&model, &args.output)?;
            run.report(&load::load_gpt2(&args.output, &run.device)?)
        }
        Family::Gemma => {
            let kind = |layer| if layer % 2 == 0 { LayerKind::Sliding } else { LayerKind::Full };
            let config = GemmaConfig {
                generation: GemmaGeneration::Three,
                n_heads: args.heads,
                n_key_value_heads: args.key_value_heads,
                d_head: args.d_head,
                d_model: args.d_model,
                d_mlp,
                d_vocab: tokenizer.n_tokens(),
                n_ctx: args.context,
                activation: ActivationFunction::GeluTanh,
                rms_norm_epsilon: 1e-6,
                query_pre_attn_scalar: args.d_head as f64,
                attn_softcap: None,
                logit_softcap: None,
                sliding_window: args.window,
                layers: (0..args.layers).map(kind).collect(),
                rope_full: Rope { theta: 1e6, factor: 1.0 },
                rope_sliding: Rope { theta: 1e4, factor: 1.0 },
                tie_word_embeddings: true,
            };
            let model = train::train(&run, |device| config.init(device))?;
            let Some(model) = model else { return Ok(()) };
            save::save_gemma(&model, &args.output)?;
            run.report(&load::load_gemma(&args.output, &run.device)?)
        }
    }
}

/// What a training run works on.
struct Run<'a> {
    args: &'a Args,
    tokenizer: &'a Tokenizer,
    train: &'a [u32],
    held_out: &'a [u32],
    device: Device,
}

impl Run<'_> {
    /// Prints and writes the figures of the model card, of the weights as they were written.
    fn report<M: HookedModel + Module>(&self, model: &M) -> Result<()> {
        let figures =
            evaluate::figures(model, self.tokenizer, self.train, self.held_out, &self.device)?;
        let figures = serde_json::json!({
            "figures": figures,
            "n_parameters": model.num_params(),
            "training_tokens_seen": self.args.tokens,
            "training_tokens_distinct": self.train.len(),
        });
        let text = serde_json::to_string_pretty(&figures)?;
        std::fs::write(self.args.output.join("figures.json"), &text)?;
        println!("{text}");
        Ok(())
    }
}
