//! The typed component door: one message at a time, as records. Ten times the packed door's
//! price, and nothing but a bindings generator needed.

mod convert;

use wasmtime::Store;
use wasmtime::component::{InstancePre, TypedFunc};

use super::Call;
use super::component::{Base, classify};
use crate::bindings;
use crate::fault::{Crash, WrongExport};
use crate::host::Host;

type Handle = TypedFunc<(bindings::Message,), (Result<bindings::Verdict, bindings::Failure>,)>;

/// A live typed component.
pub(crate) struct TypedDoor {
    pub(crate) base: Base,
    handle: Handle,
}

impl TypedDoor {
    pub(crate) fn open(pre: &InstancePre<Host>, store: &mut Store<Host>) -> wasmtime::Result<Self> {
        let instance = pre.instantiate(&mut *store)?;
        Ok(Self {
            base: Base::new(&instance, store)?,
            handle: instance
                .get_typed_func(&mut *store, "handle")
                .map_err(WrongExport::of("handle"))?,
        })
    }

    /// Judges the messages of a call one after another; there is only one in practice.
    pub(crate) fn batch(&self, store: &mut Store<Host>, call: &mut Call<'_>) -> Result<(), Crash> {
        let messages = (0..).zip(call.inputs.iter().zip(call.sizes)).zip(call.slots.iter_mut());
        for ((index, (input, size)), slot) in messages {
            // Bounds what the host builds of a verdict: lists in it may share guest memory.
            let limit = call.limits.output_bytes(*size as usize);
            store.set_hostcall_fuel(limit);
            let message = convert::message(index, input, call.needs, call.received_us);
            let result = self.handle.call(&mut *store, (message,));
            let (result,) = result.map_err(|error| classify(&error, store, limit))?;
            *slot = Some(convert::verdict(result, call.reasons, call.limits));
        }
        Ok(())
    }
}
