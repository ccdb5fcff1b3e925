//! Feature-resolved attention of one head of GPT-2 small's size, part by part.
//!
//! Width 768, heads of 64, 49,152 features of which 20 are active per token, texts of 128 tokens;
//! tokens are of 2,000 kinds by a Zipf law, so that features occur again. Each part stands beside
//! what it cannot do without: encoding beside its one dense product, pairs and statistics beside
//! the product of all queries with all keys and beside the bytes that they write.
//!
//! ```sh
//! cargo bench --bench fra
//! ```

#![expect(clippy::print_stdout, reason = "a benchmark prints what it measured")]

use std::collections::HashSet;
use std::hint::black_box;
use std::time::{Duration, Instant};

use anyhow::Result;
use attention_probes::kernels::{Matrix, Write, matmul};
use attention_probes::models::{ActivationFunction, Gpt2Config, HookPoint};
use attention_probes::sae::fra::{
    FraActivations, FraCodes, FraInput, FraLayer, FraRank, FraStatistics, FraStatisticsConfig,
    FraText,
};
use attention_probes::sae::{Sae, SaeActivation, SaeConfig};
use burn::tensor::Device;
use rand::{Rng, SeedableRng};
use rand_chacha::ChaCha8Rng;

#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

const D_MODEL: usize = 768;
const N_HEADS: usize = 12;
const D_SAE: usize = 49_152;
const K: usize = 20;
const POS: usize = 128;

/// Texts of a table as the first FRA code made it, and of a long run.
const FEW: usize = 20;
const MANY: usize = 1000;

/// Pairs that are kept of a table.
const TOP: usize = 200;

/// Kinds of tokens, and how far a token is from its kind.
const KINDS: usize = 2000;
const NOISE: f32 = 0.1;

/// Deviation of the features' biases: a few are very frequent, as those of trained autoencoders.
const FREQUENCY_TAIL: f32 = 0.45;

/// Times that a part is measured.
const REPEATS: usize = 9;

/// About a standard normal: twelve uniform numbers.
fn normal(rng: &mut ChaCha8Rng) -> f32 {
    (0..12).map(|_| rng.random_range(-0.5_f32..0.5)).sum()
}

/// An autoencoder with tied directions of norm 1.
fn sae(rng: &mut ChaCha8Rng) -> Sae {
    let mut decoder: Vec<f32> = (0..D_SAE * D_MODEL).map(|_| normal(rng)).collect();
    for row in decoder.chunks_exact_mut(D_MODEL) {
        let norm = row.iter().map(|w| w * w).sum::<f32>().sqrt();
        for w in row {
            *w /= norm;
        }
    }
    let b_enc = (0..D_SAE).map(|_| -FREQUENCY_TAIL * rng.random_range(1e-6_f32..1.0).ln());
    let mut sae = Sae {
        config: SaeConfig::new(D_MODEL, D_SAE),
        activation: SaeActivation::TopK {
            b_enc: b_enc.collect(),
            k: K,
            rescale_acts_by_decoder_norm: false,
        },
        encoder: decoder.clone(),
        decoder,
        b_dec: (0..D_MODEL).map(|_| 0.1 * normal(rng)).collect(),
    };
    sae.set_hook(HookPoint::Ln1Normalized(0));
    sae
}

/// Texts: ids, and normalised activations near those of their kinds.
fn texts(rng: &mut ChaCha8Rng, n: usize) -> Vec<(Vec<u32>, FraActivations)> {
    let kinds: Vec<f32> = (0..KINDS * D_MODEL).map(|_| normal(rng)).collect();
    let harmonic: f32 = (1..=KINDS).map(|rank| 1.0 / rank as f32).sum();
    let draw = |rng: &mut ChaCha8Rng| {
        let mut left = rng.random_range(0.0..harmonic);
        let is_it = |rank: &usize| {
            left -= 1.0 / (rank + 1) as f32;
            left < 0.0
        };
        (0..KINDS).find(is_it).unwrap_or(KINDS - 1) as u32
    };
    let text = |_| {
        let ids: Vec<u32> = (0..POS).map(|_| draw(rng)).collect();
        let mut x = Vec::with_capacity(POS * D_MODEL);
        for id in &ids {
            let kind = &kinds[*id as usize * D_MODEL..][..D_MODEL];
            let row: Vec<f32> = kind.iter().map(|x| x + NOISE * normal(rng)).collect();
            let mean = row.iter().sum::<f32>() / D_MODEL as f32;
            let squares: f32 = row.iter().map(|x| (x - mean).powi(2)).sum();
            let deviation = (squares / D_MODEL as f32 + 1e-5).sqrt();
            x.extend(row.iter().map(|x| (x - mean) / deviation));
        }
        (ids, FraActivations::from([(HookPoint::Ln1Normalized(0), x)]))
    };
    (0..n).map(text).collect()
}

