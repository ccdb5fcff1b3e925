//! The allocator of the binaries, tuned for tensors.

use std::env;

use libmimalloc_sys::{mi_option_set, mi_option_t};

/// `mi_option_purge_delay` in mimalloc's header; the bindings give it no name.
const PURGE_DELAY: mi_option_t = 15;

/// How long freed memory is kept, longer than a forward pass takes.
const DELAY_MS: i64 = 10_000;

/// Keeps freed memory for the next batch, which wants just as much, instead of giving it back and
/// having every page made anew: on two cores, caching all activations of GPT-2 small takes half the
/// time. `MIMALLOC_PURGE_DELAY`, in milliseconds, overrides it.
#[expect(unsafe_code, reason = "mimalloc has no other way to set an option in a program")]
pub fn keep_freed_memory() {
    if env::var_os("MIMALLOC_PURGE_DELAY").is_none() {
        // SAFETY: the option exists, and mimalloc lets options be set at any time.
        unsafe { mi_option_set(PURGE_DELAY, DELAY_MS as _) };
    }
}
