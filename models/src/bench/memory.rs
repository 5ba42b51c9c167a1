//! How much memory the process has had at most.

use std::fs;

/// The most memory that the process has had resident, in MiB, where the system tells.
pub(super) fn peak_mib() -> Option<f64> {
    most_resident(&fs::read_to_string("/proc/self/status").ok()?)
}

/// The line `VmHWM` of Linux's account of a process, which is in KiB.
fn most_resident(status: &str) -> Option<f64> {
    let line = status.lines().find_map(|line| line.strip_prefix("VmHWM:"))?;
    let kib: f64 = line.trim().strip_suffix("kB")?.trim().parse().ok()?;
    Some(kib / 1024.0)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_line_is_found() {
        let status = "VmPeak:\t   90000 kB\nVmHWM:\t    2560 kB\nVmRSS:\t    1024 kB\n";
        assert_eq!(most_resident(status), Some(2.5));
        assert_eq!(most_resident("Name:\tengine\n"), None);
    }
}
