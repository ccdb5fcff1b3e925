//! Rolling attention probes, checked by hand.

use burn::tensor::{Bool, Device, Tensor, TensorData};
use proptest::prelude::*;
use rand::{Rng as _, SeedableRng};
use rand_chacha::ChaCha8Rng;

use crate::testing::host_values;
use crate::{Probe, ProbeConfig, ProbeState, RollingAttention};

/// What the documentation says, one window at a time.
fn slow(config: &ProbeConfig, state: &ProbeState, x: &[Vec<f64>]) -> Vec<f64> {
    let (n_out, d_model) = (config.n_out(), config.d_model());
    let RollingAttention { n_heads, window } = *config.kind_as().unwrap();
    let row = |name: &str, i: usize| -> Vec<f64> {
        let row = &state[name].values[i * d_model..][..d_model];
        row.iter().map(|v| f64::from(*v)).collect()
    };
    let dot = |a: &[f64], b: &[f64]| -> f64 { a.iter().zip(b).map(|(a, b)| a * b).sum() };
    let window = window.min(x.len());
    (0..n_out)
        .map(|class| {
            let means = x.windows(window).map(|tokens| {
                let of_head = |head: usize| {
                    let (q, v) = (row("q.weight", head), row("v.weight", head * n_out + class));
                    let weights: Vec<f64> = tokens.iter().map(|x| dot(&q, x).exp()).collect();
                    let values = tokens.iter().zip(&weights).map(|(x, w)| w * dot(&v, x));
                    values.sum::<f64>() / weights.iter().sum::<f64>()
                };
                (0..n_heads).map(of_head).sum::<f64>()
            });
            let highest = means.fold(f64::NEG_INFINITY, f64::max);
            highest + f64::from(state["bias"].values[class])
        })
        .collect()
}

proptest! {
    #[test]
    fn every_window_is_weighed_on_its_own_wherever_the_padding_is(
        window in 1..8_usize,
        n_classes in 2..4_usize,
        mut padding in prop::collection::vec(any::<bool>(), 7),
        seed in any::<u64>(),
    ) {
        padding[3] = false;
        let device = Device::flex();
        let mut rng = ChaCha8Rng::seed_from_u64(seed);
        let config = ProbeConfig::new(RollingAttention { n_heads: 2, window }, 3, n_classes);
        let mut state = config.init_state(seed);
        let mut draw = |n: usize| -> Vec<f32> {
            (0..n).map(|_| rng.random_range(-1.5..1.5)).collect()
        };
        state.get_mut("q.weight").unwrap().values = draw(6);
        let x = draw(7 * 3);
        let probe = Probe::from_state(&state, &config, &device).unwrap();
        let tensor = Tensor::<3>::from_data(TensorData::new(x.clone(), [1, 7, 3]), &device);
        let mask = TensorData::new(padding.clone(), [1, 7]);
        let mask_pad = Tensor::<2, Bool>::from_data(mask, &device);
        let found = host_values(probe.forward(tensor, mask_pad).logits);
        let real = x.chunks(3).zip(&padding).filter(|(_, pad)| !**pad);
        let real: Vec<Vec<f64>> =
            real.map(|(x, _)| x.iter().map(|v| f64::from(*v)).collect()).collect();
        for (found, expected) in found.iter().zip(slow(&config, &state, &real)) {
            prop_assert!((f64::from(*found) - expected).abs() < 1e-5);
        }
    }
}

#[test]
fn a_window_of_no_token_is_refused() {
    let config =
        ProbeConfig::new(RollingAttention { window: 0, ..RollingAttention::default() }, 4, 2);
    let error = config.init(0, &Device::flex()).unwrap_err();
    assert_eq!(error.to_string(), "`window` is 0, expected at least 1");
}
