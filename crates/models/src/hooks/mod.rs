//! Places where activations are read, what is asked for and changed there, and the pass that does
//! it.

mod cache;
mod hook;
mod intervention;
mod other_names;
pub(crate) mod pass;
mod request;

pub use self::cache::{Activation, ActivationCache};
pub use self::hook::{HookPoint, HookSet};
pub use self::intervention::{Edit, Intervention, Positions};
pub use self::request::ForwardRequest;
