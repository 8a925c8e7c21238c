//! The compiler's own process: a module of 72 kB was measured to take 63 s and 3.4 GB to
//! compile, so no pre-check can say what compiling costs. Limits of the operating system can.

use std::ffi::{OsStr, OsString};
use std::io::{Read, Write, stderr, stdin, stdout};
use std::os::unix::process::ExitStatusExt;
use std::path::Path;
use std::process::{Child, Command, ExitStatus, Stdio};
use std::sync::mpsc::channel;
use std::thread::{Builder, scope};
use std::time::Duration;

use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};

use super::Kind;
use crate::engine::{Build, wasmtime_engine};
use crate::error::LoadError;
use crate::precheck::MAX_MODULE;
use crate::text::clean_bytes;

const MIB: u64 = 1 << 20;
/// Bytes of code that are taken back.
pub(crate) const MAX_CODE: u64 = 1 << 30;
const MAX_ERROR: u64 = 4096;
/// The child's exit code when the module is at fault, with the reason on stderr.
const REFUSED: u8 = 65;

const SIGKILL: i32 = 9;
const SIGXCPU: i32 = 24;

/// What one compilation may use; grows with the module.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct CompileLimits {
    cpu_seconds: u64,
    memory: u64,
}

impl CompileLimits {
    /// 5 s and 4 s more a MiB; 512 MiB and 128 MiB more a MiB, 4 GiB at most.
    fn of(module: usize) -> Self {
        let mib = (module as u64).div_ceil(MIB);
        Self { cpu_seconds: 5 + 4 * mib, memory: (512 * MIB + mib * 128 * MIB).min(4096 * MIB) }
    }

    /// A machine may be busy: four times the processor time, and time to start.
    fn wall(self) -> Duration {
        Duration::from_secs(10 + 4 * self.cpu_seconds)
    }
}

/// Compiles in a child; see [`Compiler::Child`](super::Compiler::Child).
pub(super) fn run(
    exe: &Path,
    args: &[OsString],
    memory_reservation: u64,
    kind: Kind,
    module: &[u8],
) -> Result<Vec<u8>, LoadError> {
    let limits = CompileLimits::of(module.len());
    let mut child = Command::new(exe)
        .args(args)
        .arg(limits.cpu_seconds.to_string())
        .arg(limits.memory.to_string())
        .arg(memory_reservation.to_string())
        .arg(kind.name())
        .env_clear()
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .map_err(|error| {
            LoadError::io(&format!("the compiler `{}` does not start", exe.display()), &error)
        })?;
    let done = attend(&mut child, module, limits);
    if done.is_err() {
        // It may be gone already; then there is nothing to kill.
        let _ = child.kill();
    }
    let status = child.wait();
    let done = done.map_err(|error| LoadError::io("compiling", &error))?;
    let status = status.map_err(|error| LoadError::io("compiling", &error))?;
    judge(status, done, limits)
}

/// What a child left behind.
struct Done {
    code: Vec<u8>,
    error: Vec<u8>,
    timed_out: bool,
}

/// Feeds a child and reads it to its end, or kills it after the wall time.
fn attend(child: &mut Child, module: &[u8], limits: CompileLimits) -> std::io::Result<Done> {
    let (input, output, errors) = (child.stdin.take(), child.stdout.take(), child.stderr.take());
    scope(|threads| {
        Builder::new().spawn_scoped(threads, move || {
            // A child that ends early says why on stderr.
            input.map(|mut input| input.write_all(module))
        })?;
        let errors = Builder::new().spawn_scoped(threads, || read(errors, MAX_ERROR))?;
        let (send, receive) = channel();
        Builder::new().spawn_scoped(threads, move || send.send(read(output, MAX_CODE)))?;
        let code = receive.recv_timeout(limits.wall());
        if code.is_err() {
            child.kill()?;
        }
        Ok(Done {
            timed_out: code.is_err(),
            code: code.unwrap_or_default(),
            error: errors.join().unwrap_or_default(),
        })
    })
}

/// All of a stream, of which at most `limit` bytes are kept.
fn read(from: Option<impl Read>, limit: u64) -> Vec<u8> {
    let mut kept = Vec::new();
    if let Some(mut from) = from {
        // What cannot be read is missing, and the exit status says why.
        let _ = from.by_ref().take(limit).read_to_end(&mut kept);
        let _ = std::io::copy(&mut from, &mut std::io::sink());
    }
    kept
}

