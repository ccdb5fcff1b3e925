//! Rotary position embedding: queries and keys turned by an angle that grows with the position.

use burn::tensor::{Device, Tensor, TensorData};
use serde::{Deserialize, Serialize};

use crate::TokenBatch;
use crate::layers::fused::map_rows;

/// How angles depend on positions.
///
/// ```text
/// angle[p, i] = p / factor · theta^(-2i / d_head)      i < d_head / 2
/// ```
///
/// Su et al., `RoFormer` (2021), with the linear scaling of Chen et al. (2023); numbers in `f32`, as
/// transformers computes them.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
pub struct Rope {
    /// Base of the frequencies, above 0.
    pub theta: f64,
    /// What positions are divided by, 1 where they are not scaled.
    pub factor: f64,
}

/// Cosines and sines of the first positions.
#[derive(Clone, Debug, PartialEq)]
pub struct RopeAngles {
    /// `[n_positions, d_head / 2]`
    pub cos: Vec<f32>,
    /// `[n_positions, d_head / 2]`
    pub sin: Vec<f32>,
}

impl Rope {
    /// Cosines and sines of the angles of the first `n_positions` positions.
    pub fn angles(&self, d_head: usize, n_positions: usize) -> RopeAngles {
        let frequency = |i: usize| {
            (self.theta.powf(-2.0 * i as f64 / d_head as f64) as f32) / self.factor as f32
        };
        let frequencies: Vec<f32> = (0..d_head / 2).map(frequency).collect();
        let angles: Vec<f32> = (0..n_positions)
            .flat_map(|position| frequencies.iter().map(move |f| position as f32 * f))
            .collect();
        let all = |f: fn(f32) -> f32| angles.iter().map(|angle| f(*angle)).collect();
        RopeAngles { cos: all(f32::cos), sin: all(f32::sin) }
    }
}

impl RopeAngles {
    /// Turns each value of a head and the one half a head further on, in place.
    ///
    /// # Shapes
    ///
    /// - `head`: `[d_head]`
    ///
    /// # Panics
    ///
    /// If there is no such position.
    pub fn turn(&self, position: usize, head: &mut [f32]) {
        let half = head.len() / 2;
        let [cos, sin] = [&self.cos, &self.sin].map(|table| &table[position * half..][..half]);
        turn(cos, sin, head);
    }
}

/// Turns the pairs of one head.
#[inline(always)]
#[expect(clippy::inline_always, reason = "vectorises only inside the dispatched closure")]
fn turn(cos: &[f32], sin: &[f32], head: &mut [f32]) {
    let (first, second) = head.split_at_mut(head.len() / 2);
    for (((a, b), cos), sin) in first.iter_mut().zip(second).zip(cos).zip(sin) {
        (*a, *b) = (*a * cos - *b * sin, *b * cos + *a * sin);
    }
}

/// Cosines and sines for every token of a batch.
pub(crate) struct RopeTable {
    /// `[batch, pos, 1, d_head / 2]`
    cos: Tensor<4>,
    sin: Tensor<4>,
}

impl RopeTable {
    /// Angles at the positions of a batch.
    pub(crate) fn new(rope: &Rope, d_head: usize, batch: &TokenBatch, device: &Device) -> Self {
        let half = d_head / 2;
        let positions = batch.positions();
        let n_positions = positions.iter().max().map_or(0, |last| last + 1);
        let RopeAngles { cos, sin } = rope.angles(d_head, n_positions);
        let [n_texts, pos] = batch.dims();
        let table = |by_position: Vec<f32>| {
            let rows = positions.iter().flat_map(|&p| &by_position[p * half..(p + 1) * half]);
            let data = TensorData::new(rows.copied().collect::<Vec<_>>(), [n_texts, pos, 1, half]);
            Tensor::from_data(data, device)
        };
        Self { cos: table(cos), sin: table(sin) }
    }

    /// Turns the pair of each feature and the one half a head further on.
    ///
    /// # Shapes
    ///
    /// - `x`: `[batch, pos, heads, d_head]`
    pub(crate) fn rotate(&self, x: Tensor<4>) -> Tensor<4> {
        let [_, _, n_heads, d_head] = x.dims();
        let half = d_head / 2;
        let tables = [&self.cos, &self.sin];
        let change = |tables: &[&[f32]], token: usize, row: &mut [f32]| {
            let [cos, sin] = [0, 1].map(|i: usize| &tables[i][token * half..(token + 1) * half]);
            for head in row.chunks_exact_mut(d_head) {
                turn(cos, sin, head);
            }
        };
        map_rows(x, n_heads * d_head, &tables, change, |x| {
            let [cos, sin] = [&self.cos, &self.sin].map(|table| table.clone().cast(x.dtype()));
            let (first, second) = (x.clone().narrow(3, 0, half), x.narrow(3, half, half));
            let turned = first.clone() * cos.clone() - second.clone() * sin.clone();
            Tensor::cat(vec![turned, second * cos + first * sin], 3)
        })
    }
}

#[cfg(test)]
mod tests {
    use approx::assert_abs_diff_eq;

    use super::*;
    use crate::PaddingSide;

    #[test]
    fn products_depend_on_the_distance_alone_and_both_paths_agree() {
        let device = Device::flex();
        let ids: Vec<u32> = vec![1; 12];
        let batch = TokenBatch::new(&[ids], PaddingSide::Right, &device).unwrap();
        let rope = Rope { theta: 10_000.0, factor: 2.0 };
        let table = RopeTable::new(&rope, 6, &batch, &device);
        let row = [0.3, -1.0, 0.5, 2.0, 0.1, -0.7_f32];
        let x = Tensor::<1>::from_floats(row, &device).reshape([1, 1, 1, 6]).expand([1, 12, 1, 6]);
        let turned: Vec<f32> = table.rotate(x.clone()).into_data().try_into_vec().unwrap();
        let product = |a: usize, b: usize| -> f32 {
            turned[a * 6..a * 6 + 6].iter().zip(&turned[b * 6..]).map(|(x, y)| x * y).sum()
        };
        assert_abs_diff_eq!(product(0, 3), product(8, 11), epsilon = 1e-5);
        // Position 4 divided by 2 turns the first pair by two radians.
        let (a, b) = (f64::from(row[0]), f64::from(row[3]));
        let expected = a * 2.0_f64.cos() - b * 2.0_f64.sin();
        assert_abs_diff_eq!(f64::from(turned[4 * 6]), expected, epsilon = 1e-6);

        let tracked = device.autodiff();
        let table = RopeTable::new(&rope, 6, &batch, &tracked);
        let plain: Vec<f32> = table
            .rotate(Tensor::from_inner(x).to_device(&tracked))
            .into_data()
            .try_into_vec()
            .unwrap();
        for (fused, plain) in turned.iter().zip(plain) {
            assert_abs_diff_eq!(*fused, plain, epsilon = 1e-6);
        }
    }
}
