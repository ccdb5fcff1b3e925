//! Saves a probe for `PyTorch` to load.
//!
//! ```text
//! cargo test -p attention-probes-probes --test it pytorch -- --ignored --nocapture
//! python crates/probes/tests/golden/make_attention_probe.py --check <the path that it prints>
//! ```

use attention_probes_activations::{NpzArray, write_npz};
use attention_probes_probes::{
    Attention, Probe, ProbeConfig, ProbeMetadata, SavedProbe, positions_from_mask,
};
use burn::tensor::{Bool, Device, Distribution, Tensor};

#[test]
#[ignore = "writes files for `make_attention_probe.py --check`, which needs PyTorch"]
fn a_saved_probe_and_its_logits_are_written_for_pytorch() {
    let device = Device::flex();
    let config = ProbeConfig::new(
        Attention { n_heads: 3, hidden_dim: Some(8), ..Attention::default() },
        12,
        4,
    );
    let mut state = config.init_state(1);
    for name in ["q.weight", "position_weight"] {
        let values = &mut state.get_mut(name).unwrap().values;
        values.iter_mut().enumerate().for_each(|(i, value)| *value = (i as f32).sin() / 2.0);
    }
    let probe = Probe::from_state(&state, &config, &device).unwrap();
    let class_names = ["a", "b", "c", "d"].map(str::to_owned).to_vec();
    let saved = SavedProbe::from_probe(&probe, ProbeMetadata::new(config, class_names)).unwrap();

    let dir = std::path::Path::new(env!("CARGO_TARGET_TMPDIR"));
    let path = saved.save(dir, "check").unwrap();
    let x = Tensor::<3>::random([5, 6, 12], Distribution::Normal(0.0, 1.0), &device);
    let mask_pad = Tensor::<2>::from_data(
        [
            [0.0, 0.0, 0.0, 0.0, 0.0, 0.0_f32],
            [0.0, 0.0, 1.0, 1.0, 1.0, 1.0],
            [1.0, 1.0, 1.0, 0.0, 0.0, 0.0],
            [1.0, 1.0, 1.0, 1.0, 1.0, 0.0],
            [0.0, 0.0, 0.0, 0.0, 0.0, 1.0],
        ],
        &device,
    );
    let is_pad: Tensor<2, Bool> = mask_pad.clone().bool();
    let logits = SavedProbe::load(&path).unwrap().to_probe(&device).unwrap();
    let logits = logits.forward(x.clone(), is_pad.clone()).logits;
    let arrays = [
        ("x", array(x)),
        ("mask", array(mask_pad * -1.0 + 1.0)),
        ("position", array(positions_from_mask(is_pad))),
        ("logits", array(logits)),
    ];
    write_npz(dir.join("check_io.npz"), &arrays).unwrap();
    println!("{}", path.display());
}

fn array<const D: usize>(tensor: Tensor<D>) -> NpzArray {
    NpzArray::new(
        tensor.dims().to_vec(),
        tensor.try_into_vec_as::<f32>().expect("the numbers can be read"),
    )
}