fn median(mut times: Vec<Duration>) -> f64 {
    times.sort_unstable();
    times[times.len() / 2].as_secs_f64()
}

/// Median time of some calls, after one that does not count.
fn timed<T>(n: usize, mut of: impl FnMut() -> T) -> f64 {
    black_box(of());
    let time = |_| {
        let start = Instant::now();
        black_box(of());
        start.elapsed()
    };
    median((0..n).map(time).collect())
}

/// Largest memory of the process so far, where the system says so.
fn peak_mib() -> String {
    let status = std::fs::read_to_string("/proc/self/status").unwrap_or_default();
    let line = status.lines().find_map(|line| line.strip_prefix("VmHWM:"));
    let kib = line.and_then(|line| line.trim().split(' ').next()?.parse::<u64>().ok());
    kib.map_or("unknown".to_owned(), |kib| format!("{} MiB", kib / 1024))
}

fn main() -> Result<()> {
    let mut rng = ChaCha8Rng::seed_from_u64(0);
    let device = Device::default();
    device.seed(0);
    let model = Gpt2Config {
        n_layers: 1,
        n_heads: N_HEADS,
        d_model: D_MODEL,
        d_mlp: 8,
        d_vocab: 8,
        n_ctx: POS,
        activation: ActivationFunction::GeluTanh,
        layer_norm_epsilon: 1e-5,
        scale_attn_weights: true,
        scale_attn_by_inverse_layer_idx: false,
        tie_word_embeddings: true,
    };
    let model = model.init(&device);
    let sae = sae(&mut rng);
    let layer = FraLayer::new(&sae, &model, 0)?;
    let some = texts(&mut rng, FEW);
    encoding(&sae, &some[0].1[&HookPoint::Ln1Normalized(0)]);
    let codes: Vec<FraCodes> = some
        .iter()
        .map(|(ids, activations)| {
            Ok(FraCodes::new(&layer, FraInput { ids, activations, n_before: 0 })?)
        })
        .collect::<Result<_>>()?;
    let n_slots = codes.iter().map(|codes| codes.features().len()).sum::<usize>() / FEW;
    println!("{n_slots} features occur in a text of {POS} tokens on average");
    pairs(&layer, &codes[0], &some[0].1)?;
    statistics(&layer, &codes, &some)?;
    drop(some);
    many(&layer, &mut rng)
}

/// Encoding beside its product.
fn encoding(sae: &Sae, x: &[f32]) {
    let encode = timed(REPEATS, || sae.encode(x).ok());
    let mut pre = vec![0.0; POS * D_SAE];
    let product = timed(REPEATS, || {
        let encoder = Matrix::new(&sae.encoder, D_SAE, D_MODEL).transpose();
        matmul(&mut pre, Matrix::new(x, POS, D_MODEL), encoder, Write::Replace);
    });
    println!(
        "encoding {:.1} ms; its product {:.1} ms, ratio {:.2}",
        1e3 * encode,
        1e3 * product,
        encode / product
    );
}

/// Every value of one text and head, query by query, beside one product of all with all.
fn pairs(layer: &FraLayer<'_>, codes: &FraCodes, activations: &FraActivations) -> Result<()> {
    let mut n_values = 0;
    let blocks = timed(REPEATS, || {
        let text = FraText::from_codes(layer, &[0], codes.clone(), activations)?;
        n_values = 0;
        if let Some(head) = text.head(0) {
            head.for_each_query(|_, values| {
                n_values += values.len();
                black_box(values);
            });
        }
        Ok::<(), anyhow::Error>(())
    });
    let (n, d_head) = (codes.n_active(), D_MODEL / N_HEADS);
    let (rows, mut all) = (vec![0.5; n * d_head], vec![0.0; n * n]);
    let floor = timed(REPEATS, || {
        let keys = Matrix::new(&rows, n, d_head).transpose();
        matmul(&mut all, Matrix::new(&rows, n, d_head), keys, Write::Replace);
    });
    let text = FraText::from_codes(layer, &[0], codes.clone(), activations)?;
    let terms = timed(REPEATS, || text.head(0).map(|head| head.terms()));
    println!(
        "pairs in blocks {:.1} ms, {n_values} values; one product of all with all {:.1} ms; the \
         four terms {:.2} ms",
        1e3 * blocks,
        1e3 * floor,
        1e3 * terms
    );
    Ok(())
}

