//! The interface `kv` of both component doors.

use lockgate_message::state::{Claimed, KEY_MAX, VALUE_MAX};
use wasmtime::Result;
use wasmtime::component::{Linker, WasmList};

use super::Context;
use crate::bindings::kv as wit;
use crate::capabilities::kv::KvError;
use crate::host::Host;

type Bytes = WasmList<u8>;
type Answer<T> = std::result::Result<T, wit::Error>;

/// Defines the interface.
pub(super) fn link(linker: &mut Linker<Host>) -> Result<()> {
    let mut kv = linker.instance("lockgate:plugin/kv@0.1.0")?;
    kv.func_wrap("get", |mut store: Context<'_>, (index, key): (u32, Bytes)| {
        let key = copy(&store, &key, KEY_MAX);
        Ok((answer(store.data_mut().kv(|kv| kv.get(index, &key))?),))
    })?;
    kv.func_wrap(
        "put",
        |mut store: Context<'_>, (index, key, value, ttl): (u32, Bytes, Bytes, u64)| {
            let (key, value) = (copy(&store, &key, KEY_MAX), copy(&store, &value, VALUE_MAX));
            Ok((answer(store.data_mut().kv(|kv| kv.put(index, &key, &value, ttl))?),))
        },
    )?;
    kv.func_wrap("delete", |mut store: Context<'_>, (index, key): (u32, Bytes)| {
        let key = copy(&store, &key, KEY_MAX);
        Ok((answer(store.data_mut().kv(|kv| kv.delete(index, &key))?),))
    })?;
    kv.func_wrap("claim", |mut store: Context<'_>, (index, key, ttl): (u32, Bytes, u64)| {
        let key = copy(&store, &key, KEY_MAX);
        let claimed = store.data_mut().kv(|kv| kv.claim(index, &key, ttl))?;
        Ok((answer(claimed.map(|claimed| match claimed {
            Claimed::Ours(_) => wit::Claimed::Ours,
            Claimed::InFlight => wit::Claimed::InFlight,
            Claimed::Kept => wit::Claimed::Kept,
        })),))
    })?;
    kv.func_wrap(
        "add",
        |mut store: Context<'_>, (index, key, delta, ttl): (u32, Bytes, i64, u64)| {
            let key = copy(&store, &key, KEY_MAX);
            Ok((answer(store.data_mut().kv(|kv| kv.add(index, &key, delta, ttl))?),))
        },
    )?;
    Ok(())
}

/// A list of the guest's; of one that is too long no more than shows that it is.
fn copy(store: &Context<'_>, list: &Bytes, max: usize) -> Vec<u8> {
    let bytes = list.as_le_slice(store);
    bytes.get(..max + 1).unwrap_or(bytes).to_vec()
}

fn answer<T>(answer: std::result::Result<T, KvError>) -> Answer<T> {
    answer.map_err(|error| match error {
        KvError::Unavailable => wit::Error::Unavailable,
        KvError::Quota => wit::Error::Quota,
        KvError::Invalid => wit::Error::Invalid,
    })
}
