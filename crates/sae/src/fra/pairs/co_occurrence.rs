//! Sums over positions where a pair's value does not depend on the distance.

use attention_probes_kernels::{add_scaled, vectorize};

use super::entry::RowBuffer;
use super::table::PairTable;
use crate::fra::codes::FraCodes;

/// What keys up to each position add up to, each `[n_positions, n_slots]`.
struct KeysSoFar {
    sum: Vec<f32>,
    count: Vec<f32>,
    max: Vec<f32>,
    /// `Σ a_j(key) (query - key)`
    distance: Vec<f32>,
}

/// Adds a text whose values are products of activations.
///
/// With `a ≥ 0` and values `a_i(query) a_j(key) g_ij`,
///
/// ```text
/// Σ |value| = |g_ij| Σ over queries of a_i(query) Σ over keys so far of a_j(key)
/// ```
///
/// so that a head has only to multiply by its `g_ij = u_i·v_j` in the end; count, largest value,
/// and distance alike. The second sum is kept for each position, and the first has as many terms as
/// there are active features.
pub(super) fn add_factored(table: &mut PairTable, codes: &FraCodes) {
    let n_slots = codes.features().len();
    let so_far = KeysSoFar::new(codes);
    let (by_slot, ends) = codes.by_slot();
    let (positions, activations) = (codes.positions(), codes.activations());
    table.add(codes.features(), |slots, emit| {
        let mut buffer = RowBuffer::new(n_slots);
        for slot in slots {
            for active in &by_slot[ends[slot]..ends[slot + 1]] {
                let (query, a) =
                    (positions[*active as usize] as usize, activations[*active as usize]);
                vectorize(
                    #[inline(always)]
                    || so_far.add_to(&mut buffer, query, a),
                );
                if let Some(target) = codes.induction_target(query) {
                    let (keys, values) = codes.position(target);
                    for (key, value) in keys.iter().zip(values) {
                        buffer.induction[*key as usize] += a * value;
                    }
                }
            }
            emit(slot, buffer.finish(codes.features(), true));
        }
    });
}

impl KeysSoFar {
    fn new(codes: &FraCodes) -> Self {
        let (n, width) = (codes.n_positions(), codes.features().len());
        let zero = || vec![0.0; n * width];
        let mut so_far = Self { sum: zero(), count: zero(), max: zero(), distance: zero() };
        for position in 0..n {
            let row = position * width..(position + 1) * width;
            if position > 0 {
                let before = row.start - width..row.start;
                for values in [&mut so_far.sum, &mut so_far.count, &mut so_far.max] {
                    values.copy_within(before.clone(), row.start);
                }
                // Everything before is one further away than it was.
                let (earlier, distance) = so_far.distance.split_at_mut(row.start);
                let earlier = earlier[before.clone()].iter().zip(&so_far.sum[before]);
                for (distance, (earlier, sum)) in distance.iter_mut().zip(earlier) {
                    *distance = earlier + sum;
                }
            }
            let (slots, activations) = codes.position(position);
            for (slot, activation) in slots.iter().zip(activations) {
                let at = row.start + *slot as usize;
                so_far.sum[at] += activation;
                so_far.count[at] += 1.0;
                so_far.max[at] = so_far.max[at].max(*activation);
            }
        }
        so_far
    }

    /// Adds the keys that a query sees, weighed by its activation.
    #[inline(always)]
    #[expect(clippy::inline_always, reason = "vectorises only inside the dispatched closure")]
    fn add_to(&self, buffer: &mut RowBuffer, query: usize, activation: f32) {
        let width = buffer.count.len();
        let row = query * width..(query + 1) * width;
        add_scaled(&mut buffer.sum_abs, activation, &self.sum[row.clone()]);
        add_scaled(&mut buffer.count, 1.0, &self.count[row.clone()]);
        add_scaled(&mut buffer.distance, activation, &self.distance[row.clone()]);
        for (to, from) in buffer.max.iter_mut().zip(&self.max[row]) {
            let value = activation * from;
            *to = if value > *to { value } else { *to };
        }
    }
}
