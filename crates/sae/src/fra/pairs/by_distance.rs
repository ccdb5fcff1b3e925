//! Sums over positions of one head where a pair's value depends on the distance, or on anything
//! else that differs from position to position.

use attention_probes_kernels::{Matrix, Write, matmul_on_one_core};

use super::entry::RowBuffer;
use super::table::PairTable;
use crate::fra::text::FraHead;

/// Values that a task makes at a time: all of its query features' in most texts.
const MAX_VALUES: usize = 1 << 22;

/// Adds a text to the sums of one head: every value is produced, but only those of some query
/// features at a time.
pub(super) fn add_head(table: &mut PairTable, head: &FraHead<'_>) {
    let codes = head.codes;
    let (n_active, n_slots, d_head) = (codes.n_active(), codes.features().len(), head.d_head);
    let (by_slot, ends) = codes.by_slot();
    let positions = codes.positions();
    let in_order = |rows: &[f32]| -> Vec<f32> {
        let row = |active: &u32| &rows[*active as usize * d_head..][..d_head];
        by_slot.iter().flat_map(row).copied().collect()
    };
    let (query, key) = (in_order(&head.query), in_order(&head.key));
    let positions: Vec<usize> =
        by_slot.iter().map(|active| positions[*active as usize] as usize).collect();
    let keys = Matrix::new(&key, n_active, d_head).transpose();
    table.add(codes.features(), |slots, emit| {
        let mut buffer = RowBuffer::new(n_slots);
        let (mut known, end) = (ends[slots.start]..ends[slots.start], ends[slots.end]);
        let mut all_values = Vec::new();
        for slot in slots {
            for row in ends[slot]..ends[slot + 1] {
                if row == known.end {
                    known = row..end.min(row + (MAX_VALUES / n_active).max(1));
                    all_values.resize(known.len() * n_active, 0.0);
                    let queries = &query[known.start * d_head..known.end * d_head];
                    let queries = Matrix::new(queries, known.len(), d_head);
                    matmul_on_one_core(&mut all_values, queries, keys, Write::Replace);
                }
                let query_pos = positions[row];
                let first_key = head.first_key(query_pos);
                let target = codes.induction_target(query_pos);
                let values = &all_values[(row - known.start) * n_active..][..n_active];
                for key_slot in 0..n_slots {
                    let of_slot = ends[key_slot]..ends[key_slot + 1];
                    let keys = positions[of_slot.clone()].iter().zip(&values[of_slot]);
                    for (key_pos, value) in keys {
                        if *key_pos > query_pos {
                            break;
                        }
                        if *key_pos < first_key {
                            continue;
                        }
                        let magnitude = value.abs();
                        buffer.count[key_slot] += 1.0;
                        buffer.sum[key_slot] += value;
                        buffer.sum_abs[key_slot] += magnitude;
                        buffer.max[key_slot] = buffer.max[key_slot].max(magnitude);
                        buffer.distance[key_slot] += magnitude * (query_pos - key_pos) as f32;
                        if target == Some(*key_pos) {
                            buffer.induction[key_slot] += magnitude;
                        }
                    }
                }
            }
            emit(slot, buffer.finish(codes.features(), false));
        }
    });
}
