//! The imports of module `lockgate_v0`.
#![expect(unsafe_code, reason = "the functions that the host provides are foreign functions")]

use super::Level;
use super::kv::{Claimed, Error, VALUE_MAX};

mod raw {
    #[link(wasm_import_module = "lockgate_v0")]
    unsafe extern "C" {
        pub(crate) fn log(level: i32, pointer: *const u8, length: usize);
        pub(crate) fn metric_register(pointer: *const u8, length: usize) -> i32;
        pub(crate) safe fn metric_add(id: i32, delta: f64);
        pub(crate) safe fn metric_observe(id: i32, sample: f64);
        pub(crate) safe fn clock_now() -> i64;
        pub(crate) fn random(pointer: *mut u8, length: usize);
        pub(crate) fn kv_get(
            index: u32,
            key: *const u8,
            key_length: usize,
            out: *mut u8,
            out_length: usize,
        ) -> i32;
        pub(crate) fn kv_put(
            index: u32,
            key: *const u8,
            key_length: usize,
            value: *const u8,
            value_length: usize,
            ttl_ms: u64,
        ) -> i32;
        pub(crate) fn kv_delete(index: u32, key: *const u8, key_length: usize) -> i32;
        pub(crate) fn kv_claim(index: u32, key: *const u8, key_length: usize, ttl_ms: u64) -> i32;
        pub(crate) fn kv_add(
            index: u32,
            key: *const u8,
            key_length: usize,
            delta: i64,
            ttl_ms: u64,
            out: *mut u8,
        ) -> i32;
    }
}

pub(crate) use raw::{metric_add, metric_observe};

pub(super) fn log(level: Level, text: &str) {
    // SAFETY: the host only reads these bytes, during the call.
    unsafe { raw::log(level as i32, text.as_ptr(), text.len()) }
}

pub(super) fn metric_register(name: &str) -> i32 {
    // SAFETY: the host only reads these bytes, during the call.
    unsafe { raw::metric_register(name.as_ptr(), name.len()) }
}

pub(super) fn now_micros() -> u64 {
    raw::clock_now().cast_unsigned()
}

pub(super) fn random(buffer: &mut [u8]) {
    // SAFETY: the host writes these bytes and no others, during the call; any byte is a `u8`.
    unsafe { raw::random(buffer.as_mut_ptr(), buffer.len()) }
}

/// Values up to this size take one call, as they are written to the stack.
const SHORT: usize = 1024;

pub(super) fn kv_get(index: u32, key: &[u8]) -> Result<Option<Vec<u8>>, Error> {
    let mut short = [0; SHORT];
    let length = kv_get_into(index, key, &mut short)?;
    if let Some(value) = short.get(..length.unwrap_or(0)) {
        return Ok(length.map(|_| value.to_vec()));
    }
    let mut value = vec![0; VALUE_MAX];
    let length = kv_get_into(index, key, &mut value)?;
    value.truncate(length.unwrap_or(0));
    Ok(length.map(|_| value))
}

/// The length of the value, which is written if there is room for it.
fn kv_get_into(index: u32, key: &[u8], out: &mut [u8]) -> Result<Option<usize>, Error> {
    // SAFETY: the host reads the key's bytes and writes within `out`, during the call; any byte
    // is a `u8`.
    let length =
        unsafe { raw::kv_get(index, key.as_ptr(), key.len(), out.as_mut_ptr(), out.len()) };
    if length == -1 { Ok(None) } else { answer(length).map(|length| Some(length as usize)) }
}

pub(super) fn kv_put(index: u32, key: &[u8], value: &[u8], ttl_ms: u64) -> Result<(), Error> {
    // SAFETY: the host only reads these bytes, during the call.
    let done =
        unsafe { raw::kv_put(index, key.as_ptr(), key.len(), value.as_ptr(), value.len(), ttl_ms) };
    answer(done).map(drop)
}

pub(super) fn kv_delete(index: u32, key: &[u8]) -> Result<(), Error> {
    // SAFETY: the host only reads these bytes, during the call.
    answer(unsafe { raw::kv_delete(index, key.as_ptr(), key.len()) }).map(drop)
}

pub(super) fn kv_claim(index: u32, key: &[u8], ttl_ms: u64) -> Result<Claimed, Error> {
    // SAFETY: the host only reads these bytes, during the call.
    let claimed = answer(unsafe { raw::kv_claim(index, key.as_ptr(), key.len(), ttl_ms) })?;
    Ok(match claimed {
        0 => Claimed::Ours,
        1 => Claimed::InFlight,
        _ => Claimed::Kept,
    })
}

pub(super) fn kv_add(index: u32, key: &[u8], delta: i64, ttl_ms: u64) -> Result<i64, Error> {
    let mut out = [0; 8];
    // SAFETY: the host reads the key's bytes and writes the eight of `out`, during the call.
    let done =
        unsafe { raw::kv_add(index, key.as_ptr(), key.len(), delta, ttl_ms, out.as_mut_ptr()) };
    answer(done).map(|_| i64::from_le_bytes(out))
}

/// What is not negative, else the error.
fn answer(number: i32) -> Result<u32, Error> {
    u32::try_from(number).map_err(|_| match number {
        -2 => Error::Unavailable,
        -3 => Error::Quota,
        _ => Error::Invalid,
    })
}
