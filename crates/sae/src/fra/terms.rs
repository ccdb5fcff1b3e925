//! The four terms of a score, and any slice of the pair term.

use attention_probes_kernels::{Matrix, Write, matmul};

use super::text::FraHead;
use crate::SaeError;

/// The parts of one head's scores, each `[n_positions, n_positions]`, query by row; 0 where the
/// query does not see the key.
///
/// They add up to the model's scores before the soft cap: with `x = Σ_i a_i d_i + e` at both
/// positions, and `c` for what is neither (biases),
///
/// ```text
/// score = Σ_ij a_i a_j u_i·v_j + Σ_i a_i u_i·c_K + Σ_j c_Q·v_j a_j + c_Q·c_K
/// ```
#[derive(Clone, Debug, PartialEq)]
pub struct FraTerms {
    /// Query features with key features: the sum of all pairs.
    pub pairs: Vec<f32>,
    /// Query features with what is no feature at the key.
    pub query_features: Vec<f32>,
    /// What is no feature at the query with key features.
    pub key_features: Vec<f32>,
    /// What is no feature at either.
    pub rest: Vec<f32>,
}

impl FraTerms {
    /// The sum of the four, which is the model's score before the soft cap.
    pub fn scores(&self) -> Vec<f32> {
        let parts = self.pairs.iter().zip(&self.query_features);
        let others = self.key_features.iter().zip(&self.rest);
        parts.zip(others).map(|((a, b), (c, d))| a + b + c + d).collect()
    }
}

/// Every pair of features of one query and one key.
#[derive(Clone, Debug, PartialEq)]
pub struct FraBlock {
    /// Features that are active at the query.
    pub query_features: Vec<u32>,
    /// Features that are active at the key.
    pub key_features: Vec<u32>,
    /// `[query_features, key_features]`
    pub values: Vec<f32>,
}

/// A value of the pair term.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct FraValue {
    /// Position of the query.
    pub query_pos: usize,
    /// Position of the key.
    pub key_pos: usize,
    /// The other feature than the one that was asked for.
    pub feature: u32,
    /// What the pair adds to the score.
    pub value: f32,
}

