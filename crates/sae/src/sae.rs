//! A sparse autoencoder in host memory: its weights, encoding, and decoding.

use attention_probes_errors::ValueError;
use attention_probes_kernels::{Matrix, Write, matmul};
use attention_probes_models::HookPoint;
use rayon::prelude::*;

use crate::config::{Architecture, Normalization, Reshape, SaeConfig};
use crate::top_k::TopK;
use crate::{SaeError, SparseCodes};

/// Pre-activations that are held at a time; a block of rows has about as many.
const BLOCK_VALUES: usize = 1 << 23;

/// Keeps the division by the standard deviation finite, as `SAELens` does.
const LAYER_NORM_EPSILON: f32 = 1e-5;

/// How pre-activations become features, with the weights that only this architecture has.
///
/// `pre = (x - b_dec) W_enc + b_enc`, `‖d_i‖` is the norm of the decoder's row `i`.
#[derive(Clone, Debug, PartialEq)]
pub enum SaeActivation {
    /// `f = max(pre, 0)`
    Standard {
        /// `[d_sae]`
        b_enc: Vec<f32>,
    },
    /// The `k` largest of `pre` in each row, rectified.
    TopK {
        /// `[d_sae]`
        b_enc: Vec<f32>,
        /// Features of a row.
        k: usize,
        /// Whether `pre_i ‖d_i‖` is compared and returned, and `f_i / ‖d_i‖` is decoded.
        rescale_acts_by_decoder_norm: bool,
    },
    /// `f_i = max(pre_i, 0)` where `pre_i > threshold_i`, else 0
    JumpRelu {
        /// `[d_sae]`
        b_enc: Vec<f32>,
        /// `[d_sae]`
        threshold: Vec<f32>,
    },
    /// `f_i = max(exp(r_mag_i) e_i + b_mag_i, 0)` where `e_i + b_gate_i > 0`, else 0, with
    /// `e = (x - b_dec) W_enc`
    Gated {
        /// `[d_sae]`
        b_gate: Vec<f32>,
        /// `[d_sae]`
        r_mag: Vec<f32>,
        /// `[d_sae]`
        b_mag: Vec<f32>,
    },
}

impl SaeActivation {
    /// Returns the name of the architecture.
    pub fn architecture(&self) -> Architecture {
        match self {
            Self::Standard { .. } => Architecture::Standard,
            Self::TopK { .. } => Architecture::TopK,
            Self::JumpRelu { .. } => Architecture::JumpRelu,
            Self::Gated { .. } => Architecture::Gated,
        }
    }

    /// Its arrays by name, each `[d_sae]`.
    pub(crate) fn arrays(&self) -> Vec<(&'static str, &[f32])> {
        match self {
            Self::Standard { b_enc } | Self::TopK { b_enc, .. } => vec![("b_enc", b_enc)],
            Self::JumpRelu { b_enc, threshold } => {
                vec![("b_enc", b_enc), ("threshold", threshold)]
            }
            Self::Gated { b_gate, r_mag, b_mag } => {
                vec![("b_gate", b_gate), ("r_mag", r_mag), ("b_mag", b_mag)]
            }
        }
    }
}

/// A sparse autoencoder: `x ≈ f(x) W_dec + b_dec` with few features `f` that are not 0.
///
/// Both matrices are kept feature by feature, so that what belongs to a feature lies together.
#[derive(Clone, Debug, PartialEq)]
pub struct Sae {
    /// Its shape and site.
    pub config: SaeConfig,
    /// How it makes features, with the biases.
    pub activation: SaeActivation,
    /// `W_enc` by feature, `[d_sae, d_in]`.
    pub encoder: Vec<f32>,
    /// `W_dec`, `[d_sae, d_in]`.
    pub decoder: Vec<f32>,
    /// `[d_in]`
    pub b_dec: Vec<f32>,
}

/// Codes of some rows, and what undoes the normalisation of those rows.
#[derive(Clone, Debug, PartialEq)]
pub struct Encoded {
    /// The features.
    pub codes: SparseCodes,
    /// What each row was divided by and then what had been taken from it; empty if neither.
    scales: Vec<(f32, f32)>,
}

impl Encoded {
    /// What the features of a row are multiplied by after they were decoded.
    pub(crate) fn scale(&self, row: usize) -> f32 {
        self.scales.get(row).map_or(1.0, |(scale, _)| *scale)
    }
}

