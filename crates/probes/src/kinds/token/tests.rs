//! Token probes, checked by hand.

use burn::tensor::{Bool, Device, Tensor};

use crate::testing::host_values;
use crate::{Aggregation, ParamArray, Probe, ProbeConfig, ProbeState, TokenScores};

#[test]
fn the_highest_token_decides_a_maximum() {
    let device = Device::flex();
    let state = ProbeState::from([
        ("weight".to_owned(), ParamArray { shape: vec![1, 2], values: vec![2.0, -1.0] }),
        ("bias".to_owned(), ParamArray { shape: vec![1], values: vec![0.5] }),
    ]);
    let config = ProbeConfig::new(TokenScores { aggregation: Aggregation::TopMean { k: 1 } }, 2, 2);
    let probe = Probe::from_state(&state, &config, &device).unwrap();
    let x = Tensor::<3>::from_data([[[1.0, 2.0], [3.0, 1.0], [99.0, 0.0_f32]]], &device);
    let mask_pad = Tensor::<2, Bool>::from_data([[false, false, true]], &device);
    assert_eq!(host_values(probe.forward(x, mask_pad).logits), [5.5]);
    assert_eq!(probe.state().unwrap(), state);
}
