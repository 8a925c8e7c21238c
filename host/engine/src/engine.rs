//! Engine: the wasmtime settings that all plugins share, the clock that stops runaways, and the
//! way from bytes to compiled code.

use std::collections::HashMap;
use std::fmt;
use std::path::PathBuf;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError, Weak};

use sha2::{Digest as _, Sha256};
use wasmtime::{Config, OptLevel};

use crate::cache::{Artifact, Cache};
use crate::compile::{Compiler, Kind};
use crate::deadline::Epochs;
use crate::error::LoadError;
use crate::limits::WASM_STACK;
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

/// How plugins get compiled.
#[derive(Clone, Debug)]
pub struct EngineConfig {
    /// Where compiled plugins are kept, for this user alone; `None` keeps them in memory only.
    pub cache_dir: Option<PathBuf>,
    /// Where modules are compiled.
    pub compiler: Compiler,
}

/// What all plugins of a process share. Clones are the same engine.
#[derive(Clone)]
pub struct Engine(Arc<Inner>);

struct Inner {
    wasm: wasmtime::Engine,
    compiler: Compiler,
    cache: Option<Cache>,
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
        let wasm = wasmtime_engine(true)?;
        let (epochs, ticker) = Epochs::new();
        let weak = wasm.weak();
        let cache = config.cache_dir.and_then(|dir| Cache::open(&dir, &wasm));
        std::thread::Builder::new()
            .name("epoch".into())
            .spawn(move || ticker.run(&weak))
            .map_err(|error| LoadError::Engine(error.to_string()))?;
        Ok(Self(Arc::new(Inner {
            wasm,
            compiler: config.compiler,
            cache,
            compiles: AtomicU64::new(0),
            artifacts: Mutex::default(),
            epochs,
        })))
    }

    /// Compilations so far; loads from the cache are none.
    pub fn compiles(&self) -> u64 {
        self.0.compiles.load(Ordering::Relaxed)
    }

    pub(crate) fn wasm(&self) -> &wasmtime::Engine {
        &self.0.wasm
    }

    pub(crate) fn epochs(&self) -> &Epochs {
        &self.0.epochs
    }

    /// The code of a module that passed the pre-check: in memory, from the cache, or compiled.
    pub(crate) fn artifact(
        &self,
        digest: &Digest,
        kind: Kind,
        bytes: &[u8],
    ) -> Result<Arc<Artifact>, LoadError> {
        let Inner { wasm, compiler, cache, compiles, artifacts, .. } = &*self.0;
        let mut artifacts = artifacts.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(artifact) = artifacts.get(digest).and_then(Weak::upgrade) {
            return Ok(artifact);
        }
        let cached = cache.as_ref().and_then(|cache| cache.get(wasm, digest, kind));
        let artifact = match cached {
            Some(artifact) => artifact,
            None => {
                vet(bytes)?;
                compiles.fetch_add(1, Ordering::Relaxed);
                let code = compiler.compile(wasm, kind, bytes)?;
                let artifact = Artifact::load(wasm, kind, &code)
                    .map_err(|error| LoadError::Engine(format!("{error:#}")))?;
                if let Some(cache) = cache {
                    cache.put(digest, kind, &code);
                }
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

/// An engine with the sandbox's settings. Those that bear on the code are the same in every
/// process, for one compiles what another runs.
pub(crate) fn wasmtime_engine(parallel: bool) -> Result<wasmtime::Engine, LoadError> {
    let mut config = Config::new();
    config
        .cranelift_opt_level(OptLevel::Speed)
        .parallel_compilation(parallel)
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
    wasmtime::Engine::new(&config).map_err(|error| LoadError::Engine(format!("{error:#}")))
}
