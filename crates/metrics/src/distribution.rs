//! Quantiles and tails of the distributions that intervals and thresholds are made of.

use std::f64::consts::TAU;

/// Quantile of the standard normal distribution, by Wichura's algorithm AS 241, accurate to 1e-16.
pub(crate) fn normal_quantile(p: f64) -> f64 {
    let q = p - 0.5;
    if q.abs() <= 0.425 {
        let r = 0.180_625 - q * q;
        return q * polynomial(&CENTRE.0, r) / polynomial(&CENTRE.1, r);
    }
    let r = (-p.min(1.0 - p).ln()).sqrt();
    let value = if r <= 5.0 {
        polynomial(&MIDDLE.0, r - 1.6) / polynomial(&MIDDLE.1, r - 1.6)
    } else {
        polynomial(&TAIL.0, r - 5.0) / polynomial(&TAIL.1, r - 5.0)
    };
    value.copysign(q)
}

/// How many standard errors the middle `level` of Student's t distribution reaches to each side.
pub(crate) fn t_half_width(level: f64, degrees_of_freedom: f64) -> f64 {
    // T² / (ν + T²) has the distribution Beta(1/2, ν/2), and its complement Beta(ν/2, 1/2); the
    // smaller of the two keeps the digits.
    let half = degrees_of_freedom / 2.0;
    let odds = if level < 0.5 {
        let inside = beta_quantile(level, 0.5, half);
        inside / (1.0 - inside)
    } else {
        let outside = beta_quantile(1.0 - level, half, 0.5);
        (1.0 - outside) / outside
    };
    (degrees_of_freedom * odds).sqrt()
}

/// Probability of at most `k` successes among `n`, each with probability `p` between 0 and 1.
pub(crate) fn binomial_cdf(k: usize, n: usize, p: f64) -> f64 {
    if k >= n {
        return 1.0;
    }
    beta_tails(p, k as f64 + 1.0, (n - k) as f64).1
}

/// Quantile of the beta distribution, `p` between 0 and 1: Newton's method kept within a bracket.
pub(crate) fn beta_quantile(p: f64, a: f64, b: f64) -> f64 {
    let (mut low, mut high) = (0.0, 1.0);
    let mut x = a / (a + b);
    // Bisection alone needs about 1000 steps down to the smallest number, Newton's method about 10.
    for _ in 0..1000 {
        let excess = beta_tails(x, a, b).0 - p;
        if excess < 0.0 {
            low = x;
        } else {
            high = x;
        }
        let density = beta_power(x, a, b) / (x * (1.0 - x));
        let newton = x - excess / density;
        let next = if newton > low && newton < high { newton } else { f64::midpoint(low, high) };
        if (next - x).abs() <= 2.0 * f64::EPSILON * x {
            return next;
        }
        x = next;
    }
    x
}

/// Probabilities below and above `x` of the beta distribution, neither by subtraction where it is
/// the small one: the continued fraction of Numerical Recipes (3rd edition, section 6.4).
fn beta_tails(x: f64, a: f64, b: f64) -> (f64, f64) {
    if x < (a + 1.0) / (a + b + 2.0) {
        let below = beta_power(x, a, b) * beta_fraction(x, a, b) / a;
        (below, 1.0 - below)
    } else {
        let above = beta_power(x, a, b) * beta_fraction(1.0 - x, b, a) / b;
        (1.0 - above, above)
    }
}

/// Continued fraction of the incomplete beta function, by Lentz's method.
fn beta_fraction(x: f64, a: f64, b: f64) -> f64 {
    let mut numerator = 1.0;
    let mut inverse = 1.0 / (1.0 - (a + b) * x / (a + 1.0));
    let mut value = inverse;
    // About √max(a, b) steps are enough; the limit only makes sure that there is an end.
    for step in 1..1_000_000 {
        let m = f64::from(step);
        let even = m * (b - m) * x / ((a + 2.0 * m - 1.0) * (a + 2.0 * m));
        let odd = -(a + m) * (a + b + m) * x / ((a + 2.0 * m) * (a + 2.0 * m + 1.0));
        let mut change = 1.0;
        for coefficient in [even, odd] {
            inverse = 1.0 / (1.0 + coefficient * inverse);
            numerator = 1.0 + coefficient / numerator;
            change = numerator * inverse;
            value *= change;
        }
        if (change - 1.0).abs() <= f64::EPSILON {
            break;
        }
    }
    value
}

/// `x^a (1-x)^b / B(a, b)`, by Stirling's formula with its error, as Loader, "Fast and accurate
/// computation of binomial probabilities" (2000), so that large `a` and `b` lose no digits.
fn beta_power(x: f64, a: f64, b: f64) -> f64 {
    let n = a + b;
    let correction = stirling_error(n) - stirling_error(a) - stirling_error(b);
    let deviance = deviance(a, n * x) + deviance(b, n * (1.0 - x));
    (a * b / (TAU * n)).sqrt() * (correction - deviance).exp()
}

/// `count ln(count / mean) + mean - count`.
fn deviance(count: f64, mean: f64) -> f64 {
    let excess = (count - mean) / mean;
    mean * ((1.0 + excess) * excess.ln_1p() - excess)
}

/// `ln Γ(z) - (z - 1/2) ln z + z - ln √2π`, the error of Stirling's formula.
fn stirling_error(z: f64) -> f64 {
    let (mut z, mut error) = (z, 0.0);
    // Below 15 the series is not exact to the last digit; one step up is exact at any size.
    while z < 15.0 {
        error += (z + 0.5) * (1.0 / z).ln_1p() - 1.0;
        z += 1.0;
    }
    let w = 1.0 / (z * z);
    let series =
        1.0 / 12.0 - w * (1.0 / 360.0 - w * (1.0 / 1260.0 - w * (1.0 / 1680.0 - w / 1188.0)));
    error + series / z
}

