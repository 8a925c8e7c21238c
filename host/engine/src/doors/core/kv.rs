//! The imports of capability `kv`: keys and values in the guest's memory, small numbers back.

use lockgate_message::state::Claimed;
use wasmtime::{Caller, Linker, Result};

use super::{HOST_MODULE, guest, slice, slice_mut};
use crate::capabilities::kv::KvError;
use crate::host::Host;

/// A key that has no value.
const NONE: i32 = -1;

impl KvError {
    fn number(self) -> i32 {
        match self {
            Self::Unavailable => -2,
            Self::Quota => -3,
            Self::Invalid => -4,
        }
    }
}

/// Defines the five functions.
pub(super) fn link(linker: &mut Linker<Host>) -> Result<()> {
    linker.func_wrap(HOST_MODULE, "kv_get", kv_get)?;
    linker.func_wrap(HOST_MODULE, "kv_put", kv_put)?;
    linker.func_wrap(HOST_MODULE, "kv_delete", kv_delete)?;
    linker.func_wrap(HOST_MODULE, "kv_claim", kv_claim)?;
    linker.func_wrap(HOST_MODULE, "kv_add", kv_add)?;
    Ok(())
}

fn kv_get(
    mut caller: Caller<'_, Host>,
    index: u32,
    key: u32,
    key_len: u32,
    out: u32,
    out_len: u32,
) -> Result<i32> {
    let (memory, host) = guest(&mut caller)?;
    slice(memory, out, out_len, 0)?;
    let key = slice(memory, key, key_len, usize::MAX)?;
    let value = match host.kv(|kv| kv.get(index, key))? {
        Ok(Some(value)) => value,
        Ok(None) => return Ok(NONE),
        Err(error) => return Ok(error.number()),
    };
    // What does not fit is not cut: the guest asks again with more room.
    if let Some(out) = slice_mut(memory, out, out_len)?.get_mut(..value.len()) {
        out.copy_from_slice(&value);
    }
    Ok(i32::try_from(value.len())?)
}

fn kv_put(
    mut caller: Caller<'_, Host>,
    index: u32,
    key: u32,
    key_len: u32,
    value: u32,
    value_len: u32,
    ttl_ms: u64,
) -> Result<i32> {
    let (memory, host) = guest(&mut caller)?;
    let key = slice(memory, key, key_len, usize::MAX)?;
    let value = slice(memory, value, value_len, usize::MAX)?;
    let put = host.kv(|kv| kv.put(index, key, value, ttl_ms))?;
    Ok(put.map_or_else(KvError::number, |()| 0))
}

fn kv_delete(mut caller: Caller<'_, Host>, index: u32, key: u32, key_len: u32) -> Result<i32> {
    let (memory, host) = guest(&mut caller)?;
    let key = slice(memory, key, key_len, usize::MAX)?;
    let deleted = host.kv(|kv| kv.delete(index, key))?;
    Ok(deleted.map_or_else(KvError::number, |()| 0))
}

fn kv_claim(
    mut caller: Caller<'_, Host>,
    index: u32,
    key: u32,
    key_len: u32,
    ttl_ms: u64,
) -> Result<i32> {
    let (memory, host) = guest(&mut caller)?;
    let key = slice(memory, key, key_len, usize::MAX)?;
    Ok(match host.kv(|kv| kv.claim(index, key, ttl_ms))? {
        Ok(Claimed::Ours(_)) => 0,
        Ok(Claimed::InFlight) => 1,
        Ok(Claimed::Kept) => 2,
        Err(error) => error.number(),
    })
}

fn kv_add(
    mut caller: Caller<'_, Host>,
    index: u32,
    key: u32,
    key_len: u32,
    delta: i64,
    ttl_ms: u64,
    out: u32,
) -> Result<i32> {
    let (memory, host) = guest(&mut caller)?;
    slice(memory, out, 8, 0)?;
    let key = slice(memory, key, key_len, usize::MAX)?;
    match host.kv(|kv| kv.add(index, key, delta, ttl_ms))? {
        Ok(value) => {
            slice_mut(memory, out, 8)?.copy_from_slice(&value.to_le_bytes());
            Ok(0)
        }
        Err(error) => Ok(error.number()),
    }
}
