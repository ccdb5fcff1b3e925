//! Files that end with a hash of themselves.

/// Bytes with their BLAKE3 behind them, without which a reader would look no further.
pub(crate) fn hashed(bytes: &[u8]) -> Vec<u8> {
    [bytes, blake3::hash(bytes).as_bytes()].concat()
}
