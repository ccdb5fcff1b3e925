//! How much memory there is, so that what cannot fit is refused before it is asked for.

use std::fs;

/// The memory of the machine, of the container, or of `ulimit -v`, whichever is least; `None` where
/// the system does not say.
///
/// # Examples
///
/// ```
/// use attention_probes::models::memory_limit_bytes;
///
/// assert!(memory_limit_bytes().is_none_or(|bytes| bytes > 1 << 20));
/// ```
pub fn memory_limit_bytes() -> Option<u64> {
    let read = |path: &str| fs::read_to_string(path).unwrap_or_default();
    let all = [
        machine_bytes(&read("/proc/meminfo")),
        read("/sys/fs/cgroup/memory.max").trim().parse().ok(),
        address_space_bytes(&read("/proc/self/limits")),
    ];
    all.into_iter().flatten().min()
}

/// `MemTotal` of `/proc/meminfo`.
fn machine_bytes(meminfo: &str) -> Option<u64> {
    let line = meminfo.lines().find_map(|line| line.strip_prefix("MemTotal:"))?;
    line.split_whitespace().next()?.parse::<u64>().ok()?.checked_mul(1024)
}

/// The soft limit of the address space in `/proc/self/limits`, where there is one.
fn address_space_bytes(limits: &str) -> Option<u64> {
    let line = limits.lines().find_map(|line| line.strip_prefix("Max address space"))?;
    line.split_whitespace().next()?.parse().ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn limits_are_read_as_linux_writes_them() {
        let meminfo = "MemTotal:       24685736 kB\nMemFree:         1000 kB\n";
        assert_eq!(machine_bytes(meminfo), Some(24_685_736 * 1024));
        assert_eq!(machine_bytes(""), None);
        let limits = |soft: &str| {
            format!(
                "Limit  Soft Limit  Hard Limit  Units\nMax address space  {soft}  unlimited  bytes\n"
            )
        };
        assert_eq!(address_space_bytes(&limits("4294967296")), Some(1 << 32));
        assert_eq!(address_space_bytes(&limits("unlimited")), None);
    }
}
