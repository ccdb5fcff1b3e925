//! Linear probes, checked by hand.

use burn::tensor::{Bool, Device, Tensor};

use crate::testing::host_values;
use crate::{Linear, ParamArray, Probe, ProbeConfig, ProbeState};

#[test]
fn logits_are_the_dot_product_of_the_mean_plus_the_bias() {
    let device = Device::flex();
    let state = ProbeState::from([
        ("weight".to_owned(), ParamArray { shape: vec![1, 2], values: vec![2.0, -1.0] }),
        ("bias".to_owned(), ParamArray { shape: vec![1], values: vec![0.5] }),
    ]);
    let config = ProbeConfig::new(Linear::default(), 2, 2);
    let probe = Probe::from_state(&state, &config, &device).unwrap();
    let x = Tensor::<3>::from_data([[[1.0, 2.0], [3.0, 6.0], [99.0, 99.0_f32]]], &device);
    let mask_pad = Tensor::<2, Bool>::from_data([[false, false, true]], &device);
    let output = probe.forward(x, mask_pad);
    assert_eq!(host_values(output.logits), [2.0 * 2.0 - 4.0 + 0.5]);
    assert!(output.pattern.is_none());
    assert_eq!(probe.state().unwrap(), state);
}

#[test]
fn one_class_is_refused() {
    let error = ProbeConfig::new(Linear::default(), 4, 1).init(0, &Device::flex()).unwrap_err();
    assert_eq!(error.to_string(), "`n_classes` is 1, expected at least 2");
}

#[test]
fn outputs_that_are_no_classes_are_as_many_as_they_are() {
    let config = ProbeConfig::of_outputs(Linear::default(), 3, 2);
    assert_eq!((config.n_out(), config.init_state(1)["bias"].shape.clone()), (2, vec![2]));
    config.check().unwrap();
    let json = serde_json::to_string(&config).unwrap();
    assert!(json.ends_with(r#""pool":"mean","n_outputs":2}"#), "{json}");
    let both = json.replace(r#""n_classes":0"#, r#""n_classes":2"#);
    let both: ProbeConfig = serde_json::from_str(&both).unwrap();
    assert_eq!(
        both.check().unwrap_err().to_string(),
        "`n_classes` is 2, expected 0 beside `n_outputs`"
    );
    assert!(ProbeConfig::of_outputs(Linear::default(), 3, 0).check().is_err());
    let json = serde_json::to_string(&ProbeConfig::new(Linear::default(), 3, 2)).unwrap();
    assert!(!json.contains("n_outputs"), "{json}");
}
