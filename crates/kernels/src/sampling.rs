//! Random numbers of other distributions than the uniform one.

use rand::Rng;

/// A number from N(0, 1), by Box and Muller (1958): two uniform numbers for each.
///
/// The initial weights of finetuned probes are drawn by it. `rand_distr::StandardNormal` is faster,
/// but takes other bits from the generator, so that every such probe would change.
///
/// # Examples
///
/// ```
/// use rand::SeedableRng;
///
/// let mut rng = rand_chacha::ChaCha8Rng::seed_from_u64(1);
/// let squares = (0..10_000).map(|_| attention_probes::kernels::standard_normal(&mut rng).powi(2));
/// assert!((squares.sum::<f64>() / 1e4 - 1.0).abs() < 0.05);
/// ```
pub fn standard_normal(rng: &mut impl Rng) -> f64 {
    let (radius, angle) = (1.0 - rng.random::<f64>(), rng.random::<f64>());
    (-2.0 * radius.ln()).sqrt() * (std::f64::consts::TAU * angle).cos()
}

#[cfg(test)]
mod tests {
    use rand::SeedableRng;
    use rand_chacha::ChaCha8Rng;

    use super::*;

    #[test]
    fn as_many_numbers_are_near_0_as_should_be() {
        let mut rng = ChaCha8Rng::seed_from_u64(7);
        let numbers: Vec<f64> = (0..20_000).map(|_| standard_normal(&mut rng)).collect();
        let share = |bound: f64| {
            numbers.iter().filter(|x| x.abs() < bound).count() as f64 / numbers.len() as f64
        };
        approx::assert_abs_diff_eq!(share(1.0), 0.682_7, epsilon = 0.01);
        approx::assert_abs_diff_eq!(share(2.0), 0.954_5, epsilon = 0.01);
        approx::assert_abs_diff_eq!(numbers.iter().sum::<f64>() / 2e4, 0.0, epsilon = 0.02);
    }
}
