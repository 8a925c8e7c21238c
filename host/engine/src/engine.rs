//! Engine: the wasmtime settings that all plugins share, the clock that stops runaways, and the
//! way from bytes to compiled code.

use std::collections::HashMap;
use std::fmt;
use std::path::PathBuf;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError, Weak};
use std::time::Instant;

use sha2::{Digest as _, Sha256};
use wasmtime::{Config, OptLevel};

use crate::cache::{Artifact, Cache};
use crate::carry;
use crate::compile::{Compiler, Kind};
use crate::deadline::Epochs;
use crate::error::LoadError;
use crate::limits::WASM_STACK;
use crate::machine;
use crate::precheck::vet;

/// The SHA-256 of a module's bytes.
#[derive(Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Digest([u8; 32]);

impl Digest {
    /// Hashes.
    pub fn of(bytes: &[u8]) -> Self {
        Self(Sha256::digest(bytes).into())
    }

    pub(crate) fn bytes(&self) -> &[u8; 32] {
        &self.0
    }

    /// A number out of it, for seeds.
    pub(crate) fn seed(&self) -> u64 {
        self.0.first_chunk().map_or(0, |bytes| u64::from_le_bytes(*bytes))
    }
}

/// Lower-case hex.
impl fmt::Display for Digest {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.iter().try_for_each(|byte| write!(f, "{byte:02x}"))
    }
}

impl fmt::Debug for Digest {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

/// Bytes of address space that are reserved for each memory of a plugin unless told otherwise: all
/// that it could ever use, so that its code needs no bounds checks and memory never moves.
pub const MEMORY_RESERVATION: u64 = 4 << 30;
/// What no access may reach, before and behind a memory, where less than that is reserved; with all
/// of it reserved wasmtime takes 32 MiB.
const SMALL_GUARD: u64 = 64 << 10;
const GUARD: u64 = 32 << 20;
/// What a memory that outgrows a smaller reservation gets more than it asks for, so that it is not
/// copied each time it grows.
const GROWTH: u64 = 64 << 20;

/// How plugins get compiled.
#[derive(Clone, Debug)]
pub struct EngineConfig {
    /// Where compiled plugins are kept, for this user alone; `None` keeps them in memory only.
    pub cache_dir: Option<PathBuf>,
    /// Where modules are compiled.
    pub compiler: Compiler,
    /// Bytes of address space for each memory of a plugin, at most [`MEMORY_RESERVATION`], which is
    /// the default. With less, accesses are checked one by one, and a memory that outgrows it is
    /// copied.
    pub memory_reservation: u64,
    /// Plugins that this binary carries compiled: what [`precompile`](crate::precompile) made when
    /// it was built, and nothing else, for it is run as it is. One that does not fit this engine or
    /// machine is compiled like any other.
    pub carried: &'static [&'static [u8]],
}

impl EngineConfig {
    /// Without a cache, with the default reservation, carrying nothing.
    pub fn new(compiler: Compiler) -> Self {
        Self { cache_dir: None, compiler, memory_reservation: MEMORY_RESERVATION, carried: &[] }
    }
}

/// What all plugins of a process share. Clones are the same engine.
#[derive(Clone)]
pub struct Engine(Arc<Inner>);

struct Inner {
    wasm: wasmtime::Engine,
    compiler: Compiler,
    cache: Option<Cache>,
    memory_reservation: u64,
    carried: &'static [&'static [u8]],
    compiles: AtomicU64,
    /// Code that some plugin still uses; the lock also makes compilations one at a time.
    artifacts: Mutex<HashMap<Digest, Weak<Artifact>>>,
    epochs: Epochs,
}

impl Engine {
    /// Starts an engine and its ticker thread.
    ///
    /// # Errors
    /// [`LoadError::Engine`] when wasmtime does not support this machine or no thread starts.
    pub fn new(config: EngineConfig) -> Result<Self, LoadError> {
        let memory_reservation = config.memory_reservation.min(MEMORY_RESERVATION);
        let build = Build { parallel: true, portable: false, memory_reservation };
        let wasm = wasmtime_engine(build)?;
        let (epochs, ticker) = Epochs::new();
        let weak = wasm.weak();
        let cache = config.cache_dir.and_then(|dir| Cache::open(&dir, &wasm));
        std::thread::Builder::new()
            .name("epoch".into())
            .spawn(move || ticker.run(&weak))
            .map_err(|error| LoadError::io("no thread for the clock", &error))?;
        Ok(Self(Arc::new(Inner {
            wasm,
            compiler: config.compiler,
            cache,
            memory_reservation,
            carried: config.carried,
            compiles: AtomicU64::new(0),
            artifacts: Mutex::default(),
            epochs,
        })))
    }

