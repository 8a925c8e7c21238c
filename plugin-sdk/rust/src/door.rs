//! The core module door: what [`crate::export`] puts behind the exported functions. Plugin
//! authors do not call it.

use std::cell::RefCell;

use crate::guest::{Guest, init_json};
use crate::{Plugin, SettingError, host};

/// The contract version, `major << 16 | minor`.
pub const ABI: i32 = 1;

/// One plugin behind the exported functions. A sandbox has one thread; a call into a call is
/// answered like one that cannot be read.
pub struct Door<P>(RefCell<State<P>>);

struct State<P> {
    guest: Option<Guest<P>>,
    /// The host writes here, between two calls.
    buffer: Vec<u8>,
    /// The last init result.
    result: Vec<u8>,
}

impl<P: Plugin> Door<P> {
    /// A door that nobody has opened yet.
    pub const fn new() -> Self {
        Self(RefCell::new(State { guest: None, buffer: Vec::new(), result: Vec::new() }))
    }

    /// `lockgate_buffer`: a buffer of at least `size` bytes, 0 when there is no room.
    pub fn buffer(&self, size: i32) -> i32 {
        let Ok(mut state) = self.0.try_borrow_mut() else { return 0 };
        match state.grow(size.cast_unsigned() as usize) {
            Some(()) => address(&state.buffer).cast_signed(),
            None => 0,
        }
    }

    /// `lockgate_describe`.
    pub fn describe(json: &'static [u8]) -> i64 {
        pack(json)
    }

    /// `lockgate_init`: settings in the buffer, the init result as JSON.
    pub fn init(&self, pointer: i32, length: i32) -> i64 {
        host::log_panics();
        let Ok(mut state) = self.0.try_borrow_mut() else { return 0 };
        let state = &mut *state;
        let opened = match input(&state.buffer, pointer, length) {
            Some(json) => Guest::open(json),
            None => Err(vec![SettingError::at("", "the settings are not in the buffer")]),
        };
        let result = opened.map(|(guest, init)| {
            state.guest = Some(guest);
            init
        });
        state.result = init_json(&result);
        pack(&state.result)
    }

    /// `lockgate_batch`: a batch in the buffer, the output; 0 (no output at all) when the batch
    /// as a whole cannot be read.
    pub fn batch(&self, pointer: i32, length: i32) -> i64 {
        let Ok(mut state) = self.0.try_borrow_mut() else { return 0 };
        let State { guest, buffer, .. } = &mut *state;
        match (guest, input(buffer, pointer, length)) {
            (Some(guest), Some(batch)) => guest.batch(batch).map_or(0, pack),
            _ => 0,
        }
    }
}

impl<P: Plugin> Default for Door<P> {
    fn default() -> Self {
        Self::new()
    }
}

impl<P> State<P> {
    fn grow(&mut self, size: usize) -> Option<()> {
        if size > self.buffer.len() {
            // Freed first: its content is stale, and both at once may not fit.
            self.buffer = Vec::new();
            self.buffer.try_reserve_exact(size).ok()?;
            self.buffer.resize(size, 0);
        }
        Some(())
    }
}

/// The host's input, if it is where it was told to write.
fn input(buffer: &[u8], pointer: i32, length: i32) -> Option<&[u8]> {
    if pointer.cast_unsigned() != address(buffer) {
        return None;
    }
    buffer.get(..length.cast_unsigned() as usize)
}

/// `pointer << 32 | length`.
fn pack(bytes: &[u8]) -> i64 {
    (u64::from(address(bytes)) << 32 | bytes.len() as u64).cast_signed()
}

/// All of the address where it counts: on the 32-bit target.
fn address(bytes: &[u8]) -> u32 {
    bytes.as_ptr().expose_provenance() as u32
}

/// Exports a [`Plugin`] through the core module door, with its description in the custom
/// section `lockgate:describe`. On other targets than wasm32 it only checks the description.
#[macro_export]
macro_rules! export {
    ($plugin:ty) => {
        const _: () = {
            const LENGTH: usize = <$plugin as $crate::Plugin>::DESCRIPTION.json_len();
            const _: usize = LENGTH;

            #[cfg(target_arch = "wasm32")]
            const _: () = {
                // The attributes are all that is unsafe here: exported names and a named section.
                // Two copies of the JSON: one that tools read in the file, one in the memory.
                #[used]
                #[unsafe(link_section = "lockgate:describe")]
                static SECTION: [u8; LENGTH] = <$plugin as $crate::Plugin>::DESCRIPTION.json();
                static JSON: [u8; LENGTH] = <$plugin as $crate::Plugin>::DESCRIPTION.json();

                ::std::thread_local! {
                    static DOOR: $crate::door::Door<$plugin> = const { $crate::door::Door::new() };
                }

                #[unsafe(no_mangle)]
                extern "C" fn lockgate_abi() -> i32 {
                    $crate::door::ABI
                }

                #[unsafe(no_mangle)]
                extern "C" fn lockgate_buffer(size: i32) -> i32 {
                    DOOR.with(|door| door.buffer(size))
                }

                #[unsafe(no_mangle)]
                extern "C" fn lockgate_describe() -> i64 {
                    $crate::door::Door::<$plugin>::describe(&JSON)
                }

                #[unsafe(no_mangle)]
                extern "C" fn lockgate_init(pointer: i32, length: i32) -> i64 {
                    DOOR.with(|door| door.init(pointer, length))
                }

                #[unsafe(no_mangle)]
                extern "C" fn lockgate_batch(pointer: i32, length: i32) -> i64 {
                    DOOR.with(|door| door.batch(pointer, length))
                }
            };
        };
    };
}

#[cfg(test)]
mod tests;
