//! The native stand-in of the host's state: per thread, with the host's limits and rules. What
//! messages staged is in flight until the test confirms it or lets it fail.

use std::cell::RefCell;
use std::collections::HashMap;
use std::time::Duration;

use super::now_micros;
use crate::Verdict;
use crate::host::kv::{CALLS_MAX, Claimed, Error, KEY_MAX, STAGED_MAX, TTL_MAX, VALUE_MAX};

thread_local! {
    static STATE: RefCell<State> = RefCell::new(State::default());
}

#[derive(Default)]
struct State {
    values: HashMap<Vec<u8>, Until<Vec<u8>>>,
    claims: HashMap<Vec<u8>, Claim>,
    counters: HashMap<Vec<u8>, Until<i64>>,
    error: Option<Error>,
    /// The messages of the present batch.
    batch: Vec<Staged>,
    /// Those of earlier batches that nobody has confirmed.
    in_flight: Vec<Staged>,
}

/// Something that ends at a time, in microseconds.
struct Until<T> {
    what: T,
    end: u64,
}

enum Claim {
    InFlight,
    Kept(Until<()>),
}

#[derive(Default)]
struct Staged {
    calls: u32,
    bytes: usize,
    /// `None` deletes.
    writes: Vec<(Vec<u8>, Option<Vec<u8>>, u64)>,
    claims: Vec<(Vec<u8>, u64)>,
}

pub(crate) fn kv_get(index: u32, key: &[u8]) -> Result<Option<Vec<u8>>, Error> {
    STATE.with_borrow_mut(|state| {
        let at = state.admit(index, key)?;
        let staged = state.batch.iter().take(at + 1).rev();
        let mut writes = staged.flat_map(|message| message.writes.iter().rev());
        if let Some((_, value, _)) = writes.find(|(written, ..)| written == key) {
            return Ok(value.clone());
        }
        state.error.map_or(Ok(()), Err)?;
        let value = state.values.get(key).filter(|value| value.lives());
        Ok(value.map(|value| value.what.clone()))
    })
}

pub(crate) fn kv_put(index: u32, key: &[u8], value: &[u8], ttl_ms: u64) -> Result<(), Error> {
    if ttl_ms > 0 {
        check_ttl(ttl_ms)?;
    }
    STATE.with_borrow_mut(|state| {
        let at = state.admit(index, key)?;
        if value.len() > VALUE_MAX {
            return Err(Error::Invalid);
        }
        let message = state.room(at, key.len() + value.len())?;
        message.writes.push((key.to_vec(), Some(value.to_vec()), ttl_ms));
        Ok(())
    })
}

pub(crate) fn kv_delete(index: u32, key: &[u8]) -> Result<(), Error> {
    STATE.with_borrow_mut(|state| {
        let at = state.admit(index, key)?;
        state.room(at, key.len())?.writes.push((key.to_vec(), None, 0));
        Ok(())
    })
}

pub(crate) fn kv_claim(index: u32, key: &[u8], ttl_ms: u64) -> Result<Claimed, Error> {
    STATE.with_borrow_mut(|state| {
        let at = state.admit(index, key)?;
        check_ttl(ttl_ms)?;
        let mut own = state.batch.get_mut(at).into_iter().flat_map(|one| &mut one.claims);
        if let Some((_, kept)) = own.find(|(claimed, _)| claimed == key) {
            *kept = ttl_ms;
            return Ok(Claimed::Ours);
        }
        state.room(at, key.len())?;
        state.error.map_or(Ok(()), Err)?;
        match state.claims.get(key) {
            Some(Claim::InFlight) => return Ok(Claimed::InFlight),
            Some(Claim::Kept(until)) if until.lives() => return Ok(Claimed::Kept),
            _ => {}
        }
        state.claims.insert(key.to_vec(), Claim::InFlight);
        state.room(at, 0)?.claims.push((key.to_vec(), ttl_ms));
        Ok(Claimed::Ours)
    })
}

