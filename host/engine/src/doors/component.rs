//! What both component doors share: the host's interfaces, `describe` and `init`.

mod kv;

use std::str::Utf8Error;

use lockgate_message::FaultKind;
use wasmtime::component::{Instance, Linker, TypedFunc, WasmStr};
use wasmtime::{Store, StoreContextMut};

use crate::bindings;
use crate::capabilities::Capability;
use crate::capabilities::log::Level;
use crate::fault::{Crash, WrongExport};
use crate::host::Host;
use crate::limits::JSON_LIMIT;

/// Random bytes of one call, as the WIT package says.
const MAX_RANDOM: u32 = 65_536;

/// What is in front of and behind the name of an interface of the contract.
const PACKAGE: &str = "lockgate:plugin/";
const VERSION: &str = "@0.1.";

/// The capability that an import takes, `Ok(None)` for one that takes none, `Err` for one that
/// the contract does not have. Any patch version will do.
pub(crate) fn capability_of(import: &str) -> Result<Option<Capability>, ()> {
    let interface = import.strip_prefix(PACKAGE).and_then(|rest| rest.split_once(VERSION));
    match interface.ok_or(())?.0 {
        // Types alone.
        "types" => Ok(None),
        "log" => Ok(Some(Capability::Log)),
        "metrics" => Ok(Some(Capability::Metrics)),
        "clock" => Ok(Some(Capability::Clock)),
        "random" => Ok(Some(Capability::Random)),
        "kv" => Ok(Some(Capability::Kv)),
        _ => Err(()),
    }
}

/// The exports that both worlds have.
///
/// What a call returns is asked for as types that own their bytes, in both doors: wasmtime runs the
/// guest's post-return function before `call` comes back, which frees what the guest returned. A
/// `WasmStr` or `WasmList` would be read after that. They are right only in host functions, whose
/// arguments stay alive until the function returns.
pub(crate) struct Base {
    describe: TypedFunc<(), (String,)>,
    init: TypedFunc<(String,), (String,)>,
}

impl Base {
    pub(crate) fn new(instance: &Instance, store: &mut Store<Host>) -> wasmtime::Result<Self> {
        Ok(Self {
            describe: instance
                .get_typed_func(&mut *store, "describe")
                .map_err(WrongExport::of("describe"))?,
            init: instance.get_typed_func(&mut *store, "init").map_err(WrongExport::of("init"))?,
        })
    }

    pub(crate) fn describe(&self, store: &mut Store<Host>) -> Result<String, Crash> {
        store.set_hostcall_fuel(JSON_LIMIT);
        let result = self.describe.call(&mut *store, ());
        result.map(|(text,)| text).map_err(|error| classify(&error, store, JSON_LIMIT))
    }

    pub(crate) fn init(&self, store: &mut Store<Host>, settings: &str) -> Result<String, Crash> {
        store.set_hostcall_fuel(JSON_LIMIT);
        let result = self.init.call(&mut *store, (settings.to_owned(),));
        result.map(|(text,)| text).map_err(|error| classify(&error, store, JSON_LIMIT))
    }
}

/// Names what went wrong in a call whose result may have `limit` bytes, the store's fuel for host
/// calls: wasmtime takes it for each byte that it copies out of the guest.
pub(super) fn classify(error: &wasmtime::Error, store: &Store<Host>, limit: usize) -> Crash {
    // wasmtime has no public type for this error.
    if error.root_cause().to_string().contains("fuel allocated for hostcalls") {
        let text = format!("returned more than the {limit} bytes that are allowed");
        return Crash::new(FaultKind::OutputTooLarge, text);
    }
    if error.is::<Utf8Error>() {
        return Crash::bad("returned text is not UTF-8");
    }
    Crash::classify(error, store.data())
}

/// Defines the host's interfaces. Which of them a component may import is checked before.
pub(crate) fn link(linker: &mut Linker<Host>) -> wasmtime::Result<()> {
    let mut log = linker.instance("lockgate:plugin/log@0.1.0")?;
    log.func_wrap("write", |store: Context<'_>, (level, text): (bindings::Level, WasmStr)| {
        let line = text.to_str(&store)?;
        store.data().log(level.into(), line.as_bytes());
        Ok(())
    })?;

    let mut metrics = linker.instance("lockgate:plugin/metrics@0.1.0")?;
    metrics.func_wrap("register", |store: Context<'_>, (name,): (WasmStr,)| {
        let name = name.to_str(&store)?;
        let id = store.data().shared.stats.guest.register(name.as_bytes());
        Ok((id.unwrap_or(u32::MAX),))
    })?;
    metrics.func_wrap("add", |store: Context<'_>, (id, delta): (u32, f64)| {
        store.data().shared.stats.guest.add(id, delta);
        Ok(())
    })?;
    metrics.func_wrap("observe", |store: Context<'_>, (id, sample): (u32, f64)| {
        store.data().shared.stats.guest.observe(id, sample);
        Ok(())
    })?;

    let mut clock = linker.instance("lockgate:plugin/clock@0.1.0")?;
    clock.func_wrap("now", |store: Context<'_>, ()| Ok((store.data().clock.wall_us(),)))?;

    let mut random = linker.instance("lockgate:plugin/random@0.1.0")?;
    random.func_wrap("get-bytes", |mut store: Context<'_>, (length,): (u32,)| {
        if length > MAX_RANDOM {
            return Err(wasmtime::Error::msg("asked for more than 65,536 random bytes"));
        }
        let mut bytes = vec![0; length as usize];
        match store.data_mut().random.fill(&mut bytes) {
            true => Ok((bytes,)),
            false => Err(wasmtime::Error::msg("the system has no random bytes")),
        }
    })?;
    kv::link(linker)
}

type Context<'a> = StoreContextMut<'a, Host>;

impl From<bindings::Level> for Level {
    fn from(level: bindings::Level) -> Self {
        match level {
            bindings::Level::Trace => Self::Trace,
            bindings::Level::Debug => Self::Debug,
            bindings::Level::Info => Self::Info,
            bindings::Level::Warn => Self::Warn,
            bindings::Level::Error => Self::Error,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn imports_are_known_by_name_and_minor_version() {
        let check = |import, expected| assert_eq!(capability_of(import), expected, "{import}");
        check("lockgate:plugin/types@0.1.0", Ok(None));
        check("lockgate:plugin/log@0.1.7", Ok(Some(Capability::Log)));
        check("lockgate:plugin/random@0.1.0", Ok(Some(Capability::Random)));
        check("lockgate:plugin/kv@0.1.0", Ok(Some(Capability::Kv)));
        for other in
            ["lockgate:plugin/http@0.1.0", "lockgate:plugin/log@0.2.0", "wasi:cli/run@0.2.0"]
        {
            check(other, Err(()));
        }
    }
}
