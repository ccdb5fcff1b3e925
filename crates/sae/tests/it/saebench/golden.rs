//! The golden arrays and numbers.

use std::io::Read;
use std::path::{Path, PathBuf};

use attention_probes_sae::eval::{BinaryProbe, ClassTexts, TextActivations};
use attention_probes_sae::{Sae, SaeActivation, SaeConfig};
use safetensors::{Dtype, SafeTensors};
use serde_json::Value;

pub(crate) const D_IN: usize = 32;
pub(crate) const D_SAE: usize = 256;

/// Texts of a class, and the positions of each.
const N_TEXTS: usize = 40;

pub(crate) struct Golden {
    arrays: Vec<u8>,
    pub(crate) json: Value,
}

pub(crate) fn folder() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/golden/saebench")
}

impl Golden {
    pub(crate) fn read() -> Self {
        let file = std::fs::File::open(folder().join("saebench.safetensors.zip")).unwrap();
        let mut zip = zip::ZipArchive::new(file).unwrap();
        let mut arrays = Vec::new();
        zip.by_index(0).unwrap().read_to_end(&mut arrays).unwrap();
        let json = std::fs::read(folder().join("saebench.json")).unwrap();
        Self { arrays, json: serde_json::from_slice(&json).unwrap() }
    }

    pub(crate) fn array(&self, name: &str) -> Vec<f32> {
        self.bytes(name, Dtype::F32).into_iter().map(f32::from_le_bytes).collect()
    }

    pub(crate) fn ints(&self, name: &str) -> Vec<u32> {
        self.bytes(name, Dtype::I32).into_iter().map(u32::from_le_bytes).collect()
    }

    fn bytes(&self, name: &str, dtype: Dtype) -> Vec<[u8; 4]> {
        let file = SafeTensors::deserialize(&self.arrays).unwrap();
        let tensor = file.tensor(name).unwrap();
        assert_eq!(tensor.dtype(), dtype, "{name}");
        tensor.data().as_chunks().0.to_vec()
    }

    pub(crate) fn number(&self, path: &str) -> f64 {
        self.json.pointer(path).and_then(Value::as_f64).unwrap_or_else(|| panic!("{path}"))
    }

    pub(crate) fn names(&self, of: &str) -> Vec<String> {
        let names = self.json[of].as_array().unwrap().iter();
        names.map(|name| name.as_str().unwrap().to_owned()).collect()
    }

    /// The autoencoder that was measured, feature by feature.
    pub(crate) fn sae(&self) -> Sae {
        let w_enc = self.array("sae.W_enc");
        let encoder = (0..D_SAE)
            .flat_map(|feature| (0..D_IN).map(move |d| d * D_SAE + feature))
            .map(|at| w_enc[at])
            .collect();
        Sae {
            config: SaeConfig::new(D_IN, D_SAE),
            activation: SaeActivation::Standard { b_enc: self.array("sae.b_enc") },
            encoder,
            decoder: self.array("sae.W_dec"),
            b_dec: self.array("sae.b_dec"),
        }
    }

    pub(crate) fn texts(&self, name: &str) -> TextActivations {
        TextActivations::padded(self.array(name), N_TEXTS, D_IN).unwrap()
    }

    /// The four classes of TPP.
    pub(crate) fn classes(&self, split: &str) -> ClassTexts {
        let names = self.names(&format!("tpp.{split}.names")).into_iter().enumerate();
        let classes = names.map(|(i, name)| (name, self.texts(&format!("tpp.{split}.{i}"))));
        ClassTexts::new(classes.collect()).unwrap()
    }

    pub(crate) fn probe(&self, name: &str) -> BinaryProbe {
        let bias = self.array(&format!("{name}.b"))[0];
        BinaryProbe { weight: self.array(&format!("{name}.w")), bias }
    }
}

/// Arrays that are equal to a share of the larger number.
pub(crate) fn assert_close<A: Into<f64> + Copy, B: Into<f64> + Copy>(
    found: &[A],
    expected: &[B],
    tolerance: f64,
    what: &str,
) {
    assert_eq!(found.len(), expected.len(), "{what}");
    let scale = expected.iter().map(|x| (*x).into().abs()).fold(0.0, f64::max);
    for (i, (found, expected)) in found.iter().zip(expected).enumerate() {
        let (found, expected): (f64, f64) = ((*found).into(), (*expected).into());
        // What is 0 but for rounding has the digits of what it was summed from.
        let bound = tolerance * expected.abs().max(1e-2 * scale);
        assert!((found - expected).abs() <= bound, "{what} {i}: {found} {expected}");
    }
}