/// Value of a polynomial, coefficients from the constant on.
fn polynomial(coefficients: &[f64; 8], x: f64) -> f64 {
    coefficients.iter().rev().fold(0.0, |sum, coefficient| sum * x + coefficient)
}

/// Numerator and denominator of one rational piece.
type Rational = ([f64; 8], [f64; 8]);

// The three pieces of AS 241, routine PPND16: Wichura, Applied Statistics 37 (1988).
const CENTRE: Rational = (
    [
        3.387_132_872_796_366_6,
        133.141_667_891_784_38,
        1_971.590_950_306_551_3,
        13_731.693_765_509_46,
        45_921.953_931_549_87,
        67_265.770_927_008_7,
        33_430.575_583_588_13,
        2_509.080_928_730_122_7,
    ],
    [
        1.0,
        42.313_330_701_600_91,
        687.187_007_492_057_9,
        5_394.196_021_424_751,
        21_213.794_301_586_597,
        39_307.895_800_092_71,
        28_729.085_735_721_943,
        5_226.495_278_852_854,
    ],
);
const MIDDLE: Rational = (
    [
        1.423_437_110_749_683_5,
        4.630_337_846_156_546,
        5.769_497_221_460_691,
        3.647_848_324_763_204_5,
        1.270_458_252_452_368_4,
        0.241_780_725_177_450_6,
        0.022_723_844_989_269_184,
        7.745_450_142_783_414e-4,
    ],
    [
        1.0,
        2.053_191_626_637_759,
        1.676_384_830_183_803_8,
        0.689_767_334_985_1,
        0.148_103_976_427_480_08,
        0.015_198_666_563_616_457,
        5.475_938_084_995_345e-4,
        1.050_750_071_644_416_9e-9,
    ],
);
const TAIL: Rational = (
    [
        6.657_904_643_501_103,
        5.463_784_911_164_114,
        1.784_826_539_917_291_3,
        0.296_560_571_828_504_87,
        0.026_532_189_526_576_124,
        0.001_242_660_947_388_078_4,
        2.711_555_568_743_487_6e-5,
        2.010_334_399_292_288_1e-7,
    ],
    [
        1.0,
        0.599_832_206_555_888,
        0.136_929_880_922_735_8,
        0.014_875_361_290_850_615,
        7.868_691_311_456_133e-4,
        1.846_318_317_510_054_7e-5,
        1.421_511_758_316_446e-7,
        2.044_263_103_389_939_8e-15,
    ],
);

#[cfg(test)]
mod tests {
    use approx::assert_relative_eq;
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn the_normal_quantile_has_its_tabled_values() {
        assert_relative_eq!(normal_quantile(0.5), 0.0);
        assert_relative_eq!(normal_quantile(0.975), 1.959_963_984_540_054, epsilon = 1e-14);
        assert_relative_eq!(normal_quantile(0.025), -1.959_963_984_540_054, epsilon = 1e-14);
        assert_relative_eq!(normal_quantile(0.75), 0.674_489_750_196_081_7, epsilon = 1e-14);
        assert_relative_eq!(normal_quantile(1e-15), -7.941_345_326_170_997, epsilon = 1e-12);
    }

    #[test]
    fn the_stirling_error_is_that_of_the_factorial() {
        // Γ(1) = 1 and Γ(1/2) = √π.
        assert_relative_eq!(stirling_error(1.0), 1.0 - TAU.sqrt().ln(), epsilon = 1e-15);
        assert_relative_eq!(stirling_error(0.5), 0.5 - 0.5 * 2.0_f64.ln(), epsilon = 1e-15);
    }

    #[test]
    fn student_t_has_its_closed_forms() {
        // Of 1 degree of freedom, tan(π level / 2); of 2, level √(2 / (1 - level²)).
        for level in [0.01, 0.3, 0.95, 0.999] {
            let one = (TAU / 4.0 * level).tan();
            assert_relative_eq!(t_half_width(level, 1.0), one, max_relative = 1e-11);
            let two = level * (2.0 / (1.0 - level * level)).sqrt();
            assert_relative_eq!(t_half_width(level, 2.0), two, max_relative = 1e-11);
        }
    }

    proptest! {
        #[test]
        fn the_binomial_tail_equals_the_sum_of_its_terms(
            n in 1_usize..50,
            k in 0_usize..50,
            p in 0.001..0.999_f64,
        ) {
            let term = |k: usize| {
                let choose: f64 = (0..k).map(|i| (n - i) as f64 / (k - i) as f64).product();
                choose * p.powi(k as i32) * (1.0 - p).powi((n - k) as i32)
            };
            let sum: f64 = (0..=k.min(n)).map(term).sum();
            prop_assert!((binomial_cdf(k, n, p) - sum).abs() <= 1e-12 * sum.max(1e-3));
        }

        #[test]
        fn the_beta_quantile_inverts_the_distribution(
            p in 1e-6..0.999_999_f64,
            ln_a in -0.7..12.0_f64,
            ln_b in -0.7..12.0_f64,
        ) {
            let (a, b) = (ln_a.exp(), ln_b.exp());
            let x = beta_quantile(p, a, b);
            let (below, above) = beta_tails(x, a, b);
            // Near 1 the next number may already be several percent of a tiny tail away.
            let step = beta_power(x, a, b) / (1.0 - x) * f64::EPSILON / x;
            prop_assert!((below - p).abs() <= 1e-11 * p + 4.0 * step.abs());
            prop_assert!((below + above - 1.0).abs() < 1e-12);
        }
    }
}
