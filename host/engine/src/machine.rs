//! Machine: what the operating system refuses, told from what a plugin does wrong. A sandbox that
//! gets no memory or address space says nothing about its plugin, and less about a message.

use std::fmt::Write as _;
use std::io;

use rustix::io::Errno;
use rustix::process::{Resource, getrlimit};

/// Answers of the system that mean that it, or a limit of the process, has no more to give.
const EXHAUSTED: [Errno; 4] = [Errno::NOMEM, Errno::AGAIN, Errno::MFILE, Errno::NFILE];

/// What to say of an error whose cause is that the machine has no more to give.
pub(crate) fn refusal(error: &wasmtime::Error) -> Option<String> {
    if error.is::<wasmtime::OutOfMemory>() {
        return Some(said("no memory is left"));
    }
    let exhausted = error.chain().find_map(|cause| {
        let system = cause.downcast_ref::<io::Error>().and_then(Errno::from_io_error);
        cause.downcast_ref::<Errno>().copied().or(system).filter(|errno| EXHAUSTED.contains(errno))
    })?;
    Some(of(exhausted))
}

/// As [`refusal`], of a thread or a process that could not be made.
pub(crate) fn io_refusal(error: &io::Error) -> Option<String> {
    let exhausted = Errno::from_io_error(error).filter(|errno| EXHAUSTED.contains(errno));
    exhausted.map(of)
}

fn of(errno: Errno) -> String {
    match errno {
        Errno::MFILE | Errno::NFILE => said("no file descriptor is left"),
        Errno::AGAIN => said("no thread or process can be made"),
        _ => said("no address space or memory is left"),
    }
}

/// With the figures that decide whether it is a limit that should be raised.
fn said(what: &str) -> String {
    let mut text = what.to_owned();
    if let Some(limit) = getrlimit(Resource::As).current {
        let _ = write!(text, "; the process may have {} of address space", size(limit));
        if let Some(used) = used_address_space() {
            let _ = write!(text, " and has {}", size(used));
        }
    }
    text
}

/// Bytes of address space that are left under the process's limit; `None` where there is none.
pub(crate) fn address_space_left() -> Option<u64> {
    let limit = getrlimit(Resource::As).current?;
    Some(limit.saturating_sub(used_address_space()?))
}

/// Bytes of address space that the process has; known on Linux alone.
fn used_address_space() -> Option<u64> {
    let statm = std::fs::read_to_string("/proc/self/statm").ok()?;
    let pages: u64 = statm.split_whitespace().next()?.parse().ok()?;
    Some(pages.saturating_mul(rustix::param::page_size() as u64))
}

/// In MiB below 10 GiB, in GiB from there on.
pub(crate) fn size(bytes: u64) -> String {
    match bytes >> 20 {
        mib @ 0..10_240 => format!("{mib} MiB"),
        mib => format!("{} GiB", mib.div_ceil(1024)),
    }
}

#[cfg(test)]
mod tests {
    use wasmtime::error::Context;

    use super::*;

    #[test]
    fn the_machine_s_refusals_are_told_from_others() {
        for errno in EXHAUSTED {
            let error: wasmtime::Result<()> = Err(errno.into());
            assert!(refusal(&error.context("instantiating").unwrap_err()).is_some(), "{errno}");
            let error: wasmtime::Result<()> = Err(io::Error::from(errno).into());
            assert!(refusal(&error.unwrap_err()).is_some(), "{errno}");
            assert!(io_refusal(&io::Error::from(errno)).is_some(), "{errno}");
        }
        for error in
            [wasmtime::Error::from(wasmtime::Trap::UnreachableCodeReached), Errno::PERM.into()]
        {
            assert_eq!(refusal(&error), None);
        }
        assert_eq!(io_refusal(&io::ErrorKind::NotFound.into()), None);
    }

    #[test]
    fn sizes_read_well() {
        assert_eq!([size(0), size(5 << 30), size(33 << 30)], ["0 MiB", "5120 MiB", "33 GiB"]);
        assert!(used_address_space().is_none_or(|used| used > 1 << 20));
    }
}
