//! The packed component door: the core door's bytes, as `list<u8>`.

use lockgate_message::FaultKind;
use wasmtime::Store;
use wasmtime::component::{Func, InstancePre};

use super::Call;
use super::component::{Base, classify};
use crate::fault::{Crash, WrongExport};
use crate::host::Host;
use crate::limits::MIN_OUTPUT;

/// A live packed component.
pub(crate) struct PackedDoor {
    pub(crate) base: Base,
    handle_batch: Func,
    /// The batch, before it is lowered into the guest.
    frames: Vec<u8>,
}

impl PackedDoor {
    pub(crate) fn open(pre: &InstancePre<Host>, store: &mut Store<Host>) -> wasmtime::Result<Self> {
        let instance = pre.instantiate(&mut *store)?;
        let base = Base::new(&instance, store)?;
        let handle_batch = instance
            .get_func(&mut *store, "handle-batch")
            .ok_or_else(|| wasmtime::Error::new(WrongExport("handle-batch")))?;
        handle_batch
            .typed::<(&[u8],), (Vec<u8>,)>(&*store)
            .map_err(WrongExport::of("handle-batch"))?;
        Ok(Self { base, handle_batch, frames: Vec::new() })
    }

    pub(crate) fn batch(
        &mut self,
        store: &mut Store<Host>,
        call: &mut Call<'_>,
    ) -> Result<(), Crash> {
        self.frames.resize(call.size(), 0);
        call.encode(&mut self.frames)
            .ok_or_else(|| Crash::bad("the batch does not fit its buffer"))?;
        // It bounds what is copied out of the guest: the output, and before that the arguments of
        // each host function, which may be long where only a small output is allowed.
        let limit = call.max_output();
        store.set_hostcall_fuel(limit.max(MIN_OUTPUT));
        // Typed anew, for a stored type would name the lifetime of the frames; it is two words.
        let result = self
            .handle_batch
            .typed::<(&[u8],), (Vec<u8>,)>(&*store)
            .and_then(|function| function.call(&mut *store, (&self.frames,)));
        let (output,) = result.map_err(|error| classify(&error, store, limit))?;
        if output.len() > limit {
            let text = format!("returned {} bytes; {limit} are allowed", output.len());
            return Err(Crash::new(FaultKind::OutputTooLarge, text));
        }
        call.decode(&output)
    }
}
