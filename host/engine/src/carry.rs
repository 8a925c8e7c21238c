//! Carry: plugins that are compiled when the binary is built, and stand in it beside their modules, so
//! that its first start compiles nothing.
//!
//! The code is for every machine of the architecture. wasmtime checks its own version, the settings
//! that bear on code, and the processor before it loads any; what does not fit is compiled anew.

use wasmtime::Engine;

use crate::cache::Artifact;
use crate::compile::Kind;
use crate::engine::{Build, Digest, MEMORY_RESERVATION, wasmtime_engine};
use crate::error::LoadError;
use crate::precheck::{scan, vet};

/// What carried code starts with, before the digest of its module. The number goes up with a change
/// of how it is compiled that wasmtime does not notice.
const MAGIC: &[u8; 16] = b"lockgate code 1\0";
const DIGEST: usize = 32;

/// Compiles a module for [`EngineConfig::carried`](crate::EngineConfig::carried). In this process and
/// without limits: for modules of one's own.
///
/// # Errors
/// What is wrong with the module, or that this platform is not known.
pub fn precompile(module: &[u8]) -> Result<Vec<u8>, LoadError> {
    let kind = Kind::of(scan(module)?.door);
    vet(module)?;
    let engine = engine(true)?;
    let code = kind.compile(&engine, module);
    let code = code.map_err(|error| LoadError::of(&error, LoadError::CompileFailed))?;
    Ok([MAGIC.as_slice(), Digest::of(module).bytes(), &code].concat())
}

/// Whether `code` is what [`precompile`] makes of `module`, or as good as that.
pub fn is_precompiled(code: &[u8], module: &[u8]) -> bool {
    let Ok(kind) = scan(module).map(|scan| Kind::of(scan.door)) else { return false };
    engine(false).is_ok_and(|engine| load(&engine, code, &Digest::of(module), kind).is_some())
}

/// The code of this module, if it is that of `carried` and fits the engine and the machine.
pub(crate) fn load(
    engine: &Engine,
    carried: &[u8],
    digest: &Digest,
    kind: Kind,
) -> Option<Artifact> {
    let (of, code) = carried.strip_prefix(MAGIC)?.split_at_checked(DIGEST)?;
    if of != digest.bytes() {
        return None;
    }
    Artifact::load(engine, kind, code).ok()
}

fn engine(portable: bool) -> Result<Engine, LoadError> {
    wasmtime_engine(Build { parallel: true, portable, memory_reservation: MEMORY_RESERVATION })
}

/// This architecture and system, with no features of the processor at hand.
pub(crate) fn triple() -> Option<&'static str> {
    Some(match (std::env::consts::ARCH, std::env::consts::OS) {
        ("x86_64", "linux") => "x86_64-unknown-linux-gnu",
        ("aarch64", "linux") => "aarch64-unknown-linux-gnu",
        ("x86_64", "macos") => "x86_64-apple-darwin",
        ("aarch64", "macos") => "aarch64-apple-darwin",
        _ => return None,
    })
}
