//! The typed component door: one message at a time, as records. Ten times the packed door's
//! price, and nothing but a bindings generator needed.

mod convert;

use lockgate_message::FaultKind;
use wasmtime::Store;
use wasmtime::component::{InstancePre, TypedFunc};

use super::Call;
use super::component::Base;
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
            store.set_hostcall_fuel(call.limits.output_bytes(*size as usize));
            let message = convert::message(index, input, call.needs, call.received_us);
            let result = self.handle.call(&mut *store, (message,));
            let (result,) = result.map_err(|error| classify(&error, store))?;
            *slot = Some(convert::verdict(result, call.reasons, call.limits));
        }
        Ok(())
    }
}

fn classify(error: &wasmtime::Error, store: &Store<Host>) -> Crash {
    // wasmtime has no type for this error.
    if error.root_cause().to_string().contains("fuel allocated for hostcalls") {
        return Crash::new(FaultKind::OutputTooLarge, "returned more than the message allows");
    }
    Crash::classify(error, store.data())
}
