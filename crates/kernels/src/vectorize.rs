//! Loops compiled for each kind of register: the one place that calls the `pulp` crate.

use pulp::{Arch, Simd, WithSimd};

/// Calls a loop compiled for the widest registers of the machine.
///
/// The closure must be `#[inline(always)]`, and all that it calls: what is not inlined is compiled
/// for the narrowest. Rust wraps a closure that is called once in a function of its own, which is
/// why this one asks for a closure that could be called again.
///
/// # Examples
///
/// ```
/// use attention_probes::kernels::{dot, vectorize};
///
/// let x = [0.5_f32; 100];
/// let squares = vectorize(
///     #[inline(always)]
///     || dot(&x, &x),
/// );
/// assert_eq!(squares, 25.0);
/// ```
pub fn vectorize<R>(of: impl FnMut() -> R) -> R {
    Arch::new().dispatch(Loop(of))
}

/// What [`vectorize`] compiles for each kind of register.
struct Loop<F>(F);

impl<R, F: FnMut() -> R> WithSimd for Loop<F> {
    type Output = R;

    #[inline(always)]
    #[expect(clippy::inline_always, reason = "what is not inlined is not vectorised")]
    fn with_simd<S: Simd>(mut self, _: S) -> R {
        (self.0)()
    }
}
