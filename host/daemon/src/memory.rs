//! Memory: how much there is, and how much of it one pipeline's messages may take.

use std::fs;
use std::path::{Path, PathBuf};

/// A pipeline gets this part of what there is, unless its file says.
const PART: u64 = 4;
/// And at most this much: more does not make it faster.
const MOST: u64 = 256 << 20;
/// And at least: below it even small messages would go one by one.
const LEAST: u64 = 1 << 20;

/// Bytes of messages that a pipeline may have read and not let go of.
pub(crate) fn in_flight(setting: Option<u64>) -> usize {
    let bytes = setting.unwrap_or_else(|| part(there_is(Path::new("/"))));
    usize::try_from(bytes).unwrap_or(usize::MAX)
}

fn part(there_is: Option<u64>) -> u64 {
    there_is.map_or(MOST, |bytes| (bytes / PART).clamp(LEAST, MOST))
}

/// What the machine has, the control groups of this process allow, and its own limits on data and
/// address space: the least of these. `None` where the system tells nothing.
fn there_is(root: &Path) -> Option<u64> {
    let machine = fs::read_to_string(root.join("proc/meminfo")).ok();
    let machine = machine.and_then(|text| {
        let rest = text.lines().find_map(|line| line.strip_prefix("MemTotal:"))?;
        let kib: u64 = rest.trim().strip_suffix("kB")?.trim().parse().ok()?;
        kib.checked_mul(1024)
    });
    let limits = fs::read_to_string(root.join("proc/self/limits")).unwrap_or_default();
    let limits = ["Max data size", "Max address space"].map(|name| {
        let rest = limits.lines().find_map(|line| line.strip_prefix(name))?;
        rest.split_whitespace().next()?.parse().ok()
    });
    groups(root).chain(machine).chain(limits.into_iter().flatten()).min()
}

/// The limits of the control groups that this process is in, and of those around them. A group
/// without a limit says `max`, or in version 1 a number that is above everything.
fn groups(root: &Path) -> impl Iterator<Item = u64> {
    let of = fs::read_to_string(root.join("proc/self/cgroup")).unwrap_or_default();
    let mut files = Vec::new();
    for line in of.lines() {
        let mut parts = line.splitn(3, ':').skip(1);
        let (Some(controllers), Some(path)) = (parts.next(), parts.next()) else { continue };
        let (base, file) = match controllers {
            "" => ("sys/fs/cgroup", "memory.max"),
            _ if controllers.split(',').any(|one| one == "memory") => {
                ("sys/fs/cgroup/memory", "memory.limit_in_bytes")
            }
            _ => continue,
        };
        let path = Path::new(path.trim_start_matches('/'));
        let around = path.ancestors().map(|group| root.join(base).join(group).join(file));
        // In a container the path can be the host's, while the files are those of the container.
        files.extend(around.filter(|_| !path.starts_with("..")));
        files.push(root.join(base).join(file));
    }
    let read = |file: PathBuf| fs::read_to_string(file).ok()?.trim().parse().ok();
    files.into_iter().filter_map(read)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_quarter_within_bounds() {
        for (there_is, expected) in [
            (None, MOST),
            (Some(64 << 30), MOST),
            (Some(512 << 20), 128 << 20),
            (Some(1 << 20), LEAST),
        ] {
            assert_eq!(part(there_is), expected);
        }
        assert_eq!(in_flight(Some(70_000)), 70_000);
    }

    #[test]
    fn the_least_of_machine_groups_and_limits_counts() {
        let dir = tempfile::tempdir().unwrap();
        let write = |path: &str, text: &str| {
            let path = dir.path().join(path);
            fs::create_dir_all(path.parent().unwrap()).unwrap();
            fs::write(path, text).unwrap();
        };
        let there_is = || there_is(dir.path());
        assert_eq!(there_is(), None);
        write("proc/meminfo", "MemFree:  1 kB\nMemTotal:       8388608 kB\n");
        assert_eq!(there_is(), Some(8 << 30));
        write("proc/self/cgroup", "0::/a/b\n");
        write("sys/fs/cgroup/a/b/memory.max", "max\n");
        assert_eq!(there_is(), Some(8 << 30));
        write("sys/fs/cgroup/a/memory.max", "1073741824\n");
        assert_eq!(there_is(), Some(1 << 30), "of the group around it");
        let limits = "Limit  Soft Limit  Hard Limit  Units\n\
                      Max data size   536870912  unlimited  bytes\n\
                      Max address space   unlimited  unlimited  bytes\n";
        write("proc/self/limits", limits);
        assert_eq!(there_is(), Some(512 << 20));
        write("proc/self/cgroup", "5:cpu,memory:/docker/x\n");
        write("sys/fs/cgroup/memory/memory.limit_in_bytes", "268435456\n");
        assert_eq!(there_is(), Some(256 << 20), "of version 1, seen from inside a container");
    }
}
