//! How error messages show numbers and names from outside.

pub(crate) use attention_probes_errors::{listed, shown};

/// Bytes in GiB with as many decimals as a person reads.
pub(crate) fn gib(bytes: u64) -> String {
    let gib = bytes as f64 / f64::from(1_u32 << 30);
    if gib < 0.01 { format!("{gib:.1e}") } else { format!("{gib:.2}") }
}
