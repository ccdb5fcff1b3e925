//! Functions in `f32`, to a few units in the last place, in forms that compilers vectorise.
//!
//! Each is `#[inline(always)]`: inside [`vectorize`](crate::vectorize) a loop over them runs on the
//! widest registers. Where all digits count, [`sigmoid`](crate::sigmoid()) and its neighbours work in
//! `f64`.

#![expect(clippy::inline_always, reason = "vectorises only inside the dispatched closure")]

/// `e^x` to within two units in the last place.
///
/// `x = n ln 2 + r` with `|r| ≤ ln 2 / 2`, `e^r` by a polynomial of degree six, `2^n` through the
/// exponent bits (Cephes `expf`). Saturates at `e^88` and at `e^-87`, the smallest normal number.
///
/// # Examples
///
/// ```
/// assert!((attention_probes::kernels::fast::exp(1.0) - std::f32::consts::E).abs() < 1e-6);
/// ```
#[inline(always)]
#[expect(clippy::excessive_precision, reason = "the constants are the published ones")]
pub fn exp(x: f32) -> f32 {
    const ROUND: f32 = 12_582_912.0; // 1.5 * 2^23: adding it rounds to an integer
    let x = x.clamp(-87.0, 88.0);
    let shifted = x * std::f32::consts::LOG2_E + ROUND;
    let n = shifted - ROUND;
    let r = x - n * 0.693_359_375 + n * 2.121_944_4e-4;
    let p = 1.987_569_1e-4_f32;
    let p = p * r + 1.398_199_9e-3;
    let p = p * r + 8.333_452e-3;
    let p = p * r + 4.166_579_6e-2;
    let p = p * r + 1.666_666_5e-1;
    let p = p * r + 5.000_000_1e-1;
    let p = p * r * r + r + 1.0;
    let power = f32::from_bits(shifted.to_bits().wrapping_add(127) << 23);
    p * power
}

/// `ln(1 + x)` for `x` from 0 to 1, to a few units in the last place.
///
/// With `s = x / (2 + x)`, at most 1/3, it is `2 (s + s³/3 + s⁵/5 + …)`.
#[inline(always)]
pub fn ln_1p(x: f32) -> f32 {
    let s = x / (2.0 + x);
    let square = s * s;
    let mut sum = 1.0 / 15.0;
    for term in [13.0, 11.0, 9.0, 7.0, 5.0, 3.0, 1.0] {
        sum = sum * square + 1.0 / term;
    }
    2.0 * s * sum
}

/// `ln(1 + e^x)`, without overflow.
#[inline(always)]
pub fn softplus(x: f32) -> f32 {
    x.max(0.0) + ln_1p(exp(-x.abs()))
}

/// `1 / (1 + e^-x)`, without overflow: the derivative of [`softplus`].
#[inline(always)]
pub fn sigmoid(x: f32) -> f32 {
    let decayed = exp(-x.abs());
    if x >= 0.0 { 1.0 / (1.0 + decayed) } else { decayed / (1.0 + decayed) }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn exp_is_within_three_parts_in_ten_million() {
        for i in -8_700..=8_800_i16 {
            let x = f32::from(i) / 100.0;
            let truth = f64::from(x).exp();
            assert!((f64::from(exp(x)) / truth - 1.0).abs() < 3e-7, "exp({x})");
        }
    }

    #[test]
    fn the_logarithm_is_that_of_the_library() {
        for i in 0..=1000_u16 {
            let x = f32::from(i) / 1000.0;
            approx::assert_relative_eq!(ln_1p(x), x.ln_1p(), max_relative = 4e-7);
        }
        approx::assert_relative_eq!(ln_1p(1e-12), 1e-12);
    }

    #[test]
    fn softplus_and_sigmoid_are_those_of_f64_and_never_overflow() {
        for i in -800..=800_i16 {
            let x = f32::from(i) / 10.0;
            let (sigmoid, softplus) = (sigmoid(x), softplus(x));
            let x = f64::from(x);
            approx::assert_abs_diff_eq!(f64::from(sigmoid), crate::sigmoid(x), epsilon = 1e-6);
            approx::assert_relative_eq!(
                f64::from(softplus),
                crate::softplus(x),
                max_relative = 1e-6
            );
        }
        approx::assert_relative_eq!(softplus(f32::MAX), f32::MAX);
        approx::assert_relative_eq!(sigmoid(f32::MAX), 1.0);
    }
}