fn judge(status: ExitStatus, done: Done, limits: CompileLimits) -> Result<Vec<u8>, LoadError> {
    if done.timed_out {
        let wall = limits.wall().as_secs();
        return Err(LoadError::CompileLimits(format!("it took longer than {wall} s")));
    }
    let error = clean_bytes(done.error.trim_ascii(), 1024);
    let out_of_memory = ["memory allocation of", "Cannot allocate memory", "out of memory"]
        .iter()
        .any(|sign| error.contains(sign));
    match (status.code(), status.signal()) {
        (Some(0), _) => Ok(done.code),
        _ if out_of_memory && inherited() < limits.memory => Err(LoadError::Machine(format!(
            "compiling may take {} MiB of address space, the limit of this process is {} MiB",
            limits.memory / MIB,
            inherited() / MIB
        ))),
        _ if out_of_memory => Err(LoadError::CompileLimits(format!(
            "it took more than {} MiB of memory",
            limits.memory / MIB
        ))),
        (Some(code), _) if code == i32::from(REFUSED) => Err(LoadError::CompileFailed(error)),
        (Some(code), _) => {
            Err(LoadError::Engine(format!("the compiler ended with exit code {code}: {error}")))
        }
        (None, Some(SIGXCPU | SIGKILL)) => Err(LoadError::CompileLimits(format!(
            "it took more than {} s of processor time",
            limits.cpu_seconds
        ))),
        (None, signal) => Err(LoadError::CompileLimits(format!(
            "the compiler was ended by signal {}: {error}",
            signal.unwrap_or_default()
        ))),
    }
}

/// The limit on address space that a child inherits, and cannot get beyond.
fn inherited() -> u64 {
    getrlimit(Resource::As).current.unwrap_or(u64::MAX)
}

/// The child's side: what a binary named in [`Compiler::Child`](super::Compiler::Child) runs,
/// with the last four of its arguments. Reads the module from stdin and writes the code to
/// stdout, both to their ends; returns the exit code.
///
/// Applies limits to this process first, so nothing else should run in it.
pub fn compile_child(args: &[OsString]) -> u8 {
    match compile(args) {
        Ok(()) => 0,
        Err(error) => {
            // With stderr gone there is nobody left to tell.
            let _ = stderr().write_all(error.as_bytes());
            REFUSED
        }
    }
}

fn compile(args: &[OsString]) -> Result<(), String> {
    let text: Vec<&str> = args.iter().filter_map(|arg| OsStr::to_str(arg)).collect();
    let [cpu, memory, reservation, kind] = text.as_slice() else {
        return Err(
            "expected: processor seconds, bytes of memory, bytes reserved for a memory of a \
                    plugin, module or component"
                .into(),
        );
    };
    let number = |text: &str| text.parse::<u64>().map_err(|_| format!("`{text}` is no number"));
    limit(Resource::Core, 0, 0)?;
    limit(Resource::Fsize, 0, 0)?;
    let memory = number(memory)?.min(inherited());
    limit(Resource::As, memory, memory)?;
    limit(Resource::Cpu, number(cpu)?, number(cpu)? + 1)?;
    let kind = match *kind {
        "module" => Kind::Module,
        "component" => Kind::Component,
        other => return Err(format!("`{other}` is neither module nor component")),
    };
    let mut module = Vec::new();
    stdin()
        .take(MAX_MODULE as u64 + 1)
        .read_to_end(&mut module)
        .map_err(|error| format!("reading the module: {error}"))?;
    let memory_reservation = number(reservation)?;
    let build = Build { parallel: false, portable: false, memory_reservation };
    let engine = wasmtime_engine(build).map_err(|error| error.to_string())?;
    let code = kind.compile(&engine, &module).map_err(|error| format!("{error:#}"))?;
    stdout().write_all(&code).map_err(|error| format!("writing the code: {error}"))
}

fn limit(resource: Resource, soft: u64, hard: u64) -> Result<(), String> {
    setrlimit(resource, Rlimit { current: Some(soft), maximum: Some(hard) })
        .map_err(|error| format!("setting limits: {error}"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn limits_grow_with_the_module() {
        let check = |module, cpu_seconds, mib| {
            let expected = CompileLimits { cpu_seconds, memory: mib * MIB };
            assert_eq!(CompileLimits::of(module), expected, "{module}");
        };
        check(72_000, 9, 640);
        check(18 << 20, 77, 512 + 18 * 128);
        check(MAX_MODULE, 261, 4096);
    }
}
