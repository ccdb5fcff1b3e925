//! What the features of an autoencoder do on texts.

use attention_probes_activations::{
    Batching, CaptureOptions, ModelCapture, NonFinitePolicy, Watch, capture_rows,
};
use attention_probes_errors::Stop;
use attention_probes_kernels::{Matrix, Write, matmul};
use attention_probes_models::HookPoint;

use super::measure::SaeSite;
use crate::train::Contexts;
use crate::{Sae, SaeError, SparseCodes};

/// Contexts of one forward pass.
const CONTEXTS_PER_FORWARD: usize = 32;

/// The features of every token of some contexts.
///
/// # Memory
///
/// 16 bytes for each active feature of a token.
#[derive(Clone, Debug)]
pub struct FeatureActivity {
    codes: SparseCodes,
    length: usize,
    /// Tokens of each context that do not count, because they stand for its beginning.
    n_before: usize,
    /// Where each feature begins and ends in the next, `[d_sae + 1]`.
    indptr: Vec<usize>,
    /// Row and value of each active feature, feature by feature.
    by_feature: Vec<(u32, f32)>,
    /// Squared norm of what is not reconstructed over that of the deviations from the mean.
    fvu: f64,
}

/// How far the features of an autoencoder are looked at.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ActivityConfig {
    /// Most contexts that are read, the first ones.
    pub max_contexts: usize,
    /// Asked before each block of a forward pass.
    pub stop: Stop,
}

/// A feature at one token of a text.
#[derive(Clone, Copy, Debug)]
pub struct FeatureAt<'a> {
    /// Token ids of the text.
    pub ids: &'a [u32],
    /// The feature.
    pub feature: usize,
    /// The token.
    pub position: usize,
}

/// Where a feature is most active in one context.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct FeaturePeak {
    /// The context.
    pub context: usize,
    /// The token.
    pub position: usize,
    /// How active the feature is there.
    pub activation: f32,
}

impl FeatureActivity {
    /// Runs a model over some contexts and encodes what is at the hook of an autoencoder.
    ///
    /// # Errors
    ///
    /// - [`SaeError::Model`] if the model fails, or has no such hook.
    /// - [`SaeError::Site`] if the autoencoder reads rows of another width.
    /// - [`SaeError::NonFinite`] if an activation is not finite.
    /// - [`SaeError::Stopped`] if [`ActivityConfig::stop`] is given.
    pub fn collect(
        site: &SaeSite<'_>,
        sae: &Sae,
        contexts: &Contexts,
        config: &ActivityConfig,
    ) -> Result<Self, SaeError> {
        let ActivityConfig { max_contexts, stop } = config;
        let SaeSite { model, device, hook, .. } = *site;
        let (d_in, length) = (sae.config.d_in, contexts.length());
        let n_before = length - contexts.n_text_tokens();
        let mut codes = SparseCodes::new(sae.config.d_sae);
        let (mut left, mut squares, mut n) = (0.0_f64, 0.0_f64, 0_usize);
        let mut sums = vec![0.0_f64; d_in];
        let options = CaptureOptions {
            batching: Batching::InOrder { max_sequences: CONTEXTS_PER_FORWARD },
            non_finite: NonFinitePolicy::Keep,
            watch: Watch { progress: None, stop: stop.clone() },
            ..CaptureOptions::default()
        };
        let capture = ModelCapture { model: &*model.model, device, hooks: &[hook.into()], options };
        let all: Vec<usize> = (0..contexts.len().min(*max_contexts)).collect();
        for chunk in all.chunks(CONTEXTS_PER_FORWARD) {
            let texts: Vec<&[u32]> = chunk.iter().map(|i| contexts.ids(*i)).collect();
            let mut x: Vec<f32> = Vec::with_capacity(texts.len() * length * d_in);
            capture_rows(&capture, &texts, |rows| {
                x.extend_from_slice(rows.values[0]);
                Ok::<(), SaeError>(())
            })?;
            let width = x.len() / (chunk.len() * length);
            if width != d_in {
                return Err(SaeError::Site {
                    reads: format!("rows of {d_in}"),
                    asked: format!("`{hook}` of this model, whose rows have {width}"),
                });
            }
            if let Some(index) = x.iter().position(|value| !value.is_finite()) {
                return Err(SaeError::NonFinite { array: "activations", index, value: x[index] });
            }
            let encoded = sae.encode(&x)?;
            let decoded = sae.decode(&encoded);
            codes.append(&encoded.codes);
            let rows = x.chunks_exact(d_in).zip(decoded.chunks_exact(d_in)).enumerate();
            for (_, (x, decoded)) in rows.filter(|(row, _)| row % length >= n_before) {
                n += 1;
                for ((x, decoded), sum) in x.iter().zip(decoded).zip(&mut sums) {
                    left += f64::from(x - decoded).powi(2);
                    squares += f64::from(*x).powi(2);
                    *sum += f64::from(*x);
                }
            }
        }
        let mean: f64 = sums.iter().map(|sum| sum * sum / n.max(1) as f64).sum();
        let fvu = left / (squares - mean).max(f64::MIN_POSITIVE);
        let (indptr, by_feature) = sorted(&codes, length, n_before);
        Ok(Self { codes, length, n_before, indptr, by_feature, fvu })
    }

