//! The same numbers on WebGPU as on the CPU; needs `--features wgpu` and an adapter, which may be
//! a software one such as Mesa's.

use std::path::Path;
use std::process::Command;

use attention_probes_activations::{NpzArray, NpzData, read_npz};
use burn::tensor::{Device, DeviceType};

use crate::skip::skipped;

/// Largest difference of an activation: sums in another order.
const TOLERANCE: f32 = 1e-4;

fn floats(array: &NpzArray) -> &[f32] {
    match &array.data {
        NpzData::F32(values) => values,
        other => panic!("{other:?}"),
    }
}

fn extract(folder: &Path, device: &str) -> Vec<(String, NpzArray)> {
    let output = folder.join(format!("{device}.npz"));
    let run = Command::new(crate::PROGRAM)
        .args(["extract", "--model", "demo-gpt2", "--device", device, "--hooks"])
        .arg("blocks.0.hook_resid_pre,blocks.2.attn.hook_pattern,blocks.3.hook_resid_post")
        .arg("--data")
        .arg(folder.join("data.csv"))
        .arg("--output")
        .arg(&output)
        .output()
        .unwrap();
    assert!(run.status.success(), "{}", String::from_utf8_lossy(&run.stderr));
    let arrays = read_npz(&output).unwrap();
    arrays.into_iter().filter(|(name, _)| name.starts_with("blocks")).collect()
}

#[test]
fn activations_on_webgpu_equal_those_on_the_cpu() {
    if Device::enumerate(DeviceType::Wgpu).is_empty() {
        skipped("no WebGPU or Vulkan adapter", None);
        return;
    }
    let folder = tempfile::tempdir().unwrap();
    let texts = "text\nOnce upon a time there was a fox.\nThe end\n";
    std::fs::write(folder.path().join("data.csv"), texts).unwrap();
    let cpu = extract(folder.path(), "cpu");
    let wgpu = extract(folder.path(), "wgpu");
    assert_eq!(cpu.len(), 3);
    for ((name, cpu), (_, wgpu)) in cpu.iter().zip(&wgpu) {
        assert_eq!(cpu.shape, wgpu.shape, "{name}");
        for (cpu, wgpu) in floats(cpu).iter().zip(floats(wgpu)) {
            assert!((cpu - wgpu).abs() < TOLERANCE, "{name}: {cpu} {wgpu}");
        }
    }
}