impl FraHead<'_> {
    /// Number of positions.
    pub fn n_positions(&self) -> usize {
        self.codes.n_positions()
    }

    /// Whether a query sees a key.
    pub fn sees(&self, query_pos: usize, key_pos: usize) -> bool {
        key_pos <= query_pos && self.window.is_none_or(|window| query_pos - key_pos < window)
    }

    /// The first key that a query sees.
    pub(super) fn first_key(&self, query_pos: usize) -> usize {
        self.window.map_or(0, |window| (query_pos + 1).saturating_sub(window))
    }

    /// The four terms of every score.
    ///
    /// # Errors
    ///
    /// [`SaeError::Published`] if the layer is [`FraLayer::published`](super::FraLayer::published):
    /// its values add up to nothing.
    pub fn terms(&self) -> Result<FraTerms, SaeError> {
        if self.is_published {
            return Err(SaeError::Published { what: "terms of scores" });
        }
        let (query, key) = (self.summed(&self.query), self.summed(&self.key));
        Ok(FraTerms {
            pairs: self.products(&query, &key),
            query_features: self.products(&query, &self.key_rest),
            key_features: self.products(&self.query_rest, &key),
            rest: self.products(&self.query_rest, &self.key_rest),
        })
    }

    /// Rows of active features summed at each position, `[n_positions, d_head]`.
    fn summed(&self, rows: &[f32]) -> Vec<f32> {
        let mut sums = vec![0.0; self.n_positions() * self.d_head];
        for (position, sum) in sums.chunks_exact_mut(self.d_head.max(1)).enumerate() {
            for active in self.codes.range(position) {
                for (sum, value) in sum.iter_mut().zip(&rows[active * self.d_head..]) {
                    *sum += value;
                }
            }
        }
        sums
    }

    /// Products of queries and keys, 0 where a key is hidden.
    fn products(&self, query: &[f32], key: &[f32]) -> Vec<f32> {
        let n = self.n_positions();
        let mut products = vec![0.0; n * n];
        let query = Matrix::new(query, n, self.d_head);
        let key = Matrix::new(key, n, self.d_head).transpose();
        matmul(&mut products, query, key, Write::Replace);
        for (query_pos, row) in products.chunks_exact_mut(n.max(1)).enumerate() {
            row[..self.first_key(query_pos)].fill(0.0);
            row[query_pos + 1..].fill(0.0);
        }
        products
    }

    /// Features of a position.
    fn features(&self, position: usize) -> Vec<u32> {
        let (slots, _) = self.codes.position(position);
        slots.iter().map(|slot| self.codes.features()[*slot as usize]).collect()
    }

    /// The pairs of one query and one key; without a value if the query does not see the key.
    ///
    /// # Panics
    ///
    /// If there is no such position.
    pub fn block(&self, query_pos: usize, key_pos: usize) -> FraBlock {
        let (queries, keys) = (self.codes.range(query_pos), self.codes.range(key_pos));
        let mut values = vec![0.0; queries.len() * keys.len()];
        if self.sees(query_pos, key_pos) {
            let query = &self.query[queries.start * self.d_head..queries.end * self.d_head];
            let key = &self.key[keys.start * self.d_head..keys.end * self.d_head];
            let query = Matrix::new(query, queries.len(), self.d_head);
            let key = Matrix::new(key, keys.len(), self.d_head).transpose();
            matmul(&mut values, query, key, Write::Replace);
        }
        let (query_features, key_features) = (self.features(query_pos), self.features(key_pos));
        FraBlock { query_features, key_features, values }
    }

    /// Calls `visit` with each query, and the values of its features with all keys that it sees,
    /// `[active at the query, active at those keys]`, keys in the order of positions.
    ///
    /// # Memory
    ///
    /// The values of one query.
    pub fn for_each_query(&self, mut visit: impl FnMut(usize, &[f32])) {
        let mut values = Vec::new();
        for query_pos in 0..self.n_positions() {
            let queries = self.codes.range(query_pos);
            let first = self.codes.range(self.first_key(query_pos)).start;
            let n_keys = queries.end - first;
            values.resize(queries.len() * n_keys, 0.0);
            let query = &self.query[queries.start * self.d_head..queries.end * self.d_head];
            let key = &self.key[first * self.d_head..queries.end * self.d_head];
            let query = Matrix::new(query, queries.len(), self.d_head);
            let key = Matrix::new(key, n_keys, self.d_head).transpose();
            matmul(&mut values, query, key, Write::Replace);
            visit(query_pos, &values);
        }
    }

    /// What one pair of features adds to every score, `[n_positions, n_positions]`.
    pub fn pair_map(&self, query_feature: u32, key_feature: u32) -> Vec<f32> {
        self.pairs_map(&[(query_feature, key_feature)])
    }

    /// What some pairs of features, each given once, add to every score together.
    pub fn pairs_map(&self, pairs: &[(u32, u32)]) -> Vec<f32> {
        let mut sum = vec![0.0; self.n_positions() * self.n_positions()];
        for (query_feature, key_feature) in pairs {
            for (query_pos, key_pos, value) in self.pair_values(*query_feature, *key_feature) {
                sum[query_pos * self.n_positions() + key_pos] += value;
            }
        }
        sum
    }

    /// What one pair of features adds to the scores of the queries and keys where both are active:
    /// query, key, and value, in the order of queries and then of keys.
    pub fn pair_values(&self, query_feature: u32, key_feature: u32) -> Vec<(usize, usize, f32)> {
        let (queries, keys) = (self.actives(query_feature), self.actives(key_feature));
        let of_query = |(query_pos, query): &(usize, usize)| {
            let (query_pos, query) = (*query_pos, *query);
            let seen = keys.iter().filter(move |(key_pos, _)| self.sees(query_pos, *key_pos));
            seen.map(move |(key_pos, key)| (query_pos, *key_pos, self.value(query, *key)))
        };
        queries.iter().flat_map(of_query).collect()
    }

    /// Every value with one feature at the query.
    pub fn query_row(&self, query_feature: u32) -> Vec<FraValue> {
        let mut row = Vec::new();
        for (query_pos, query) in self.actives(query_feature) {
            for key_pos in self.first_key(query_pos)..=query_pos {
                let (slots, _) = self.codes.position(key_pos);
                for (key, slot) in self.codes.range(key_pos).zip(slots) {
                    let feature = self.codes.features()[*slot as usize];
                    let value = self.value(query, key);
                    row.push(FraValue { query_pos, key_pos, feature, value });
                }
            }
        }
        row
    }

    /// Every value with one feature at the key.
    pub fn key_row(&self, key_feature: u32) -> Vec<FraValue> {
        let mut row = Vec::new();
        for (key_pos, key) in self.actives(key_feature) {
            for query_pos in (key_pos..self.n_positions()).filter(|q| self.sees(*q, key_pos)) {
                let (slots, _) = self.codes.position(query_pos);
                for (query, slot) in self.codes.range(query_pos).zip(slots) {
                    let feature = self.codes.features()[*slot as usize];
                    let value = self.value(query, key);
                    row.push(FraValue { query_pos, key_pos, feature, value });
                }
            }
        }
        row
    }

    /// Where a feature is active: positions, and places among all active features.
    fn actives(&self, feature: u32) -> Vec<(usize, usize)> {
        let Some(slot) = self.codes.slot_of(feature) else { return Vec::new() };
        let mut found = Vec::new();
        for position in 0..self.n_positions() {
            let (slots, _) = self.codes.position(position);
            if let Ok(i) = slots.binary_search(&(slot as u32)) {
                found.push((position, self.codes.range(position).start + i));
            }
        }
        found
    }

    /// The value of one active feature at a query and one at a key.
    fn value(&self, query: usize, key: usize) -> f32 {
        let at = |i: usize| i * self.d_head..(i + 1) * self.d_head;
        self.query[at(query)].iter().zip(&self.key[at(key)]).map(|(a, b)| a * b).sum()
    }
}
