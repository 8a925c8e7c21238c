//! Sandbox: one store with one live guest. After any crash it is dropped, never used again.

use std::time::Duration;

use wasmtime::{InstancePre, Store, UpdateDeadline, component};

use crate::capabilities::kv::Staging;
use crate::doors::Call;
use crate::doors::core::CoreDoor;
use crate::doors::packed::PackedDoor;
use crate::doors::typed::TypedDoor;
use crate::engine::Engine;
use crate::fault::Crash;
use crate::host::Host;
use crate::limits::Limits;

/// A plugin linked to its grants, ready to be instantiated.
pub(crate) enum Linked {
    Core(InstancePre<Host>),
    Packed(component::InstancePre<Host>),
    Typed(component::InstancePre<Host>),
}

enum Live {
    Core(Box<CoreDoor>),
    Packed(PackedDoor),
    Typed(TypedDoor),
}

pub(crate) struct Sandbox {
    store: Store<Host>,
    door: Live,
    calls: u64,
    /// Memory after init, in bytes.
    start_memory: usize,
}

impl Sandbox {
    /// Instantiates, within `limits.init_time`.
    pub(crate) fn open(
        engine: &Engine,
        linked: &Linked,
        host: Host,
        limits: &Limits,
    ) -> Result<Self, Crash> {
        let mut store = Store::new(engine.wasm(), host);
        store.limiter(|host| &mut host.limiter);
        store.epoch_deadline_callback(|mut store| match store.data_mut().deadline.over() {
            Some(epochs) => Ok(UpdateDeadline::Continue(epochs)),
            None => Ok(UpdateDeadline::Interrupt),
        });
        let epochs = store.data_mut().deadline.start(limits.init_time);
        store.set_epoch_deadline(epochs);
        let door = match linked {
            Linked::Core(pre) => {
                CoreDoor::open(pre, &mut store).map(|door| Live::Core(Box::new(door)))
            }
            Linked::Packed(pre) => PackedDoor::open(pre, &mut store).map(Live::Packed),
            Linked::Typed(pre) => TypedDoor::open(pre, &mut store).map(Live::Typed),
        }
        .map_err(|error| Crash::classify(&error, store.data()))?;
        Ok(Self { store, door, calls: 0, start_memory: 0 })
    }

    /// The contract version that a core module states in code.
    pub(crate) fn abi(&mut self, limits: &Limits) -> Result<Option<(u16, u16)>, Crash> {
        self.start(limits.init_time);
        let Live::Core(door) = &self.door else { return Ok(None) };
        let abi = door.abi(&mut self.store);
        let abi = self.unless_starved(abi)?;
        let half = |bits: u32| u16::try_from(bits & 0xffff).unwrap_or(u16::MAX);
        Ok(Some((half(abi >> 16), half(abi))))
    }

    pub(crate) fn describe(&mut self, limits: &Limits) -> Result<String, Crash> {
        self.start(limits.init_time);
        let result = match &self.door {
            Live::Core(door) => door.describe(&mut self.store),
            Live::Packed(door) => door.base.describe(&mut self.store),
            Live::Typed(door) => door.base.describe(&mut self.store),
        };
        self.unless_starved(result)
    }

    pub(crate) fn init(&mut self, settings: &str, limits: &Limits) -> Result<String, Crash> {
        self.start(limits.init_time);
        let result = match &self.door {
            Live::Core(door) => door.init(&mut self.store, settings),
            Live::Packed(door) => door.base.init(&mut self.store, settings),
            Live::Typed(door) => door.base.init(&mut self.store, settings),
        };
        self.start_memory = self.memory();
        self.unless_starved(result)
    }

    /// Runs one batch within `time`. What the messages stage goes to `kv`.
    pub(crate) fn call(
        &mut self,
        call: &mut Call<'_>,
        time: Duration,
        kv: &mut Option<Staging>,
    ) -> Result<(), Crash> {
        self.calls += 1;
        self.start(time);
        let host = self.store.data_mut();
        host.clock.receive(call.received_us);
        std::mem::swap(&mut host.kv, kv);
        let result = match &mut self.door {
            Live::Core(door) => door.batch(&mut self.store, call),
            Live::Packed(door) => door.batch(&mut self.store, call),
            Live::Typed(door) => door.batch(&mut self.store, call),
        };
        std::mem::swap(&mut self.store.data_mut().kv, kv);
        self.unless_starved(result)
    }

    /// The result of a call, unless the machine refused the guest memory meanwhile: what a guest
    /// says that could not get what it asked for, a good answer included, is not to be believed.
    fn unless_starved<T>(&self, result: Result<T, Crash>) -> Result<T, Crash> {
        match self.store.data().limiter.starved() {
            Some(why) => Err(Crash::starved(why)),
            None => result,
        }
    }

    /// Linear memory held, in bytes.
    pub(crate) fn memory(&self) -> usize {
        self.store.data().limiter.memory()
    }

    /// Whether it is time for a new one.
    pub(crate) fn is_spent(&self, limits: &Limits) -> bool {
        let memory = self.memory();
        let mark = limits.recycle_memory.unwrap_or(limits.memory / 4 * 3);
        limits.recycle_calls.is_some_and(|calls| self.calls >= calls)
            || (memory >= mark && memory > self.start_memory)
    }

    fn start(&mut self, time: Duration) {
        let host = self.store.data_mut();
        host.start_call();
        let epochs = host.deadline.start(time);
        self.store.set_epoch_deadline(epochs);
    }
}