pub(crate) fn kv_add(index: u32, key: &[u8], delta: i64, ttl_ms: u64) -> Result<i64, Error> {
    STATE.with_borrow_mut(|state| {
        state.admit(index, key)?;
        check_ttl(ttl_ms)?;
        state.error.map_or(Ok(()), Err)?;
        state.counters.retain(|_, counter| counter.lives());
        let counter = state.counters.entry(key.to_vec()).or_insert_with(|| Until::new(0, ttl_ms));
        counter.what = counter.what.saturating_add(delta);
        Ok(counter.what)
    })
}

/// A batch of so many messages begins.
pub(crate) fn begin(messages: usize) {
    STATE.with_borrow_mut(|state| {
        state.batch.clear();
        state.batch.resize_with(messages, Staged::default);
    });
}

/// The batch got its verdicts: messages that are not done drop what they staged.
pub(crate) fn end(verdicts: &[Verdict]) {
    STATE.with_borrow_mut(|state| {
        for (message, verdict) in std::mem::take(&mut state.batch).into_iter().zip(verdicts) {
            match verdict {
                Verdict::Reject { .. } | Verdict::Retry { .. } | Verdict::Fail { .. } => {
                    state.release(&message);
                }
                _ => state.in_flight.push(message),
            }
        }
    });
}

pub(crate) fn confirm() {
    STATE.with_borrow_mut(|state| {
        for message in std::mem::take(&mut state.in_flight) {
            for (key, value, ttl_ms) in message.writes {
                match value {
                    Some(value) => drop(state.values.insert(key, Until::new(value, ttl_ms))),
                    None => drop(state.values.remove(&key)),
                }
            }
            for (key, ttl_ms) in message.claims {
                state.claims.insert(key, Claim::Kept(Until::new((), ttl_ms)));
            }
        }
    });
}

pub(crate) fn fail() {
    STATE.with_borrow_mut(|state| {
        for message in std::mem::take(&mut state.in_flight) {
            state.release(&message);
        }
    });
}

pub(crate) fn forget() {
    STATE.set(State::default());
}

pub(crate) fn set_error(error: Option<Error>) {
    STATE.with_borrow_mut(|state| state.error = error);
}

impl State {
    /// Counts a call and looks at its key; the message's place. The host traps where there is no
    /// such message.
    fn admit(&mut self, index: u32, key: &[u8]) -> Result<usize, Error> {
        let at = usize::try_from(index).unwrap_or(usize::MAX);
        let message = self.batch.get_mut(at).ok_or(Error::Unavailable)?;
        if message.calls == CALLS_MAX {
            return Err(Error::Quota);
        }
        message.calls += 1;
        if key.is_empty() || key.len() > KEY_MAX { Err(Error::Invalid) } else { Ok(at) }
    }

    /// The message, if it may stage so many bytes more.
    fn room(&mut self, at: usize, bytes: usize) -> Result<&mut Staged, Error> {
        let message = self.batch.get_mut(at).ok_or(Error::Unavailable)?;
        if message.bytes + bytes > STAGED_MAX {
            return Err(Error::Quota);
        }
        message.bytes += bytes;
        Ok(message)
    }

    fn release(&mut self, message: &Staged) {
        for (key, _) in &message.claims {
            self.claims.remove(key);
        }
    }
}

impl<T> Until<T> {
    /// Without a time to live it does not end.
    fn new(what: T, ttl_ms: u64) -> Self {
        let end = match ttl_ms {
            0 => u64::MAX,
            ms => now_micros().saturating_add(ms.saturating_mul(1000)),
        };
        Self { what, end }
    }

    fn lives(&self) -> bool {
        now_micros() < self.end
    }
}

fn check_ttl(ttl_ms: u64) -> Result<(), Error> {
    let ttl = Duration::from_millis(ttl_ms);
    if ttl.is_zero() || ttl > TTL_MAX { Err(Error::Invalid) } else { Ok(()) }
}
