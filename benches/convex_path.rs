//! Ten logistic regressions, `C` from 1e5 to 1e-5, on 20,000 × 768 features, beside the matrix
//! products that they cannot do without.
//!
//! The features are correlated, with a spectrum that falls as a power, and standardised; the labels
//! are drawn from a planted direction. `CONVEX_PATH_DIR` names a folder with `x.npy` (`float32`),
//! `y.npy` (`int64`), and `C.npy` (`float64`) to use instead.
//!
//! The floor is half of `X'X`, as it is symmetric, and two products a pass: `X` with the weights of
//! all penalties, and the residuals with `X`. Prints for each penalty the objective, computed in
//! `f64` from the weights that were returned.
//!
//! ```sh
//! cargo bench --bench convex_path
//! ```

#![expect(missing_docs, reason = "criterion's macros make public functions")]

use std::hint::black_box;
use std::path::Path;
use std::time::{Duration, Instant};

use anyhow::{Context, ensure};
use attention_probes::kernels::{Matrix, Write, matmul};
use attention_probes::probes::{
    Features, LogisticConfig, LogisticData, LogisticFit, LogisticTargets, logistic_path,
};
use attention_probes_cli::allocator::keep_freed_memory;
use criterion::{Criterion, criterion_group, criterion_main};
use rand::{Rng, SeedableRng};
use rand_chacha::ChaCha8Rng;

#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

/// Labelled features and penalties.
struct Data {
    x: Vec<f32>,
    labels: Vec<usize>,
    d_model: usize,
    penalties: Vec<f64>,
}

impl Data {
    /// Reads what `numpy.save` wrote.
    fn read(folder: &Path) -> anyhow::Result<Self> {
        let x = values(&folder.join("x.npy"), "<f4", f32::from_le_bytes)?;
        let y = values(&folder.join("y.npy"), "<i8", i64::from_le_bytes)?;
        let c = values(&folder.join("C.npy"), "<f8", f64::from_le_bytes)?;
        ensure!(!y.is_empty() && x.len().is_multiple_of(y.len()), "x and y do not fit");
        Ok(Self {
            d_model: x.len() / y.len(),
            x,
            labels: y.into_iter().map(|label| label as usize).collect(),
            penalties: c.into_iter().map(|c| 1.0 / c).collect(),
        })
    }

    /// Draws features `z diag(scale) M` with the spectrum `(1 + j)^-1/2`, and labels.
    fn draw() -> Self {
        let (n, d) = (20_000, 768);
        let mut rng = ChaCha8Rng::seed_from_u64(7);
        let mut normals = |n: usize| -> Vec<f32> {
            (0..n).map(|_| (0..12).map(|_| rng.random::<f32>()).sum::<f32>() - 6.0).collect()
        };
        let (mut z, mixing, direction) = (normals(n * d), normals(d * d), normals(d));
        for row in z.chunks_exact_mut(d) {
            row.iter_mut().enumerate().for_each(|(j, z)| *z /= (1.0 + j as f32).sqrt());
        }
        let mut x = vec![0.0; n * d];
        matmul(&mut x, Matrix::new(&z, n, d), Matrix::new(&mixing, d, d), Write::Replace);
        for j in 0..d {
            let column = || x.iter().skip(j).step_by(d).map(|x| f64::from(*x));
            let mean = column().sum::<f64>() / n as f64;
            let deviation = (column().map(|x| (x - mean).powi(2)).sum::<f64>() / n as f64).sqrt();
            let scaled = |x: f32| ((f64::from(x) - mean) / deviation) as f32;
            x.iter_mut().skip(j).step_by(d).for_each(|x| *x = scaled(*x));
        }
        let length = direction.iter().map(|w| w * w).sum::<f32>().sqrt();
        let label = |row: &[f32]| {
            let logit: f32 = row.iter().zip(&direction).map(|(x, w)| x * w).sum::<f32>();
            usize::from(rng.random::<f32>() < 1.0 / (1.0 + (-4.0 * logit / length).exp()))
        };
        let labels = x.chunks_exact(d).map(label).collect();
        Self { x, labels, d_model: d, penalties: LogisticConfig::default().penalties }
    }

    fn fit(&self) -> Vec<LogisticFit> {
        let targets = LogisticTargets::classes(&self.labels, 2).expect("two classes");
        let features = Features::new(&self.x, self.d_model).expect("finite features");
        let config =
            LogisticConfig { penalties: self.penalties.clone(), ..LogisticConfig::default() };
        let data = LogisticData { features, targets: &targets, weights: None };
        logistic_path(data, &config).expect("every penalty converges")
    }

