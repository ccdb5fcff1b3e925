//! Loops over the tokens of one example, written so that they vectorise.

use attention_probes_kernels::fast::exp;

/// Softmax over the tokens of one example, in place; position `t` adds `slope t`.
#[inline(always)]
pub(in crate::kinds) fn softmax_pattern(scores: &mut [f32], slope: f32) {
    let mut highest = [f32::NEG_INFINITY; LANES];
    let mut position = 0.0;
    for chunk in scores.chunks_mut(LANES) {
        for (lane, score) in chunk.iter_mut().enumerate() {
            *score += slope * (position + lane as f32);
            highest[lane] = highest[lane].max(*score);
        }
        position += LANES as f32;
    }
    let highest = highest.into_iter().fold(f32::NEG_INFINITY, f32::max);
    let mut sums = [0.0; LANES];
    for chunk in scores.chunks_mut(LANES) {
        for (sum, score) in sums.iter_mut().zip(chunk) {
            *score = exp(*score - highest);
            *sum += *score;
        }
    }
    let scale = 1.0 / sums.iter().sum::<f32>();
    for score in scores {
        *score *= scale;
    }
}

/// `tanh` of each score, in place; position `t` adds `slope t`.
#[inline(always)]
pub(in crate::kinds) fn tanh_pattern(scores: &mut [f32], slope: f32) {
    for (position, score) in scores.iter_mut().enumerate() {
        let doubled = exp(2.0 * (*score + slope * position as f32).clamp(-20.0, 20.0));
        *score = (doubled - 1.0) / (doubled + 1.0);
    }
}

/// Independent partial sums, so that a sum vectorises without reordering.
const LANES: usize = 16;

/// `Σ_t t a[t]`.
#[inline(always)]
pub(in crate::kinds) fn position_dot(a: &[f32]) -> f32 {
    let mut sums = [0.0; LANES];
    let mut position = 0.0;
    for chunk in a.chunks(LANES) {
        for (lane, (sum, a)) in sums.iter_mut().zip(chunk).enumerate() {
            *sum += (position + lane as f32) * a;
        }
        position += LANES as f32;
    }
    sums.iter().sum()
}

/// Index and value of the first highest of some numbers; NaN counts as lowest.
#[inline(always)]
pub(in crate::kinds) fn highest(values: &[f32]) -> (usize, f32) {
    extreme(values, 1.0)
}

/// Index and value of the first lowest of some numbers; NaN counts as highest.
#[inline(always)]
pub(in crate::kinds) fn lowest(values: &[f32]) -> (usize, f32) {
    let (index, value) = extreme(values, -1.0);
    (index, -value)
}

/// Index and value of the first highest of some numbers, each times a sign.
///
/// Two passes, of which both vectorise: the value, then where it stands.
#[inline(always)]
fn extreme(values: &[f32], sign: f32) -> (usize, f32) {
    let mut best = [f32::NEG_INFINITY; LANES];
    for chunk in values.chunks(LANES) {
        for (best, value) in best.iter_mut().zip(chunk) {
            *best = best.max(sign * value);
        }
    }
    let best = best.into_iter().fold(f32::NEG_INFINITY, f32::max);
    let index = values.iter().position(|value| sign * value >= best).unwrap_or(0);
    (index, best)
}

/// `[n_out, n_examples]` to `[n_examples, n_out]`.
#[inline(always)]
pub(in crate::kinds) fn by_example(rows: &[f32], n_examples: usize, into: &mut [f32]) {
    let n_out = rows.len() / n_examples.max(1);
    for (output, row) in rows.chunks(n_examples.max(1)).enumerate() {
        for (example, value) in row.iter().enumerate() {
            into[example * n_out + output] = *value;
        }
    }
}

/// `[n_examples, n_out]` to `[n_out, n_examples]`.
#[inline(always)]
pub(in crate::kinds) fn by_output(examples: &[f32], n_examples: usize, into: &mut [f32]) {
    let n_out = examples.len() / n_examples.max(1);
    for (example, values) in examples.chunks(n_out.max(1)).enumerate() {
        for (output, value) in values.iter().enumerate() {
            into[output * n_examples + example] = *value;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_first_of_equal_extremes_is_found_anywhere() {
        let mut values = vec![0.5; 40];
        (values[17], values[33], values[5]) = (2.0, 2.0, -3.0);
        assert_eq!(highest(&values), (17, 2.0));
        assert_eq!(lowest(&values), (5, -3.0));
        assert_eq!(highest(&[-1.0]), (0, -1.0));
    }
}
