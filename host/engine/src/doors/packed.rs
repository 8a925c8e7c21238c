//! The packed component door: the core door's bytes, as `list<u8>`.

use lockgate_message::FaultKind;
use wasmtime::Store;
use wasmtime::component::{Func, InstancePre, WasmList};

use super::Call;
use super::component::Base;
use crate::fault::{Crash, WrongExport};
use crate::host::Host;

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
            .typed::<(&[u8],), (WasmList<u8>,)>(&*store)
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
        // Typed anew, for a stored type would name the lifetime of the frames; it is two words.
        let result = self
            .handle_batch
            .typed::<(&[u8],), (WasmList<u8>,)>(&*store)
            .and_then(|function| function.call(&mut *store, (&self.frames,)));
        let (output,) = result.map_err(|error| Crash::classify(&error, store.data()))?;
        let output = output.as_le_slice(&*store);
        if output.len() > call.max_output() {
            let text =
                format!("returned {} bytes; {} are allowed", output.len(), call.max_output());
            return Err(Crash::new(FaultKind::OutputTooLarge, text));
        }
        call.decode(output)
    }
}