    /// The bare products: half a square of the features, and two products a pass.
    fn floor(&self, n_passes: usize) -> Duration {
        let (n, d, width) = (self.labels.len(), self.d_model, self.penalties.len());
        let x = Matrix::new(&self.x, n, d);
        let (mut square, weights) = (vec![0.0; d * d], vec![0.1; d * width]);
        let (mut z, mut gradient) = (vec![0.0; n * width], vec![0.0; width * d]);
        let start = Instant::now();
        matmul(&mut square, x.transpose(), x, Write::Replace);
        let square = start.elapsed() / 2;
        let start = Instant::now();
        for _ in 0..n_passes {
            matmul(&mut z, x, Matrix::new(&weights, d, width), Write::Replace);
            matmul(&mut gradient, Matrix::new(&z, n, width).transpose(), x, Write::Replace);
        }
        black_box(gradient);
        square + start.elapsed()
    }

    /// Sum of losses and penalty, in `f64`.
    fn objective(&self, fit: &LogisticFit) -> f64 {
        let weights = fit.readout.weight();
        let loss = |(row, label): (&[f32], &usize)| {
            let products = row.iter().zip(weights).map(|(x, w)| f64::from(*x) * f64::from(*w));
            let logit = products.sum::<f64>() + f64::from(fit.readout.bias()[0]);
            let margin = if *label == 1 { logit } else { -logit };
            (-margin).max(0.0) + (-margin.abs()).exp().ln_1p()
        };
        let losses: f64 = self.x.chunks_exact(self.d_model).zip(&self.labels).map(loss).sum();
        let square: f64 = weights.iter().map(|w| f64::from(*w).powi(2)).sum();
        losses + fit.penalty * square / 2.0
    }
}

/// Numbers of an `.npy` of one type, in C order.
fn values<T, const N: usize>(
    path: &Path,
    dtype: &str,
    number: impl Fn([u8; N]) -> T,
) -> anyhow::Result<Vec<T>> {
    let bytes = std::fs::read(path).with_context(|| format!("cannot read {}", path.display()))?;
    let length = bytes.get(8..10).context("no header")?;
    let data = 10 + usize::from(u16::from_le_bytes([length[0], length[1]]));
    let header = String::from_utf8_lossy(bytes.get(10..data).context("no header")?);
    ensure!(header.contains(dtype) && header.contains("False"), "expected {dtype} in C order");
    let (numbers, _) = bytes[data..].as_chunks::<N>();
    Ok(numbers.iter().map(|bytes| number(*bytes)).collect())
}

fn median(mut times: Vec<Duration>) -> Duration {
    times.sort_unstable();
    times[times.len() / 2]
}

fn convex_path(criterion: &mut Criterion) {
    keep_freed_memory();
    let data = match std::env::var_os("CONVEX_PATH_DIR") {
        Some(folder) => Data::read(Path::new(&folder)).expect("a folder of .npy files"),
        None => Data::draw(),
    };
    let fits = data.fit();
    // Each pass serves every penalty that is not done.
    let n_passes = 1 + fits.iter().map(|fit| fit.n_iterations).max().unwrap_or(0);
    let bytes = (n_passes + 1) * data.x.len() * size_of::<f32>();
    let products = data.x.len() * (data.d_model + 4 * data.penalties.len() * n_passes);
    let mut benches = criterion.benchmark_group("convex_path");
    benches.sample_size(10);
    benches.bench_function("10 penalties", |b| b.iter(|| data.fit()));
    benches.bench_function("floor", |b| b.iter(|| data.floor(n_passes)));
    benches.finish();
    // Ours and the floor in turn, so that the ratio is of one moment.
    let time = || {
        let start = Instant::now();
        black_box(data.fit());
        start.elapsed()
    };
    let turns: Vec<_> = (0..9).map(|_| (time(), data.floor(n_passes))).collect();
    let ours = median(turns.iter().map(|turn| turn.0).collect());
    let floor = median(turns.iter().map(|turn| turn.1).collect());
    for fit in &fits {
        eprintln!(
            "C {:.2e}: objective {:.6}, gradient {:.1e}, {} passes",
            1.0 / fit.penalty,
            data.objective(fit),
            fit.gradient_norm,
            fit.n_iterations
        );
    }
    eprintln!(
        "{:.1} ms, bare products {:.1} ms, ratio {:.2}; {n_passes} passes, {:.2} GB, {:.1} GFLOP",
        1e3 * ours.as_secs_f64(),
        1e3 * floor.as_secs_f64(),
        ours.as_secs_f64() / floor.as_secs_f64(),
        bytes as f64 / 1e9,
        products as f64 / 1e9
    );
}

criterion_group!(benches, convex_path);
criterion_main!(benches);
