//! The training loop: `AdamW`, warm-up and cosine, clipping, checkpoints.

use std::io::Write;
use std::time::Instant;

use anyhow::{Context, Result};
use attention_probes_models::{HookedModel, PaddingSide, TokenBatch};
use burn::grad_clipping::GradientClippingConfig;
use burn::module::Module;
use burn::optim::{AdamWConfig, GradientsAccumulator, GradientsParams};
use burn::tensor::{Device, Int, Tensor, TensorData, activation};
use rand::{Rng, SeedableRng};
use rand_chacha::ChaCha8Rng;

use crate::{Args, Run};

/// Steps of linear warm-up.
const WARM_UP: usize = 200;
/// Steps between two checkpoints.
const CHECKPOINT_EVERY: usize = 500;
/// Steps between two lines of output.
const PRINT_EVERY: usize = 50;

/// Trains from the beginning or from the last checkpoint; `None` if stopped on request.
pub(crate) fn train<M: HookedModel + Module>(
    run: &Run<'_>,
    init: impl Fn(&Device) -> M,
) -> Result<Option<M>> {
    let Run { args, device, .. } = run;
    let n_steps = args.tokens / (args.batch * args.context);
    let autodiff = device.clone().autodiff();
    device.seed(args.seed);
    let mut model = init(&autodiff);
    println!("{} parameters, {n_steps} steps", model.num_params());
    let optimizer = AdamWConfig::new()
        .with_beta_2(0.95)
        .with_epsilon(1e-8)
        .with_weight_decay(0.1)
        .with_grad_clipping(Some(GradientClippingConfig::Norm(1.0)));
    let mut optimizer = optimizer.init();

    let (at_model, at_optimizer) = (args.output.join("ckpt_model"), args.output.join("ckpt_optim"));
    let at_step = args.output.join("ckpt_step");
    let mut first = 0;
    if let Ok(step) = std::fs::read_to_string(&at_step) {
        first = step.trim().parse().context("`ckpt_step` is not a number")?;
        model = model.try_load_file(&at_model)?;
        optimizer = optimizer.load(&at_optimizer)?;
        println!("going on from step {first}");
    }
    let mut curve = std::fs::OpenOptions::new()
        .append(true)
        .create(true)
        .open(args.output.join("loss_curve.csv"))?;

    let start = Instant::now();
    let mut mean = 0.0;
    for step in first..n_steps {
        let learning_rate = learning_rate(args.learning_rate, step, n_steps);
        let batch = sample(args, model.shape().d_vocab, run.train, step);
        let (loss, gradients) = gradients(&model, &batch, args, &autodiff)?;
        model = optimizer.step(learning_rate, model, gradients);
        mean += loss / PRINT_EVERY as f64;
        let done = step + 1;
        if done % PRINT_EVERY == 0 {
            let tokens = done * args.batch * args.context;
            let rate = ((done - first) * args.batch * args.context) as f64;
            let rate = rate / start.elapsed().as_secs_f64();
            println!("step {done}/{n_steps} loss {mean:.4} {rate:.0} tokens/s");
            writeln!(curve, "{tokens},{mean:.4}")?;
            mean = 0.0;
        }
        if done % CHECKPOINT_EVERY == 0 {
            model.clone().save_file(&at_model)?;
            optimizer.save(&at_optimizer)?;
            std::fs::write(&at_step, done.to_string())?;
            let loss = crate::evaluate::loss_nats(&model.valid(), &run.held_out[..20_000], device)?;
            let scores = crate::evaluate::induction_scores(&model.valid(), device)?;
            let best = scores.iter().flatten().copied().fold(0.0, f64::max);
            println!("step {done} held-out loss {loss:.4}, best induction score {best:.3}");
        }
        if args.stop_after.is_some_and(|stop| done - first >= stop) {
            return Ok(None);
        }
    }
    Ok(Some(model.valid()))
}

/// Linear warm-up, then a cosine down to a tenth.
fn learning_rate(highest: f64, step: usize, n_steps: usize) -> f64 {
    if step < WARM_UP {
        return highest * (step + 1) as f64 / WARM_UP as f64;
    }
    let progress = (step - WARM_UP) as f64 / (n_steps.max(WARM_UP + 1) - WARM_UP) as f64;
    let cosine = 0.5 * (1.0 + (std::f64::consts::PI * progress).cos());
    highest * (0.1 + 0.9 * cosine)
}

/// Sequences of `context + 1` tokens; step and seed alone decide which.
fn sample(args: &Args, d_vocab: usize, ids: &[u32], step: usize) -> Vec<Vec<u32>> {
    let mut rng = ChaCha8Rng::seed_from_u64(args.seed);
    rng.set_stream(1 + step as u64);
    let length = args.context + 1;
    (0..args.batch)
        .map(|_| {
            if rng.random_bool(args.repeats) {
                // Short periods as often as long ones: they repeat more within a sequence.
                let (shortest, longest) = (8_f64.ln(), (args.context as f64 / 2.0).ln());
                let period = rng.random_range(shortest..longest).exp() as usize;
                let segment: Vec<u32> =
                    (0..period).map(|_| rng.random_range(1..d_vocab as u32)).collect();
                return segment.iter().copied().cycle().take(length).collect();
            }
            let from = rng.random_range(0..ids.len() - length);
            ids[from..from + length].to_vec()
        })
        .collect()
}

/// Loss and gradients of a batch, its sequences divided among replicas of the model.
fn gradients<M: HookedModel + Module>(
    model: &M,
    batch: &[Vec<u32>],
    args: &Args,
    device: &Device,
) -> Result<(f64, GradientsParams)> {
    let share = args.batch.div_ceil(args.replicas);
    let parts = std::thread::scope(|scope| {
        let workers: Vec<_> = batch
            .chunks(share)
            .map(|part| {
                let replica = model.clone().fork(device);
                scope.spawn(move || part_gradients(&replica, part, args.batch, device))
            })
            .collect();
        let join = |worker: std::thread::ScopedJoinHandle<'_, _>| match worker.join() {
            Ok(result) => result,
            Err(panic) => std::panic::resume_unwind(panic),
        };
        workers.into_iter().map(join).collect::<Result<Vec<_>>>()
    })?;
    let mut sum = GradientsAccumulator::new();
    let mut loss = 0.0;
    for (part, gradients) in parts {
        loss += part;
        sum.accumulate(model, gradients);
    }
    Ok((loss, sum.grads()))
}

/// One replica's share of the mean loss over the batch, and its gradients.
fn part_gradients<M: HookedModel + Module>(
    model: &M,
    part: &[Vec<u32>],
    n_sequences: usize,
    device: &Device,
) -> Result<(f64, GradientsParams)> {
    let length = part[0].len() - 1;
    let inputs: Vec<&[u32]> = part.iter().map(|ids| &ids[..length]).collect();
    let targets: Vec<i64> =
        part.iter().flat_map(|ids| ids[1..].iter().map(|id| i64::from(*id))).collect();
    let n_targets = targets.len();
    let targets = Tensor::<2, Int>::from_data(TensorData::new(targets, [n_targets, 1]), device);
    let batch = TokenBatch::new(&inputs, PaddingSide::Right, device)?;
    let logits = model.forward(&batch)?.flatten::<2>(0, 1); // [batch * pos, d_vocab]
    let log_probabilities = activation::log_softmax(logits, 1);
    let loss = log_probabilities.gather(1, targets).sum().neg();
    let loss = loss / (n_sequences * length) as f64;
    let gradients = GradientsParams::from_grads(loss.backward(), model);
    Ok((f64::from(loss.into_scalar::<f32>()), gradients))
}
