//! The least of WASI preview 1 that Go, TinyGo, AssemblyScript and wasi-libc link against. No
//! files, no environment, no arguments; stdout and stderr go to the log.
//!
//! Signatures and numbers: WebAssembly/WASI, `legacy/preview1/docs.md`.

use wasmtime::{Caller, ExternType, Linker, Module, Val};

use super::core::{guest, slice, slice_mut};
use crate::host::Host;

/// Module name of the imports.
pub(crate) const WASI_MODULE: &str = "wasi_snapshot_preview1";

const SUCCESS: i32 = 0;
const BADF: i32 = 8;
const FAULT: i32 = 21;
const INVAL: i32 = 28;
const IO: i32 = 29;
const NOSYS: i32 = 52;

/// Buffers of one `fd_write`, events of one `poll_oneoff`.
const MAX_VECTOR: u32 = 1024;
/// Bytes of one `random_get`; a generator must not run longer than an epoch.
const MAX_RANDOM: u32 = 1 << 20;

type Guest<'a> = Caller<'a, Host>;

/// Defines what `module` imports of WASI: the functions below, and errno `nosys` for the others.
pub(crate) fn link(linker: &mut Linker<Host>, module: &Module) -> wasmtime::Result<()> {
    // A module may import a function twice, as Go's do.
    linker.allow_shadowing(true);
    link_absent(linker, module)?;
    linker.func_wrap(WASI_MODULE, "clock_time_get", clock_time_get)?;
    linker.func_wrap(WASI_MODULE, "clock_res_get", |mut caller: Guest<'_>, _: i32, at: u32| {
        put(&mut caller, at, &1000u64.to_le_bytes())
    })?;
    linker.func_wrap(WASI_MODULE, "random_get", random_get)?;
    linker.func_wrap(WASI_MODULE, "fd_write", fd_write)?;
    linker.func_wrap(WASI_MODULE, "fd_fdstat_get", fd_fdstat_get)?;
    linker.func_wrap(WASI_MODULE, "poll_oneoff", poll_oneoff)?;
    linker.func_wrap(WASI_MODULE, "sched_yield", || SUCCESS)?;
    linker.func_wrap(WASI_MODULE, "fd_prestat_get", |_: i32, _: i32| BADF)?;
    linker.func_wrap(WASI_MODULE, "fd_close", |_: i32| BADF)?;
    linker.func_wrap(WASI_MODULE, "proc_exit", |code: i32| -> wasmtime::Result<()> {
        Err(wasmtime::Error::msg(format!("the guest called exit({code})")))
    })?;
    for name in ["environ_sizes_get", "args_sizes_get"] {
        linker.func_wrap(WASI_MODULE, name, |mut caller: Guest<'_>, count: u32, size: u32| {
            put(&mut caller, count, &[0; 4]).max(put(&mut caller, size, &[0; 4]))
        })?;
    }
    for name in ["environ_get", "args_get"] {
        linker.func_wrap(WASI_MODULE, name, |_: i32, _: i32| SUCCESS)?;
    }
    linker.allow_shadowing(false);
    Ok(())
}

/// Every WASI function that the module imports, as one that only returns `nosys`.
fn link_absent(linker: &mut Linker<Host>, module: &Module) -> wasmtime::Result<()> {
    for import in module.imports().filter(|import| import.module() == WASI_MODULE) {
        let ExternType::Func(ty) = import.ty() else { continue };
        linker.func_new(WASI_MODULE, import.name(), ty, |_, _, results| {
            results.iter_mut().for_each(|result| *result = Val::I32(NOSYS));
            Ok(())
        })?;
    }
    Ok(())
}

fn clock_time_get(mut caller: Guest<'_>, id: i32, _precision: i64, at: u32) -> i32 {
    let clock = &mut caller.data_mut().clock;
    let now = match id {
        0 => clock.wall_us().saturating_mul(1000),
        1..=3 => clock.monotonic_ns(),
        _ => return INVAL,
    };
    put(&mut caller, at, &now.to_le_bytes())
}

fn random_get(mut caller: Guest<'_>, at: u32, len: u32) -> i32 {
    if len > MAX_RANDOM {
        return INVAL;
    }
    let Ok((memory, host)) = guest(&mut caller) else { return FAULT };
    let Ok(out) = slice_mut(memory, at, len) else { return FAULT };
    if host.random.fill(out) { SUCCESS } else { IO }
}

fn fd_write(mut caller: Guest<'_>, fd: i32, vectors: u32, count: u32, written: u32) -> i32 {
    if !matches!(fd, 1 | 2) {
        return BADF;
    }
    if count > MAX_VECTOR {
        return INVAL;
    }
    let Ok((memory, host)) = guest(&mut caller) else { return FAULT };
    let Ok(table) = slice(memory, vectors, count * 8, usize::MAX) else { return FAULT };
    let mut total = 0u32;
    for vector in table.as_chunks::<8>().0 {
        let &[a, b, c, d, e, f, g, h] = vector;
        let (at, len) = (u32::from_le_bytes([a, b, c, d]), u32::from_le_bytes([e, f, g, h]));
        let Ok(bytes) = slice(memory, at, len, usize::MAX) else { return FAULT };
        host.write(fd == 2, bytes);
        total = total.saturating_add(len);
    }
    put(&mut caller, written, &total.to_le_bytes())
}

/// Descriptors 0 to 2 are character devices, without rights to seek.
fn fd_fdstat_get(mut caller: Guest<'_>, fd: i32, at: u32) -> i32 {
    if !matches!(fd, 0..=2) {
        return BADF;
    }
    let mut stat = [0; 24];
    stat[0] = 2;
    put(&mut caller, at, &stat)
}

/// Every subscription fires at once: a guest may not wait.
fn poll_oneoff(mut caller: Guest<'_>, subs: u32, events: u32, count: u32, fired: u32) -> i32 {
    if count == 0 || count > MAX_VECTOR {
        return INVAL;
    }
    let Ok((memory, _)) = guest(&mut caller) else { return FAULT };
    for n in 0..count {
        // A subscription has 48 bytes, its user data and tag first; an event 32.
        let Ok(sub) = slice(memory, subs.saturating_add(n * 48), 9, 9) else { return FAULT };
        let mut event = [0; 32];
        for (to, from) in event.iter_mut().zip(sub.iter().take(8)) {
            *to = *from;
        }
        event[10] = sub.get(8).copied().unwrap_or(0);
        match slice_mut(memory, events.saturating_add(n * 32), 32) {
            Ok(out) => out.copy_from_slice(&event),
            Err(_) => return FAULT,
        }
    }
    put(&mut caller, fired, &count.to_le_bytes())
}

/// Writes into guest memory; the errno says whether it could.
fn put(caller: &mut Guest<'_>, at: u32, bytes: &[u8]) -> i32 {
    let Ok((memory, _)) = guest(caller) else { return FAULT };
    let Ok(len) = u32::try_from(bytes.len()) else { return FAULT };
    match slice_mut(memory, at, len) {
        Ok(out) => {
            out.copy_from_slice(bytes);
            SUCCESS
        }
        Err(_) => FAULT,
    }
}
