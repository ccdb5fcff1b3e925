//! Sizes and times as people read them.

/// Bytes in MiB, or in GiB if there are as many.
///
/// # Examples
///
/// ```
/// use attention_probes::errors::shown_size;
///
/// assert_eq!(shown_size(3 << 19), "1.50 MiB");
/// assert_eq!(shown_size(1 << 31), "2.00 GiB");
/// ```
pub fn shown_size(bytes: u64) -> String {
    let mib = bytes as f64 / f64::from(1 << 20);
    if mib < 1024.0 { format!("{mib:.2} MiB") } else { format!("{:.2} GiB", mib / 1024.0) }
}

/// Seconds as a person says them, in one unit.
///
/// # Examples
///
/// ```
/// use attention_probes::errors::shown_time;
///
/// assert_eq!([0.2, 12.4, 89.0].map(shown_time), ["less than a second", "about 12 s", "about 89 s"]);
/// assert_eq!([600.0, 7200.0].map(shown_time), ["about 10 min", "about 2.0 h"]);
/// ```
pub fn shown_time(seconds: f64) -> String {
    if seconds < 1.0 {
        "less than a second".to_owned()
    } else if seconds < 90.0 {
        format!("about {seconds:.0} s")
    } else if seconds < 5400.0 {
        format!("about {:.0} min", seconds / 60.0)
    } else {
        format!("about {:.1} h", seconds / 3600.0)
    }
}
