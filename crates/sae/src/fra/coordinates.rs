//! The whole tensor of a text: every pair of features at every query and key.

use attention_probes_activations::NpzArray;

use super::reading::FraReading;
use super::text::FraHead;
use crate::SaeError;

/// Most bytes of the tensors of a text.
const MAX_BYTES: usize = 8 << 30;

/// Bytes of a value with its four coordinates.
const VALUE_BYTES: usize = 4 * size_of::<i32>() + size_of::<f32>();

/// The pair term of one head as a sparse tensor in coordinates,
/// `[n_positions, n_positions, d_sae, d_sae]`: query, key, feature at the query, feature at the key.
///
/// Every query and key that it sees has a value for each feature that is active at the one with each
/// that is active at the other; all other entries are 0. The sum over features is
/// [`FraTerms::pairs`](super::FraTerms::pairs).
#[derive(Clone, Debug, Default, PartialEq)]
pub struct FraCoordinates {
    /// Position of the query of each value, ascending.
    pub query_pos: Vec<i32>,
    /// Position of the key, ascending for one query.
    pub key_pos: Vec<i32>,
    /// Feature at the query.
    pub query_feature: Vec<i32>,
    /// Feature at the key.
    pub key_feature: Vec<i32>,
    /// What the pair adds to the score.
    pub values: Vec<f32>,
}

impl FraHead<'_> {
    /// Number of values of the pair term.
    pub fn n_values(&self) -> usize {
        let of_query = |query_pos: usize| {
            let keys = self.codes.range(self.first_key(query_pos)).start;
            let queries = self.codes.range(query_pos);
            queries.len() * (queries.end - keys)
        };
        (0..self.n_positions()).map(of_query).sum()
    }

    /// The whole pair term.
    ///
    /// # Memory
    ///
    /// 20 bytes for each value.
    pub fn coordinates(&self) -> FraCoordinates {
        let n = self.n_values();
        let mut found = FraCoordinates {
            query_pos: Vec::with_capacity(n),
            key_pos: Vec::with_capacity(n),
            query_feature: Vec::with_capacity(n),
            key_feature: Vec::with_capacity(n),
            values: Vec::with_capacity(n),
        };
        for query_pos in 0..self.n_positions() {
            for key_pos in self.first_key(query_pos)..=query_pos {
                let block = self.block(query_pos, key_pos);
                for query in &block.query_features {
                    found.query_feature.extend(block.key_features.iter().map(|_| *query as i32));
                    found.key_feature.extend(block.key_features.iter().map(|key| *key as i32));
                }
                let n = block.values.len();
                found.query_pos.extend((0..n).map(|_| query_pos as i32));
                found.key_pos.extend((0..n).map(|_| key_pos as i32));
                found.values.extend(block.values);
            }
        }
        found
    }
}

impl FraReading<'_> {
    /// The arrays of an npz with the whole tensor of every head that was read.
    ///
    /// `tokens` are the ids, `[n_positions]`. Of each head `H`, `head{H}/coords` are the coordinates of
    /// the values, `[4, n_values]`: query, key, feature at the query, feature at the key;
    /// `head{H}/values` the values, `[n_values]`; `head{H}/shape` the shape of the tensor, `[4]`; and
    /// `head{H}/scores` the model's scores before the soft cap, `[n_positions, n_positions]`.
    ///
    /// # Errors
    ///
    /// - [`SaeError::TooLarge`] if they take more than 8 GiB
    /// - [`SaeError::Head`] if a head was not read
    ///
    /// # Memory
    ///
    /// 36 bytes for each value.
    pub fn arrays(&self, heads: &[usize]) -> Result<Vec<(String, NpzArray)>, SaeError> {
        let mut n_values = 0;
        for head in heads {
            n_values += self.head(*head)?.n_values();
        }
        let n_bytes = n_values.saturating_mul(VALUE_BYTES);
        if n_bytes > MAX_BYTES {
            return Err(SaeError::TooLarge { n_values, n_bytes: n_bytes as u64 });
        }
        let ids: Vec<i64> = self.features().tokens.iter().map(|of| i64::from(of.id)).collect();
        let n = ids.len();
        let d_sae = self.layer.sae().config.d_sae;
        let mut arrays = vec![("tokens".to_owned(), NpzArray::new(vec![n], ids))];
        for head in heads {
            let found = self.head(*head)?.coordinates();
            let n_values = found.values.len();
            let rows = [found.query_pos, found.key_pos, found.query_feature, found.key_feature];
            let coords: Vec<i32> = rows.concat();
            let name = |what: &str| format!("head{head}/{what}");
            let shape = [n, n, d_sae, d_sae].map(|size| size as i64).to_vec();
            let scores = self.scores(*head)?.to_vec();
            arrays.push((name("coords"), NpzArray::new(vec![4, n_values], coords)));
            arrays.push((name("values"), NpzArray::new(vec![n_values], found.values)));
            arrays.push((name("shape"), NpzArray::new(vec![4], shape)));
            arrays.push((name("scores"), NpzArray::new(vec![n, n], scores)));
        }
        Ok(arrays)
    }
}

