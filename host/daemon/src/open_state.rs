//! Open state: the store of the stages that keep state, in the memory of this process.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, MutexGuard, OnceLock, PoisonError};
use std::time::{Duration, Instant};

use lockgate_message::state::{Change, Claimed, Space, StateError, Store, Write};

/// The state of this process.
#[derive(Default)]
pub(crate) struct State(OnceLock<Arc<MemoryStore>>);

impl State {
    /// The store, opened when it is first asked for.
    ///
    /// # Errors
    /// Why it cannot be opened.
    pub(crate) fn store(&self) -> anyhow::Result<Arc<dyn Store>> {
        Ok(self.0.get_or_init(Arc::default).clone())
    }
}

/// Entries at most, expired ones among them until the store is swept.
const MAX_ENTRIES: usize = 1_000_000;

#[derive(Default)]
struct MemoryStore(Mutex<Inner>);

#[derive(Default)]
struct Inner {
    entries: HashMap<(Kind, Space, Vec<u8>), Entry>,
    claims: u64,
}

#[derive(Clone, Copy, PartialEq, Eq, Hash)]
enum Kind {
    Value,
    Claim,
    Counter,
}

struct Entry {
    what: What,
    /// `None` does not end.
    end: Option<Instant>,
}

enum What {
    Value(Vec<u8>),
    InFlight(u64),
    Kept,
    Count(i64),
}

impl MemoryStore {
    fn inner(&self) -> MutexGuard<'_, Inner> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Inner {
    fn get(&mut self, kind: Kind, space: &Space, key: &[u8]) -> Option<&mut What> {
        let now = Instant::now();
        let entry = self.entries.get_mut(&(kind, space.clone(), key.to_vec()));
        entry.filter(|entry| entry.end.is_none_or(|end| now < end)).map(|entry| &mut entry.what)
    }

    fn set(&mut self, kind: Kind, space: &Space, key: &[u8], what: What, ttl: Option<Duration>) {
        let end = ttl.and_then(|ttl| Instant::now().checked_add(ttl));
        self.entries.insert((kind, space.clone(), key.to_vec()), Entry { what, end });
    }

    /// Whether there is room for one more.
    fn room(&mut self) -> Result<(), StateError> {
        if self.entries.len() >= MAX_ENTRIES {
            let now = Instant::now();
            self.entries.retain(|_, entry| entry.end.is_none_or(|end| now < end));
        }
        match self.entries.len() < MAX_ENTRIES {
            true => Ok(()),
            false => Err(StateError::Quota(format!("{MAX_ENTRIES} entries"))),
        }
    }
}

impl Store for MemoryStore {
    fn get(&self, space: &Space, key: &[u8]) -> Result<Option<Vec<u8>>, StateError> {
        Ok(match self.inner().get(Kind::Value, space, key) {
            Some(What::Value(value)) => Some(value.clone()),
            _ => None,
        })
    }

    fn claim(&self, space: &Space, key: &[u8]) -> Result<Claimed, StateError> {
        let mut inner = self.inner();
        match inner.get(Kind::Claim, space, key) {
            Some(What::Kept) => return Ok(Claimed::Kept),
            Some(_) => return Ok(Claimed::InFlight),
            None => {}
        }
        inner.room()?;
        inner.claims += 1;
        let claim = inner.claims;
        inner.set(Kind::Claim, space, key, What::InFlight(claim), None);
        Ok(Claimed::Ours(claim))
    }

    fn release(&self, space: &Space, key: &[u8], claim: u64) {
        let mut inner = self.inner();
        if matches!(inner.get(Kind::Claim, space, key), Some(What::InFlight(held)) if *held == claim)
        {
            inner.entries.remove(&(Kind::Claim, space.clone(), key.to_vec()));
        }
    }

    fn add(&self, space: &Space, key: &[u8], delta: i64, ttl: Duration) -> Result<i64, StateError> {
        let mut inner = self.inner();
        if let Some(What::Count(count)) = inner.get(Kind::Counter, space, key) {
            *count = count.saturating_add(delta);
            return Ok(*count);
        }
        inner.room()?;
        inner.set(Kind::Counter, space, key, What::Count(delta), Some(ttl));
        Ok(delta)
    }

    fn commit(&self, writes: &[Write]) -> Result<(), StateError> {
        let mut inner = self.inner();
        for Write { space, key, change } in writes {
            match change {
                Change::Put { value, ttl } => {
                    inner.set(Kind::Value, space, key, What::Value(value.clone()), *ttl);
                }
                Change::Delete => {
                    inner.entries.remove(&(Kind::Value, space.clone(), key.clone()));
                }
                Change::Keep { ttl, .. } => {
                    inner.set(Kind::Claim, space, key, What::Kept, Some(*ttl));
                }
            }
        }
        Ok(())
    }
}
