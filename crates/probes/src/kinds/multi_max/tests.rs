//! Multi max probes, checked by hand.

use burn::tensor::{Bool, Device, Tensor};

use crate::testing::host_values;
use crate::{MultiMax, ParamArray, Probe, ProbeConfig, ProbeState};

#[test]
fn each_head_takes_its_own_token() {
    let device = Device::flex();
    let weight = ParamArray { shape: vec![2, 2], values: vec![1.0, 0.0, 0.0, 1.0] };
    let state = ProbeState::from([
        ("v.weight".to_owned(), weight),
        ("bias".to_owned(), ParamArray { shape: vec![1], values: vec![0.25] }),
    ]);
    let config = ProbeConfig::new(MultiMax { n_heads: 2 }, 2, 2);
    let probe = Probe::from_state(&state, &config, &device).unwrap();
    let x = Tensor::<3>::from_data([[[9.0, 9.0], [1.0, -3.0], [-2.0, 4.0_f32]]], &device);
    let mask_pad = Tensor::<2, Bool>::from_data([[true, false, false]], &device);
    assert_eq!(host_values(probe.forward(x, mask_pad).logits), [1.0 + 4.0 + 0.25]);
    assert_eq!(probe.state().unwrap(), state);
}