    /// Number of tokens that were counted.
    pub fn n_tokens(&self) -> usize {
        self.codes.n_rows() / self.length.max(1) * (self.length - self.n_before)
    }

    /// Active features of a token on average.
    pub fn l0(&self) -> f64 {
        self.by_feature.len() as f64 / self.n_tokens().max(1) as f64
    }

    /// Share of the variance that the autoencoder leaves.
    pub fn fvu(&self) -> f64 {
        self.fvu
    }

    /// Share of the tokens that each feature is active on, `[d_sae]`.
    pub fn densities(&self) -> Vec<f64> {
        let n = self.n_tokens().max(1) as f64;
        self.indptr.windows(2).map(|ends| (ends[1] - ends[0]) as f64 / n).collect()
    }

    /// Values of a feature where it is active.
    ///
    /// # Panics
    ///
    /// If there is no such feature.
    pub fn values(&self, feature: usize) -> impl Iterator<Item = f32> + '_ {
        self.of(feature).iter().map(|(_, value)| *value)
    }

    /// The token of each context where a feature is most active, the strongest first.
    ///
    /// # Panics
    ///
    /// If there is no such feature.
    pub fn peaks(&self, feature: usize) -> Vec<FeaturePeak> {
        let mut peaks: Vec<FeaturePeak> = Vec::new();
        for &(row, activation) in self.of(feature) {
            let (context, position) = (row as usize / self.length, row as usize % self.length);
            match peaks.last_mut() {
                Some(peak) if peak.context == context => {
                    if activation > peak.activation {
                        *peak = FeaturePeak { context, position, activation };
                    }
                }
                _ => peaks.push(FeaturePeak { context, position, activation }),
            }
        }
        peaks.sort_by(|a, b| b.activation.total_cmp(&a.activation));
        peaks
    }

    /// Activations of a feature over a context, `[length]`.
    ///
    /// # Panics
    ///
    /// If there is no such feature or context.
    pub fn over_context(&self, feature: usize, context: usize) -> Vec<f32> {
        let mut row = vec![0.0; self.length];
        let first = (context * self.length) as u32;
        for &(at, value) in self.of(feature) {
            if (first..first + self.length as u32).contains(&at) {
                row[(at - first) as usize] = value;
            }
        }
        row
    }

    fn of(&self, feature: usize) -> &[(u32, f32)] {
        &self.by_feature[self.indptr[feature]..self.indptr[feature + 1]]
    }
}

/// Rows and values of every feature, without the tokens that do not count.
fn sorted(codes: &SparseCodes, length: usize, n_before: usize) -> (Vec<usize>, Vec<(u32, f32)>) {
    let counts = |row: usize| row % length >= n_before;
    let mut ends = vec![0; codes.d_sae() + 1];
    for (_, (features, _)) in codes.rows().enumerate().filter(|(row, _)| counts(*row)) {
        for feature in features {
            ends[*feature as usize + 1] += 1;
        }
    }
    for feature in 1..ends.len() {
        ends[feature] += ends[feature - 1];
    }
    let (indptr, mut next) = (ends.clone(), ends);
    let mut by_feature = vec![(0, 0.0); indptr[codes.d_sae()]];
    for (row, (features, values)) in codes.rows().enumerate().filter(|(row, _)| counts(*row)) {
        for (feature, value) in features.iter().zip(values) {
            let place = &mut next[*feature as usize];
            by_feature[*place] = (row as u32, *value);
            *place += 1;
        }
    }
    (indptr, by_feature)
}