#[cfg(test)]
mod tests {
    use attention_probes_models::open_model;
    use burn::tensor::Device;

    use crate::fra::{FraLayer, FraReader};
    use crate::{Sae, SaeActivation, SaeConfig};

    #[test]
    fn the_whole_tensor_adds_up_to_the_pairs_and_has_every_value_once() {
        let device = Device::flex();
        for (name, d_sae) in [("demo-gpt2", 70), ("demo-gemma", 50)] {
            let model = open_model(name, None, &device).unwrap();
            let d_in = model.model.shape().d_model;
            let wave = |n: usize, at: f32| (0..n).map(|i| (i as f32 * at).sin()).collect();
            let activation = SaeActivation::TopK {
                b_enc: vec![0.0; d_sae],
                k: 5,
                rescale_acts_by_decoder_norm: false,
            };
            let (encoder, decoder) = (wave(d_in * d_sae, 0.9), wave(d_in * d_sae, 1.3));
            let config = SaeConfig::new(d_in, d_sae);
            let mut sae = Sae { config, activation, encoder, decoder, b_dec: vec![0.0; d_in] };
            sae.set_hook("blocks.1.hook_resid_pre".parse().unwrap());
            let layer = FraLayer::new(&sae, &*model.model, 1).unwrap();
            let reader = FraReader::of(&sae, &model, &device);
            let reading = layer.text(&reader, "The fox ran to the other fox.").unwrap();
            let head = reading.head(1).unwrap();
            let found = head.coordinates();
            assert_eq!(found.values.len(), head.n_values());
            let n = head.n_positions();
            let (pairs, mut sums) = (head.terms().unwrap().pairs, vec![0.0_f32; n * n]);
            let mut seen = std::collections::BTreeSet::new();
            for i in 0..found.values.len() {
                let (query, key) = (found.query_pos[i], found.key_pos[i]);
                sums[query as usize * n + key as usize] += found.values[i];
                let (a, b) = (found.query_feature[i] as u32, found.key_feature[i] as u32);
                assert!(seen.insert((query, key, a, b)), "each value once");
                let of_pair = head.pair_values(a, b);
                let mut of_pair = of_pair.iter();
                let alike = of_pair.find(|it| (it.0 as i32, it.1 as i32) == (query, key)).unwrap();
                assert!((alike.2 - found.values[i]).abs() <= 1e-4 * alike.2.abs().max(1.0));
            }
            for (sum, pair) in sums.iter().zip(&pairs) {
                assert!((sum - pair).abs() <= 1e-3 * pair.abs().max(1.0), "{name}: {sum} {pair}");
            }
            let arrays = reading.arrays(&[1]).unwrap();
            let names: Vec<&str> = arrays.iter().map(|(name, _)| name.as_str()).collect();
            assert_eq!(
                names,
                ["tokens", "head1/coords", "head1/values", "head1/shape", "head1/scores"]
            );
            assert_eq!(arrays[1].1.shape, [4, head.n_values()]);
        }
    }
}
