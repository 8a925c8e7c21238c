//! The core module door: six exports, bytes in the guest's own memory.

mod kv;

use lockgate_message::FaultKind;
use wasmtime::{
    Caller, Extern, Instance, InstancePre, Linker, Memory, Store, TypedFunc, WasmParams,
    WasmResults,
};

use super::wasi::WASI_MODULE;
use super::{Call, INITIALIZE};
use crate::capabilities::Capability;
use crate::capabilities::log::{LINE, Level};
use crate::fault::{Crash, WrongExport};
use crate::host::Host;
use crate::limits::JSON_LIMIT;

/// Module name of the host's functions.
pub(crate) const HOST_MODULE: &str = "lockgate_v0";

/// The capability that an import takes, `Ok(None)` for one that takes none, `Err` for one that
/// the contract does not have.
pub(crate) fn capability_of(module: &str, name: &str) -> Result<Option<Capability>, ()> {
    Ok(match (module, name) {
        (HOST_MODULE, "log") => Some(Capability::Log),
        (HOST_MODULE, "metric_register" | "metric_add" | "metric_observe") => {
            Some(Capability::Metrics)
        }
        (HOST_MODULE, "clock_now") => Some(Capability::Clock),
        (HOST_MODULE, "random") => Some(Capability::Random),
        (HOST_MODULE, "kv_get" | "kv_put" | "kv_delete" | "kv_claim" | "kv_add") => {
            Some(Capability::Kv)
        }
        (WASI_MODULE, _) => None,
        _ => return Err(()),
    })
}

/// A live core module.
pub(crate) struct CoreDoor {
    memory: Memory,
    abi: TypedFunc<(), u32>,
    buffer: TypedFunc<u32, u32>,
    describe: TypedFunc<(), u64>,
    init: TypedFunc<(u32, u32), u64>,
    batch: TypedFunc<(u32, u32), u64>,
}

impl CoreDoor {
    /// Instantiates, and initialises a WASI reactor.
    pub(crate) fn open(pre: &InstancePre<Host>, store: &mut Store<Host>) -> wasmtime::Result<Self> {
        let instance = pre.instantiate(&mut *store)?;
        let door = Self {
            memory: instance
                .get_memory(&mut *store, "memory")
                .ok_or_else(|| wasmtime::Error::new(WrongExport("memory")))?,
            abi: export(&instance, store, "lockgate_abi")?,
            buffer: export(&instance, store, "lockgate_buffer")?,
            describe: export(&instance, store, "lockgate_describe")?,
            init: export(&instance, store, "lockgate_init")?,
            batch: export(&instance, store, "lockgate_batch")?,
        };
        if let Some(initialize) = instance.get_func(&mut *store, INITIALIZE) {
            initialize.typed::<(), ()>(&*store)?.call(&mut *store, ())?;
        }
        Ok(door)
    }

    /// The contract version it speaks: `major << 16 | minor`.
    pub(crate) fn abi(&self, store: &mut Store<Host>) -> Result<u32, Crash> {
        self.abi.call(&mut *store, ()).map_err(|error| Crash::classify(&error, store.data()))
    }

    pub(crate) fn describe(&self, store: &mut Store<Host>) -> Result<String, Crash> {
        let packed = self
            .describe
            .call(&mut *store, ())
            .map_err(|error| Crash::classify(&error, store.data()))?;
        self.text(store, packed)
    }

    pub(crate) fn init(&self, store: &mut Store<Host>, settings: &str) -> Result<String, Crash> {
        let packed = self.exchange(store, &self.init, settings.len(), |out| {
            out.copy_from_slice(settings.as_bytes());
            Some(())
        })?;
        self.text(store, packed)
    }

    /// One batch: encoded straight into the guest's buffer, read straight from its output.
    pub(crate) fn batch(&self, store: &mut Store<Host>, call: &mut Call<'_>) -> Result<(), Crash> {
        let packed = self.exchange(store, &self.batch, call.size(), |out| call.encode(out))?;
        let output = bytes(self.memory.data(&*store), packed, call.max_output())?;
        call.decode(output)
    }

    /// Asks for a buffer, lets `write` fill it and calls `function` on it.
    fn exchange(
        &self,
        store: &mut Store<Host>,
        function: &TypedFunc<(u32, u32), u64>,
        size: usize,
        write: impl FnOnce(&mut [u8]) -> Option<()>,
    ) -> Result<u64, Crash> {
        let len = u32::try_from(size).map_err(|_| Crash::bad("more than a guest can address"))?;
        let at = self
            .buffer
            .call(&mut *store, len)
            .map_err(|error| Crash::classify(&error, store.data()))?;
        if at == 0 && len > 0 {
            return Err(Crash::new(
                FaultKind::Memory,
                format!("has no room for a buffer of {len} bytes"),
            ));
        }
        let start = at as usize;
        let out = start
            .checked_add(size)
            .and_then(|end| self.memory.data_mut(&mut *store).get_mut(start..end))
            .ok_or_else(|| Crash::bad("lockgate_buffer returned a buffer outside the memory"))?;
        write(out).ok_or_else(|| Crash::bad("the batch does not fit its buffer"))?;
        function.call(&mut *store, (at, len)).map_err(|error| Crash::classify(&error, store.data()))
    }

