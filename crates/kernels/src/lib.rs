//! Numerics that several crates of this workspace share, on plain slices.
//!
//! | what | items |
//! |---|---|
//! | matrix products, one call of `gemm` | [`Matrix`], [`Write`], [`matmul`], [`matmul_on_one_core`] |
//! | loops for the widest registers | [`vectorize`] |
//! | loops over slices | [`dot`], [`dot_in_f64`], [`dot_f64`], [`dot_f64_in_order`], [`sum`], [`add_scaled`], [`add_scaled_f64`] |
//! | functions in `f32` that vectorise | [`fast`] |
//! | functions in `f64`, to the last digit | [`sigmoid`], [`softplus`], [`softmax`] |
//! | losses | [`binary_cross_entropy`], [`cross_entropy`], [`Margin`], [`SoftmaxSum`] |
//! | optimisers | [`AdamStep`], [`AdamArrays`], [`Lbfgs`], [`conjugate_gradients`] |
//! | sampling | [`standard_normal`] |
//!
//! Every function gives the same bits for the same input on one kind of processor, whatever the
//! number of threads: no sum is divided among them. The order of the terms of a sum is part of what
//! a function promises, because trained weights depend on it to the last bit.

#[cfg(feature = "products")]
mod adam;
mod conjugate_gradients;
mod cross_entropy;
pub mod fast;
mod lbfgs;
mod logistic;
#[cfg(feature = "products")]
mod matrix;
mod sampling;
mod vector;
#[cfg(feature = "products")]
mod vectorize;

#[cfg(feature = "products")]
pub use adam::{AdamArrays, AdamStep};
pub use conjugate_gradients::{ConjugateGradients, conjugate_gradients};
pub use cross_entropy::{Margin, SoftmaxSum, binary_cross_entropy, cross_entropy};
pub use lbfgs::{Lbfgs, LbfgsResult, LbfgsStop, LossAndGradient, TryLossAndGradient};
pub use logistic::{sigmoid, softmax, softplus};
#[cfg(feature = "products")]
pub use matrix::{Matrix, Write, matmul, matmul_on_one_core};
pub use sampling::standard_normal;
#[cfg(feature = "products")]
pub use vector::dot_in_f64;
pub use vector::{add_scaled, add_scaled_f64, dot, dot_f64, dot_f64_in_order, sum};
#[cfg(feature = "products")]
pub use vectorize::vectorize;