    /// Compilations so far; loads from the cache are none.
    pub fn compiles(&self) -> u64 {
        self.0.compiles.load(Ordering::Relaxed)
    }

    /// Fails where `sandboxes` of one memory each cannot have the address space that they reserve
    /// beside what this process has already.
    ///
    /// # Errors
    /// [`LoadError::Machine`] with what is needed and what the limit leaves.
    pub fn room_for(&self, sandboxes: usize) -> Result<(), LoadError> {
        let guard =
            if self.0.memory_reservation < MEMORY_RESERVATION { SMALL_GUARD } else { GUARD };
        let each = self.0.memory_reservation + 2 * guard;
        let needed = each.saturating_mul(sandboxes as u64);
        match machine::address_space_left() {
            Some(left) if left < needed => Err(LoadError::Machine(format!(
                "{sandboxes} sandboxes, one a stage and lane, reserve {} of address space, {} each, \
                 and the limit of this process leaves {}",
                machine::size(needed),
                machine::size(each),
                machine::size(left)
            ))),
            _ => Ok(()),
        }
    }

    pub(crate) fn wasm(&self) -> &wasmtime::Engine {
        &self.0.wasm
    }

    pub(crate) fn epochs(&self) -> &Epochs {
        &self.0.epochs
    }

    /// The code of a module that passed the pre-check: in memory, carried, from the cache, or
    /// compiled.
    pub(crate) fn artifact(
        &self,
        digest: &Digest,
        kind: Kind,
        bytes: &[u8],
    ) -> Result<Arc<Artifact>, LoadError> {
        let Inner { wasm, compiler, cache, artifacts, memory_reservation, carried, .. } = &*self.0;
        let mut artifacts = artifacts.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(artifact) = artifacts.get(digest).and_then(Weak::upgrade) {
            return Ok(artifact);
        }
        let known = carried
            .iter()
            .find_map(|one| carry::load(wasm, one, digest, kind))
            .or_else(|| cache.as_ref()?.get(wasm, digest, kind));
        let artifact = match known {
            Some(artifact) => artifact,
            None => {
                vet(bytes)?;
                self.0.compiles.fetch_add(1, Ordering::Relaxed);
                let started = Instant::now();
                let code = compiler.compile(wasm, *memory_reservation, kind, bytes)?;
                let artifact = Artifact::load(wasm, kind, &code)
                    .map_err(|error| LoadError::of(&error, LoadError::Engine))?;
                if let Some(cache) = cache {
                    cache.put(digest, kind, &code);
                }
                let ms = started.elapsed().as_millis();
                tracing::info!(sha256 = %digest, bytes = bytes.len(), ms, "compiled a plugin");
                artifact
            }
        };
        let artifact = Arc::new(artifact);
        artifacts.retain(|_, artifact| artifact.strong_count() > 0);
        artifacts.insert(*digest, Arc::downgrade(&artifact));
        Ok(artifact)
    }
}

impl fmt::Debug for Engine {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Engine").field("compiler", &self.0.compiler).finish_non_exhaustive()
    }
}

/// What differs between the engines that are made.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Build {
    /// Compiles on all cores.
    pub(crate) parallel: bool,
    /// For every machine of this architecture, not for this one.
    pub(crate) portable: bool,
    /// As [`EngineConfig::memory_reservation`].
    pub(crate) memory_reservation: u64,
}

/// An engine with the sandbox's settings. Those that bear on the code are the same in every
/// process, for one compiles what another runs.
pub(crate) fn wasmtime_engine(build: Build) -> Result<wasmtime::Engine, LoadError> {
    let mut config = Config::new();
    let reserved = build.memory_reservation;
    if reserved < MEMORY_RESERVATION {
        config
            .memory_reservation(reserved)
            .memory_reservation_for_growth(GROWTH)
            .memory_guard_size(SMALL_GUARD);
    }
    if build.portable {
        // Naming a target, and be it our own, leaves out what this processor has beyond it.
        let triple =
            carry::triple().ok_or_else(|| LoadError::Engine("no portable target".into()))?;
        config.target(triple).map_err(|error| LoadError::Engine(format!("{error:#}")))?;
    }
    config
        .cranelift_opt_level(OptLevel::Speed)
        .parallel_compilation(build.parallel)
        .epoch_interruption(true)
        .max_wasm_stack(WASM_STACK)
        .native_unwind_info(false)
        .generate_address_map(false)
        .concurrency_support(false)
        // The same proposals as `precheck::vet`.
        .wasm_bulk_memory(true)
        .wasm_simd(true)
        .wasm_relaxed_simd(false)
        .wasm_multi_memory(false)
        .wasm_memory64(false)
        .wasm_wide_arithmetic(false)
        .wasm_custom_page_sizes(false);
    wasmtime::Engine::new(&config).map_err(|error| LoadError::of(&error, LoadError::Engine))
}
