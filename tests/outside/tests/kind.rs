//! A kind of probe with a kernel and a reader of its own.

use attention_probes::prelude::*;
use attention_probes::probes::engine::{
    Block, HostKernel, KernelLayout, Targets, TrialOfBlock, Vectorized, check_kernel,
};
use attention_probes::probes::{Loss, ProbeState, Rows, StreamKind};
use serde::{Deserialize, Serialize};

/// `logits[b,c] = sharpness · max over p of s[b,p,c] + bias[c]`
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct Peak {
    pub sharpness: f32,
    /// Whether it brings what makes it faster.
    pub quick: bool,
}

impl ProbeKind for Peak {
    fn name(&self) -> &'static str {
        "peak"
    }

    fn layout(&self, size: ProbeSize) -> Layout {
        Layout::new().rows("weight", size.n_out).small("bias", [size.n_out])
    }

    fn forward(&self, batch: &Batch) -> Tensor<3> {
        let [n_trials, n_out, _] = batch.dims();
        let highest = (batch.product("weight") + batch.padding()).max_dim(3);
        highest.reshape(batch.dims()) * self.sharpness + batch.array("bias", [n_trials, n_out, 1])
    }

    fn host_kernel(&self, size: ProbeSize) -> Option<Box<dyn HostKernel>> {
        let kernel = PeakKernel { sharpness: self.sharpness, n_out: size.n_out };
        self.quick.then(|| Box::new(Vectorized(kernel)) as Box<dyn HostKernel>)
    }

    fn stream(&self, state: &ProbeState, size: ProbeSize) -> Option<Box<dyn StreamKind>> {
        let reader = PeakStream {
            rows: Rows::new(state, "weight", None),
            biases: state["bias"].values.clone(),
            sharpness: f64::from(self.sharpness),
            highest: vec![0.0; size.n_out],
        };
        self.quick.then(|| Box::new(reader) as Box<dyn StreamKind>)
    }
}

#[derive(Debug)]
struct PeakKernel {
    sharpness: f32,
    n_out: usize,
}

/// Place and value of the highest number.
fn highest(scores: &[f32]) -> (usize, f32) {
    let pairs = scores.iter().copied().enumerate();
    pairs.fold((0, f32::NEG_INFINITY), |best, next| if next.1 > best.1 { next } else { best })
}

impl HostKernel for PeakKernel {
    fn layout(&self) -> KernelLayout {
        KernelLayout {
            rows: vec![("weight", self.n_out)],
            small: vec![("bias", vec![self.n_out])],
            first: None,
        }
    }

    fn forward(&self, block: &Block<'_>, small: &[f32], products: &mut [f32], logits: &mut [f32]) {
        for ((from, length), logits) in block.examples().zip(logits.chunks_mut(self.n_out)) {
            for (class, logit) in logits.iter_mut().enumerate() {
                let scores = &products[class * block.n_tokens + from..][..length];
                *logit = self.sharpness * highest(scores).1 + small[class];
            }
        }
    }

    fn backward(&self, block: &Block<'_>, targets: &Targets<'_>, trial: TrialOfBlock<'_>) -> f64 {
        let TrialOfBlock { small, products, gradient } = trial;
        let mut residuals = vec![0.0; block.lengths.len() * self.n_out];
        self.forward(block, small, products, &mut residuals);
        let loss = targets.loss_and_gradient(&mut residuals);
        for ((from, length), residuals) in block.examples().zip(residuals.chunks(self.n_out)) {
            for (class, residual) in residuals.iter().enumerate() {
                gradient[class] += residual;
                let scores = &mut products[class * block.n_tokens + from..][..length];
                let (place, _) = highest(scores);
                scores.fill(0.0);
                scores[place] = self.sharpness * residual;
            }
        }
        loss
    }
}

#[derive(Clone, Debug)]
struct PeakStream {
    rows: Rows,
    biases: Vec<f32>,
    sharpness: f64,
    highest: Vec<f64>,
}

impl StreamKind for PeakStream {
    fn push(&mut self, x: &[f32], position: usize, logits: &mut [f32]) {
        for (class, logit) in logits.iter_mut().enumerate() {
            let score = self.rows.product(class, x);
            let highest = &mut self.highest[class];
            *highest = if position == 0 { score } else { highest.max(score) };
            *logit = (self.sharpness * *highest) as f32 + self.biases[class];
        }
    }

    fn boxed_clone(&self) -> Box<dyn StreamKind> {
        Box::new(self.clone())
    }
}

#[test]
fn the_kernel_does_what_the_definition_says() {
    for n_classes in [2, 3] {
        let probe = ProbeConfig::new(Peak { sharpness: 1.5, quick: true }, 7, n_classes);
        let found = check_kernel(&probe, Loss::CrossEntropy, &Device::flex(), 1).unwrap();
        assert!(found.largest() < 1e-5, "{found:?}");
    }
}

#[test]
fn a_stream_says_the_same_with_and_without_a_reader() {
    let device = Device::flex();
    let config = |quick| ProbeConfig::new(Peak { sharpness: 0.5, quick }, 3, 3);
    let state = config(true).init_state(5);
    let mut with = StreamingProbe::new(&config(true), &state).unwrap();
    assert!(StreamingProbe::new(&config(false), &state).is_err());
    let mut without = StreamingProbe::on_device(&config(false), &state, &device).unwrap();
    for _text in 0..2 {
        for token in [[0.5, -1.0, 2.0], [3.0, 0.25, -0.5], [-1.0, -1.0, 1.0]] {
            let (a, b) = (with.push(&token).to_vec(), without.push(&token));
            for (a, b) in a.iter().zip(b) {
                assert!((a - b).abs() < 1e-5, "{a} and {b}");
            }
        }
        with.reset();
        without.reset();
    }
}