fn collect(
    layer: &FraLayer<'_>,
    heads: usize,
    codes: &[FraCodes],
    texts: &[(Vec<u32>, FraActivations)],
) -> Result<FraStatistics> {
    let config = FraStatisticsConfig { heads: (0..heads).collect(), ..Default::default() };
    let mut statistics = FraStatistics::new(layer, config)?;
    for (codes, (_, activations)) in codes.iter().zip(texts) {
        statistics.add_codes(layer, codes.clone(), activations)?;
    }
    Ok(statistics)
}

/// Twenty texts from codes to the strongest pairs, for one head and for all.
fn statistics(
    layer: &FraLayer<'_>,
    codes: &[FraCodes],
    texts: &[(Vec<u32>, FraActivations)],
) -> Result<()> {
    let ranks = [FraRank::ShrunkMean { prior: 0.0 }];
    let adding = timed(REPEATS, || collect(layer, 1, codes, texts));
    let statistics = collect(layer, 1, codes, texts)?;
    let ranking = timed(REPEATS, || statistics.top(layer, &ranks, TOP).ok());
    let whole = |heads: usize| {
        timed(REPEATS, || {
            Some(collect(layer, heads, codes, texts).ok()?.top(layer, &ranks, TOP).ok())
        })
    };
    let (one, all) = (whole(1), whole(N_HEADS));
    let bytes = vec![1_u8; statistics.size_bytes()];
    let mut copy = bytes.clone();
    let floor = timed(REPEATS, || copy.copy_from_slice(black_box(&bytes)));
    println!(
        "statistics {:.2} ms a text and head; {} pairs of {FEW} texts, to copy which once takes \
         {:.1} ms",
        1e3 * adding / FEW as f64,
        statistics.n_pairs(0),
        1e3 * floor
    );
    println!(
        "{FEW} texts to the strongest {TOP}: {:.0} ms for one head, of which ranking {:.0} ms; \
         {:.0} ms for {N_HEADS} heads, ratio {:.2}",
        1e3 * one,
        1e3 * ranking,
        1e3 * all,
        all / one
    );
    Ok(())
}

/// A long run in a quarter of a gibibyte.
fn many(layer: &FraLayer<'_>, rng: &mut ChaCha8Rng) -> Result<()> {
    let budget_bytes = 1 << 28;
    let config = FraStatisticsConfig { budget_bytes, ..Default::default() };
    let mut statistics = FraStatistics::new(layer, config)?;
    let (mut time, mut largest) = (Duration::ZERO, 0);
    let mut kinds = HashSet::new();
    for done in 0..MANY / FEW {
        for (ids, activations) in texts(rng, FEW) {
            kinds.extend(ids.iter().copied());
            let codes = FraCodes::new(
                layer,
                FraInput { ids: &ids, activations: &activations, n_before: 0 },
            )?;
            let start = Instant::now();
            statistics.add_codes(layer, codes, &activations)?;
            time += start.elapsed();
            largest = largest.max(statistics.size_bytes());
        }
        if [0, MANY / FEW / 2 - 1, MANY / FEW - 1].contains(&done) {
            println!(
                "{} texts: {:.2} ms a text, pairs at most {} MiB of {} MiB, exact {}, process {}",
                statistics.n_texts(),
                1e3 * time.as_secs_f64() / statistics.n_texts() as f64,
                largest >> 20,
                budget_bytes >> 20,
                statistics.is_exact(0),
                peak_mib()
            );
        }
    }
    let ranks = [FraRank::Sum];
    let top = statistics.top(layer, &ranks, TOP)?.remove(0);
    let missed = top.top[0].iter().map(|pair| pair.missed / pair.sum_abs).fold(0.0, f64::max);
    println!("the strongest {TOP} by sum lack at most {:.3} % of theirs", 100.0 * missed);
    Ok(())
}
