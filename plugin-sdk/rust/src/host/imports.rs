//! The imports of module `lockgate_v0`.
#![expect(unsafe_code, reason = "the functions that the host provides are foreign functions")]

use super::Level;

mod raw {
    #[link(wasm_import_module = "lockgate_v0")]
    unsafe extern "C" {
        pub(crate) fn log(level: i32, pointer: *const u8, length: usize);
        pub(crate) fn metric_register(pointer: *const u8, length: usize) -> i32;
        pub(crate) safe fn metric_add(id: i32, delta: f64);
        pub(crate) safe fn metric_observe(id: i32, sample: f64);
        pub(crate) safe fn clock_now() -> i64;
        pub(crate) fn random(pointer: *mut u8, length: usize);
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