impl Sae {
    /// Checks the sizes and that every weight is a finite number.
    ///
    /// # Errors
    ///
    /// - [`SaeError::Hyperparameter`] if a size is 0 or too large, or `k` is not from 1 to `d_sae`.
    /// - [`SaeError::SizeMismatch`] if an array has not the size that the config asks for.
    /// - [`SaeError::NonFinite`] if a weight is NaN or infinite.
    pub fn check(&self) -> Result<(), SaeError> {
        let SaeConfig { d_in, d_sae, .. } = self.config;
        let error =
            |name, value: usize, expected| Err(ValueError::new(name, value, expected).into());
        if d_in == 0 {
            return error("d_in", d_in, "at least 1");
        }
        if d_sae == 0 {
            return error("d_sae", d_sae, "at least 1");
        }
        let Some(size) = d_in.checked_mul(d_sae).filter(|_| u32::try_from(d_sae).is_ok()) else {
            return error("d_sae", d_sae, "a smaller number");
        };
        if let SaeActivation::TopK { k, .. } = &self.activation
            && !(1..=d_sae).contains(k)
        {
            return error("k", *k, "from 1 to the number of features");
        }
        let matrices = [("W_enc", &self.encoder, size), ("W_dec", &self.decoder, size)];
        let mut arrays: Vec<(&'static str, &[f32], usize)> =
            matrices.into_iter().map(|(name, values, size)| (name, &values[..], size)).collect();
        arrays.push(("b_dec", &self.b_dec, d_in));
        arrays.extend(self.activation.arrays().into_iter().map(|(name, v)| (name, v, d_sae)));
        for (array, values, expected) in arrays {
            if values.len() != expected {
                let (what, found) = (array, values.len());
                return Err(SaeError::SizeMismatch { what, found, expected });
            }
            if let Some(index) = values.iter().position(|value| !value.is_finite()) {
                return Err(SaeError::NonFinite { array, index, value: values[index] });
            }
        }
        for (array, values) in [("W_enc", &self.encoder), ("W_dec", &self.decoder)] {
            let is_huge = |row: &[f32]| !row.iter().map(|w| w * w).sum::<f32>().is_finite();
            if let Some(feature) = values.par_chunks_exact(d_in).position_first(is_huge) {
                return Err(SaeError::Huge { array, feature });
            }
        }
        Ok(())
    }

    /// Says at which hook it reads; of the heads' outputs, that rows are heads side by side.
    pub fn set_hook(&mut self, hook: HookPoint) {
        self.config.metadata.set("hook_name", hook.to_string());
        if matches!(hook, HookPoint::Z(_)) {
            self.config.reshape_activations = Reshape::HookZ;
        }
    }

    /// Encodes rows of activations, `[n, d_in]`.
    ///
    /// # Errors
    ///
    /// [`SaeError::SizeMismatch`] if they do not fill rows.
    ///
    /// # Memory
    ///
    /// The codes, and the pre-activations of some rows at a time.
    pub fn encode(&self, x: &[f32]) -> Result<Encoded, SaeError> {
        let SaeConfig { d_in, d_sae, .. } = self.config;
        if !x.len().is_multiple_of(d_in) {
            let what = "the number of values in rows of activations";
            let (found, expected) = (x.len(), x.len().next_multiple_of(d_in));
            return Err(SaeError::SizeMismatch { what, found, expected });
        }
        let norms = self.decoder_norms_if_rescaled();
        let mut codes = SparseCodes::new(d_sae);
        let mut scales = Vec::new();
        let n_block = (BLOCK_VALUES / d_sae).max(1);
        let mut pre = Vec::new();
        for block in x.chunks(n_block * d_in) {
            let n = block.len() / d_in;
            let mut input = block.to_vec();
            for row in input.chunks_exact_mut(d_in) {
                scales.extend(normalize(self.config.normalize_activations, row));
                if self.config.apply_b_dec_to_input {
                    for (x, b) in row.iter_mut().zip(&self.b_dec) {
                        *x -= b;
                    }
                }
            }
            pre.resize(n * d_sae, 0.0);
            matmul(
                &mut pre,
                Matrix::new(&input, n, d_in),
                Matrix::new(&self.encoder, d_sae, d_in).transpose(),
                Write::Replace,
            );
            let rows: Vec<Vec<(u32, f32)>> =
                pre.par_chunks_exact_mut(d_sae).map(|row| self.activate(row, &norms)).collect();
            for row in rows {
                codes.push_row(row);
            }
        }
        Ok(Encoded { codes, scales })
    }

    /// Features of a row of products, in rising order.
    fn activate(&self, products: &mut [f32], norms: &[f32]) -> Vec<(u32, f32)> {
        let active =
            |(feature, value): (usize, f32)| (value > 0.0).then_some((feature as u32, value));
        match &self.activation {
            SaeActivation::Standard { b_enc } => {
                let pre = products.iter().zip(b_enc).map(|(e, b)| e + b);
                pre.enumerate().filter_map(active).collect()
            }
            SaeActivation::JumpRelu { b_enc, threshold } => {
                let pre = products.iter().zip(b_enc).map(|(e, b)| e + b);
                let passed = pre.zip(threshold).enumerate().filter(|(_, (pre, t))| pre > t);
                passed.map(|(i, (pre, _))| (i, pre)).filter_map(active).collect()
            }
            SaeActivation::Gated { b_gate, r_mag, b_mag } => {
                let open =
                    products.iter().zip(b_gate).enumerate().filter(|(_, (e, b))| *e + *b > 0.0);
                let magnitude =
                    |(i, (e, _)): (usize, (&f32, &f32))| (i, r_mag[i].exp() * e + b_mag[i]);
                open.map(magnitude).filter_map(active).collect()
            }
            SaeActivation::TopK { b_enc, k, .. } => {
                for (e, b) in products.iter_mut().zip(b_enc) {
                    *e += b;
                }
                for (e, norm) in products.iter_mut().zip(norms) {
                    *e *= norm;
                }
                TopK::default().largest(products, *k).filter_map(active).collect()
            }
        }
    }

    /// Norms of the decoder's rows where features are scaled by them, else nothing.
    pub(crate) fn decoder_norms_if_rescaled(&self) -> Vec<f32> {
        match self.activation {
            SaeActivation::TopK { rescale_acts_by_decoder_norm: true, .. } => self.decoder_norms(),
            _ => Vec::new(),
        }
    }

    /// Euclidean norm of every row of the decoder, `[d_sae]`.
    pub fn decoder_norms(&self) -> Vec<f32> {
        let norm = |row: &[f32]| row.iter().map(|w| w * w).sum::<f32>().sqrt();
        self.decoder.par_chunks_exact(self.config.d_in).map(norm).collect()
    }

    /// What the features say the activations are, `[n, d_in]`.
    ///
    /// # Panics
    ///
    /// If the codes are not of this autoencoder's features.
    pub fn decode(&self, encoded: &Encoded) -> Vec<f32> {
        let SaeConfig { d_in, d_sae, .. } = self.config;
        let codes = &encoded.codes;
        assert_eq!(codes.d_sae(), d_sae, "codes of this autoencoder");
        let norms = self.decoder_norms_if_rescaled();
        let mut decoded = vec![0.0; codes.n_rows() * d_in];
        decoded.par_chunks_exact_mut(d_in).enumerate().for_each(|(row, decoded)| {
            let (features, values) = codes.row(row);
            for (feature, value) in features.iter().zip(values) {
                let feature = *feature as usize;
                let value = norms.get(feature).map_or(*value, |norm| value / norm);
                let direction = &self.decoder[feature * d_in..][..d_in];
                for (x, d) in decoded.iter_mut().zip(direction) {
                    *x += value * d;
                }
            }
            for (x, b) in decoded.iter_mut().zip(&self.b_dec) {
                *x += b;
            }
            if let Some((scale, mean)) = encoded.scales.get(row) {
                for x in decoded {
                    *x = *x * scale + mean;
                }
            }
        });
        decoded
    }
}

/// Normalises a row in place; returns what undoes it, if anything was done.
fn normalize(by: Normalization, row: &mut [f32]) -> Option<(f32, f32)> {
    let n = row.len() as f32;
    match by {
        Normalization::None | Normalization::ExpectedAverageOnlyIn => None,
        Normalization::ConstantNormRescale => {
            let norm = row.iter().map(|x| x * x).sum::<f32>().sqrt();
            let factor = n.sqrt() / norm;
            for x in row.iter_mut() {
                *x *= factor;
            }
            Some((1.0 / factor, 0.0))
        }
        Normalization::LayerNorm => {
            let mean = row.iter().sum::<f32>() / n;
            let variance = row.iter().map(|x| (x - mean).powi(2)).sum::<f32>() / (n - 1.0);
            let deviation = variance.sqrt();
            for x in row.iter_mut() {
                *x = (*x - mean) / (deviation + LAYER_NORM_EPSILON);
            }
            Some((deviation, mean))
        }
    }
}
