//! Pooling token by token.

use crate::Pool;

/// Adds a token to pooled activations.
pub(super) fn pool_token(pool: Pool, pooled: &mut [f64], x: &[f32], position: usize) {
    let n = (position + 1) as f64;
    for (pooled, &x) in pooled.iter_mut().zip(x) {
        let x = f64::from(x);
        *pooled = match pool {
            _ if position == 0 => x,
            Pool::Last => x,
            Pool::Mean => *pooled + (x - *pooled) / n,
            Pool::Max => pooled.max(x),
            Pool::AbsMax if x.abs() > pooled.abs() => x,
            Pool::AbsMax => *pooled,
        };
    }
}