impl Sae {
    /// The features whose decoder rows are nearest to that of one, with the cosines, the nearest
    /// first.
    ///
    /// # Panics
    ///
    /// If there is no such feature.
    pub fn neighbours(&self, feature: usize, n: usize) -> Vec<(usize, f32)> {
        let (d_in, d_sae) = (self.config.d_in, self.config.d_sae);
        let mut dots = vec![0.0; d_sae];
        matmul(
            &mut dots,
            Matrix::new(&self.decoder[feature * d_in..][..d_in], 1, d_in),
            Matrix::new(&self.decoder, d_sae, d_in).transpose(),
            Write::Replace,
        );
        let norms = self.decoder_norms();
        let cosine = |i: usize| dots[i] / (norms[i] * norms[feature]).max(f32::MIN_POSITIVE);
        let mut others: Vec<(usize, f32)> =
            (0..d_sae).filter(|i| *i != feature).map(|i| (i, cosine(i))).collect();
        others.sort_by(|a, b| b.1.total_cmp(&a.1));
        others.truncate(n);
        others
    }

    /// Share of each head in the decoder's row of a feature, by norm, `[n_heads]`; of an autoencoder
    /// on `hook_z`.
    ///
    /// # Panics
    ///
    /// If there is no such feature, or the heads do not fill its row.
    pub fn head_shares(&self, feature: usize, n_heads: usize) -> Vec<f64> {
        let row = &self.decoder[feature * self.config.d_in..][..self.config.d_in];
        let norms: Vec<f64> = row
            .chunks_exact(self.config.d_in / n_heads)
            .map(|head| head.iter().map(|w| f64::from(*w).powi(2)).sum::<f64>().sqrt())
            .collect();
        let sum: f64 = norms.iter().sum();
        norms.iter().map(|norm| norm / sum.max(f64::MIN_POSITIVE)).collect()
    }
}

/// Direct attribution of a feature at one token to the tokens that the heads read it from,
/// `Σ_h A_h[q, k] v_h(k) · W_enc[h, i]`, `[length]`; of an autoencoder on `hook_z`.
///
/// It sums to the pre-activation without its constant (Kissane et al., 2024).
///
/// # Errors
///
/// - [`SaeError::Hook`] if the hook is none of the heads' outputs.
/// - [`SaeError::Model`] if the model fails.
/// - [`SaeError::Stopped`] if the signal to stop, asked before each block of the forward pass, is
///   given.
///
/// # Panics
///
/// If there is no such feature or position.
pub fn attribute_to_sources(
    site: &SaeSite<'_>,
    sae: &Sae,
    at: FeatureAt<'_>,
    stop: &Stop,
) -> Result<Vec<f64>, SaeError> {
    let FeatureAt { ids, feature, position } = at;
    let HookPoint::Z(layer) = site.hook else {
        return Err(SaeError::Hook { hook: site.hook.to_string() });
    };
    let (model, device) = (&*site.model.model, site.device);
    let shape = model.shape();
    let (n_heads, d_head, length) = (shape.n_heads, shape.d_head, ids.len());
    let hooks = [HookPoint::Pattern(layer).into(), HookPoint::V(layer).into()];
    let options = CaptureOptions {
        non_finite: NonFinitePolicy::Keep,
        watch: Watch { progress: None, stop: stop.clone() },
        ..CaptureOptions::default()
    };
    let capture = ModelCapture { model, device, hooks: &hooks, options };
    let (mut patterns, mut values) = (Vec::new(), Vec::new());
    capture_rows(&capture, &[ids], |rows| {
        (patterns, values) = (rows.values[0].to_vec(), rows.values[1].to_vec());
        Ok::<(), SaeError>(())
    })?;
    let n_values = shape.n_key_value_heads;
    let row = &sae.encoder[feature * sae.config.d_in..][..sae.config.d_in];
    let mut sources = vec![0.0; length];
    for head in 0..n_heads {
        let pattern = &patterns[(head * length + position) * length..][..length];
        let of_feature = &row[head * d_head..][..d_head];
        // Heads of queries share heads of values, in groups one after another.
        let value_head = head * n_values / n_heads;
        for (key, (source, weight)) in sources.iter_mut().zip(pattern).enumerate() {
            let value = &values[(key * n_values + value_head) * d_head..][..d_head];
            let dot: f64 =
                value.iter().zip(of_feature).map(|(v, w)| f64::from(*v) * f64::from(*w)).sum();
            *source += f64::from(*weight) * dot;
        }
    }
    Ok(sources)
}
