//! What `sae` and `fra` tell of autoencoders on a terminal: bars and lines of long work, notes about
//! those of others, and errors with the flags that mend them.

mod errors;
mod events;

pub use errors::{LIBRARIES, in_flags, kind_of};
pub use events::{Follower, say};
