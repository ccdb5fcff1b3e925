//! Mlp probes, checked by hand.

use burn::tensor::{Bool, Device, Tensor};

use crate::testing::host_values;
use crate::{Mlp, ParamArray, Probe, ProbeConfig, ProbeState};

#[test]
fn a_hidden_unit_that_is_negative_is_silent() {
    let device = Device::flex();
    let array = |shape: &[usize], values: &[f32]| ParamArray {
        shape: shape.to_vec(),
        values: values.to_vec(),
    };
    let state = ProbeState::from([
        ("hidden.weight".to_owned(), array(&[2, 1], &[1.0, -1.0])),
        ("hidden.bias".to_owned(), array(&[2], &[0.0, 0.5])),
        ("out.weight".to_owned(), array(&[1, 2], &[3.0, 5.0])),
        ("out.bias".to_owned(), array(&[1], &[0.25])),
    ]);
    let config = ProbeConfig::new(Mlp { hidden_dim: 2, ..Mlp::default() }, 1, 2);
    let probe = Probe::from_state(&state, &config, &device).unwrap();
    let x = Tensor::<3>::from_data([[[2.0]], [[-2.0_f32]]], &device);
    let mask_pad = Tensor::<2, Bool>::from_data([[false], [false]], &device);
    let logits = host_values(probe.forward(x, mask_pad).logits);
    assert_eq!(logits, [3.0 * 2.0 + 0.25, 5.0 * 2.5 + 0.25]);
    assert_eq!(probe.state().unwrap(), state);
}

#[test]
fn an_empty_hidden_layer_is_refused() {
    let config = ProbeConfig::new(Mlp { hidden_dim: 0, ..Mlp::default() }, 4, 2);
    let error = config.init(0, &Device::flex()).unwrap_err();
    assert_eq!(error.to_string(), "`hidden_dim` is 0, expected at least 1");
}
