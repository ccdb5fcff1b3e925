//! Gated bipolar probes, checked by hand.

use approx::assert_abs_diff_eq;
use burn::tensor::{Bool, Device, Tensor};

use crate::testing::host_values;
use crate::{GatedBipolar, NORM_EPSILON, ParamArray, Probe, ProbeConfig, ProbeState};

#[test]
fn both_ends_of_a_gated_feature_are_read() {
    let device = Device::flex();
    let array = |shape: &[usize], values: &[f32]| ParamArray {
        shape: shape.to_vec(),
        values: values.to_vec(),
    };
    let state = ProbeState::from([
        ("proj.weight".to_owned(), array(&[1, 2], &[1.0, 0.0])),
        ("proj.bias".to_owned(), array(&[1], &[0.5])),
        ("gate.weight".to_owned(), array(&[1, 2], &[0.0, 2.0])),
        ("gate.bias".to_owned(), array(&[1], &[-0.25])),
        ("out.weight".to_owned(), array(&[1, 2], &[3.0, 10.0])),
        ("out.bias".to_owned(), array(&[1], &[0.125])),
    ]);
    let config = ProbeConfig::new(GatedBipolar { d_gate: 1 }, 2, 2);
    let probe = Probe::from_state(&state, &config, &device).unwrap();
    let tokens = [[4.0, 2.0], [1.0, 5.0], [2.0, 2.5_f32]];
    let feature = |[a, b]: [f32; 2]| {
        let (mean, half) = (f64::from(a + b) / 2.0, f64::from(a - b) / 2.0);
        let (a, b) = (f64::from(a) - mean, f64::from(b) - mean);
        let scale = (half * half + f64::from(NORM_EPSILON)).sqrt();
        (a / scale + 0.5) * (2.0 * b / scale - 0.25).exp().ln_1p()
    };
    let features = tokens.map(feature);
    let highest = features.iter().copied().fold(f64::NEG_INFINITY, f64::max);
    let lowest = features.iter().copied().fold(f64::INFINITY, f64::min);
    let expected = 3.0 * highest - 10.0 * lowest + 0.125;

    let x = Tensor::<3>::from_data([[tokens[0], tokens[1], [7.0, -70.0], tokens[2]]], &device);
    let mask_pad = Tensor::<2, Bool>::from_data([[false, false, true, false]], &device);
    let logit = host_values(probe.forward(x, mask_pad).logits)[0];
    assert_abs_diff_eq!(f64::from(logit), expected, epsilon = 1e-4);
    assert_eq!(probe.state().unwrap(), state);
}