    fn text(&self, store: &Store<Host>, packed: u64) -> Result<String, Crash> {
        let bytes = bytes(self.memory.data(store), packed, JSON_LIMIT)?;
        String::from_utf8(bytes.to_vec()).map_err(|_| Crash::bad("returned text is not UTF-8"))
    }
}

/// The bytes that `pointer << 32 | length` names.
fn bytes(memory: &[u8], packed: u64, max: usize) -> Result<&[u8], Crash> {
    let (at, len) = ((packed >> 32) as usize, (packed & 0xffff_ffff) as usize);
    if len > max {
        return Err(Crash::new(
            FaultKind::OutputTooLarge,
            format!("returned {len} bytes; {max} are allowed"),
        ));
    }
    at.checked_add(len)
        .and_then(|end| memory.get(at..end))
        .ok_or_else(|| Crash::bad("returned bytes outside its memory"))
}

fn export<P: WasmParams, R: WasmResults>(
    instance: &Instance,
    store: &mut Store<Host>,
    name: &'static str,
) -> wasmtime::Result<TypedFunc<P, R>> {
    instance.get_typed_func(&mut *store, name).map_err(WrongExport::of(name))
}

/// Defines the host's functions. Which of them a module may import is checked before.
pub(crate) fn link(linker: &mut Linker<Host>) -> wasmtime::Result<()> {
    linker.func_wrap(HOST_MODULE, "log", |mut caller: Caller<'_, Host>, level: u32, at, len| {
        let (memory, host) = guest(&mut caller)?;
        host.log(Level::from_number(level), slice(memory, at, len, LINE)?);
        wasmtime::Result::Ok(())
    })?;
    linker.func_wrap(HOST_MODULE, "metric_register", |mut caller: Caller<'_, Host>, at, len| {
        let (memory, host) = guest(&mut caller)?;
        let name = slice(memory, at, len, usize::MAX)?;
        let id = host.shared.stats.guest.register(name);
        Ok(id.map_or(-1, |id| i32::try_from(id).unwrap_or(-1)))
    })?;
    linker.func_wrap(HOST_MODULE, "metric_add", |caller: Caller<'_, Host>, id: u32, by: f64| {
        caller.data().shared.stats.guest.add(id, by);
    })?;
    linker.func_wrap(
        HOST_MODULE,
        "metric_observe",
        |caller: Caller<'_, Host>, id: u32, v: f64| {
            caller.data().shared.stats.guest.observe(id, v);
        },
    )?;
    linker.func_wrap(HOST_MODULE, "clock_now", |caller: Caller<'_, Host>| {
        caller.data().clock.wall_us()
    })?;
    linker.func_wrap(HOST_MODULE, "random", |mut caller: Caller<'_, Host>, at, len| {
        let (memory, host) = guest(&mut caller)?;
        if host.random.fill(slice_mut(memory, at, len)?) {
            Ok(())
        } else {
            Err(wasmtime::Error::msg("the system has no random bytes"))
        }
    })?;
    kv::link(linker)
}

/// The memory and the host state of the guest that calls.
pub(super) fn guest<'a>(
    caller: &'a mut Caller<'_, Host>,
) -> wasmtime::Result<(&'a mut [u8], &'a mut Host)> {
    match caller.get_export("memory") {
        Some(Extern::Memory(memory)) => Ok(memory.data_and_store_mut(caller)),
        _ => Err(wasmtime::Error::msg("the guest has no memory")),
    }
}

/// At most `keep` of the bytes that a guest names; all of them must lie in its memory.
pub(super) fn slice(memory: &[u8], at: u32, len: u32, keep: usize) -> wasmtime::Result<&[u8]> {
    let (at, len) = (at as usize, len as usize);
    let bytes = at.checked_add(len).and_then(|end| memory.get(at..end)).ok_or_else(outside)?;
    Ok(bytes.get(..keep).unwrap_or(bytes))
}

pub(super) fn slice_mut(memory: &mut [u8], at: u32, len: u32) -> wasmtime::Result<&mut [u8]> {
    let (at, len) = (at as usize, len as usize);
    at.checked_add(len).and_then(|end| memory.get_mut(at..end)).ok_or_else(outside)
}

fn outside() -> wasmtime::Error {
    wasmtime::Error::msg("a host function was given bytes outside the guest's memory")
}
