//! Sizes as people read them.

/// Bytes in MiB, or in GiB if there are as many.
///
/// # Examples
///
/// ```
/// use attention_probes_errors::shown_size;
///
/// assert_eq!(shown_size(3 << 19), "1.50 MiB");
/// assert_eq!(shown_size(1 << 31), "2.00 GiB");
/// ```
pub fn shown_size(bytes: u64) -> String {
    let mib = bytes as f64 / f64::from(1 << 20);
    if mib < 1024.0 { format!("{mib:.2} MiB") } else { format!("{:.2} GiB", mib / 1024.0) }
}
