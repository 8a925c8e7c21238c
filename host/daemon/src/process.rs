//! Process: what Linux says of this process, in `/proc` and by its clocks.

use std::fs;

use rustix::process::{Resource, getrlimit};
use rustix::time::{ClockId, clock_gettime};

/// The figures that every Prometheus client exports of its process, under their usual names.
pub(crate) struct Figures {
    /// Seconds of processor time, in user and kernel space.
    pub(crate) cpu_seconds: f64,
    pub(crate) resident_bytes: u64,
    pub(crate) virtual_bytes: u64,
    pub(crate) open_files: u64,
    /// The soft limit; none where there is no limit.
    pub(crate) most_files: Option<u64>,
    /// Since 1970-01-01 UTC.
    pub(crate) start_seconds: f64,
    pub(crate) threads: u64,
}

impl Figures {
    /// Reads them now; `None` where there is no `/proc`.
    pub(crate) fn read() -> Option<Self> {
        let status = fs::read_to_string("/proc/self/status").ok()?;
        let cpu = clock_gettime(ClockId::ProcessCPUTime);
        // The directory that is read is one of them.
        let open_files = fs::read_dir("/proc/self/fd").ok()?.count().saturating_sub(1);
        Some(Self {
            cpu_seconds: cpu.tv_sec as f64 + cpu.tv_nsec as f64 / 1e9,
            resident_bytes: number(&status, "VmRSS:")? << 10,
            virtual_bytes: number(&status, "VmSize:")? << 10,
            open_files: open_files as u64,
            most_files: getrlimit(Resource::Nofile).current,
            start_seconds: start_seconds()?,
            threads: number(&status, "Threads:")?,
        })
    }
}

/// Whether whoever started this process had it ignore SIGHUP, as `nohup` does.
pub(crate) fn ignores_hangup() -> bool {
    let status = fs::read_to_string("/proc/self/status").unwrap_or_default();
    let mask = value(&status, "SigIgn:").and_then(|mask| u64::from_str_radix(mask, 16).ok());
    // Signal 1 is the lowest bit.
    mask.is_some_and(|mask| mask & 1 != 0)
}

/// When the process started: ticks after the machine did.
fn start_seconds() -> Option<f64> {
    let stat = fs::read_to_string("/proc/self/stat").ok()?;
    // The second field is the program's name in parentheses, with whatever is in it.
    let (_, fields) = stat.rsplit_once(')')?;
    let ticks: u64 = fields.split_whitespace().nth(19)?.parse().ok()?;
    let booted = number(&fs::read_to_string("/proc/stat").ok()?, "btime ")?;
    Some(booted as f64 + ticks as f64 / rustix::param::clock_ticks_per_second() as f64)
}

fn number(text: &str, key: &str) -> Option<u64> {
    value(text, key)?.parse().ok()
}

/// The first word behind `key` at the begin of a line.
fn value<'t>(text: &'t str, key: &str) -> Option<&'t str> {
    text.lines().find_map(|line| line.strip_prefix(key))?.split_whitespace().next()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn figures_are_those_of_this_process() {
        let before = Figures::read().unwrap();
        let files: Vec<_> = (0..10).map(|_| fs::File::open("/dev/null").unwrap()).collect();
        let after = Figures::read().unwrap();
        // Other tests open and close files meanwhile.
        assert!(after.open_files > 3 && before.open_files > 3, "{files:?}");
        assert!(after.cpu_seconds >= before.cpu_seconds && after.cpu_seconds > 0.0);
        assert!(after.resident_bytes > 1 << 20 && after.virtual_bytes >= after.resident_bytes);
        assert!((after.start_seconds - before.start_seconds).abs() < 1.0);
        assert!(after.start_seconds > 1.5e9 && after.threads > 0);
        assert!(after.most_files.is_none_or(|most| most >= after.open_files));
    }
}
