//! State that outlives a message. Capability `kv`: `.capabilities(&["kv"])` in the description and
//! `grant = ["kv"]` in the stage. Keys belong to the stage; no other stage sees them.
//!
//! What a message writes ([`put`], [`delete`]) is staged: it becomes visible when the message's
//! outcome is confirmed, and is dropped when it fails or is tried again. A message sees what it
//! staged itself and what the messages before it in its batch staged; those may still fail, so what
//! must happen once takes a [`claim`]. Claims and counters ([`add`]) are visible at once.
//!
//! A retry of a message that was told [`Claimed::InFlight`] or added to a counter waits for others:
//! it uses up no attempt. Nor does [`crate::Failure::Dependency`] after [`Error::Unavailable`].

use std::time::Duration;

use super::call;
use crate::Message;

/// Longest key, bytes; the shortest has one.
pub const KEY_MAX: usize = 512;
/// Longest value, bytes.
pub const VALUE_MAX: usize = 64 << 10;
/// Calls that one message may make.
pub const CALLS_MAX: u32 = 64;
/// Bytes of keys and values that one message may stage.
pub const STAGED_MAX: usize = 256 << 10;
/// Longest time to live: a leap year.
pub const TTL_MAX: Duration = Duration::from_secs(366 * 24 * 60 * 60);

/// Why a call did nothing.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Error {
    /// The store is away; it may work later. [`crate::Failure::Dependency`] says so to the host.
    Unavailable,
    /// The stage's state is full, or the message made too many calls or staged too much.
    Quota,
    /// The key, the value or the time to live is not one that a store takes.
    Invalid,
}

impl std::fmt::Display for Error {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(match self {
            Self::Unavailable => "state is not available",
            Self::Quota => "the state quota is used up",
            Self::Invalid => "the state takes no such key, value or time to live",
        })
    }
}

impl std::error::Error for Error {}

/// What became of a claim.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Claimed {
    /// This message has it.
    Ours,
    /// Another message in flight has it, and may still fail and release it.
    InFlight,
    /// A message that is done has it, until its time is over.
    Kept,
}

/// The value of a key, as the message sees it.
///
/// # Errors
/// When the store cannot say.
pub fn get(message: &Message<'_>, key: &[u8]) -> Result<Option<Vec<u8>>, Error> {
    call::kv_get(message.index(), key)
}

/// Stages a value. `ttl` counts from the commit on; `None` keeps it until it is deleted.
///
/// # Errors
/// [`Error::Quota`], [`Error::Invalid`]; the store is not asked.
pub fn put(
    message: &Message<'_>,
    key: &[u8],
    value: &[u8],
    ttl: Option<Duration>,
) -> Result<(), Error> {
    let ttl = ttl.map_or(Ok(0), millis)?;
    call::kv_put(message.index(), key, value, ttl)
}

/// Stages the end of a value.
///
/// # Errors
/// [`Error::Quota`], [`Error::Invalid`]; the store is not asked.
pub fn delete(message: &Message<'_>, key: &[u8]) -> Result<(), Error> {
    call::kv_delete(message.index(), key)
}

/// Claims a key at once: of all messages that ask, in whatever lane or host, one gets it. It is
/// kept for `ttl` from when the message is done, and released when it fails or is tried again. A
/// second claim of the same message is [`Claimed::Ours`] again.
///
/// # Errors
/// When the store cannot say.
pub fn claim(message: &Message<'_>, key: &[u8], ttl: Duration) -> Result<Claimed, Error> {
    call::kv_claim(message.index(), key, millis(ttl)?)
}

/// Adds to a counter at once and says its value; it ends `ttl` after its first addition. What a
/// message added stays when it fails, and is added again when it comes again.
///
/// # Errors
/// When the store cannot say.
pub fn add(message: &Message<'_>, key: &[u8], delta: i64, ttl: Duration) -> Result<i64, Error> {
    call::kv_add(message.index(), key, delta, millis(ttl)?)
}

/// Whole milliseconds, at least one: 0 has a meaning of its own.
fn millis(ttl: Duration) -> Result<u64, Error> {
    u64::try_from(ttl.as_millis()).ok().filter(|ms| *ms > 0).ok_or(Error::Invalid)
}

#[cfg(test)]
mod tests;
