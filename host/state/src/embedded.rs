//! Embedded: a store in one file of this host, in the embedded database redb.
//!
//! A commit is one durable transaction. Claims in flight are in memory alone: a crash releases
//! them, and their messages come back. Counters are written within [`PERIOD`]; a crash of the
//! process loses what was added since. After an error of the disk the file is closed and opened
//! again every [`PERIOD`] until that works; meanwhile everything is `Unavailable`.

mod keeper;
mod memory;
mod open;
mod tables;

use std::panic::{AssertUnwindSafe, catch_unwind};
use std::path::Path;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError, RwLock};
use std::time::Duration;

use lockgate_message::state::{Change, Claimed, Space, StateError, Store, Write};
use redb::Database;

use self::keeper::Keeper;
use self::memory::{Counter, Memory};
pub use self::open::OpenError;
use self::open::Place;
use self::tables::{Failure, Kind, full_key, prefix};
use crate::clock::{NEVER, end, now};
use crate::limits::{Quota, check};

/// Between two rounds of the background thread: counters are written, ended entries swept, a
/// failed file opened again.
const PERIOD: Duration = Duration::from_secs(1);
/// Ended entries that one transaction takes out.
const SWEEP: usize = 1_000;

/// A store in one file.
pub struct Embedded {
    inner: Arc<Inner>,
    _keeper: Keeper,
}

/// What one stage keeps.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Usage {
    pub space: Space,
    pub keys: u64,
    pub bytes: u64,
}

struct Inner {
    place: Place,
    quota: Quota,
    /// Closed, and why, after an error of the disk.
    file: RwLock<Result<Database, String>>,
    /// Taken with `file` held or alone, never the other way round.
    memory: Mutex<Memory>,
    /// Two that begin the same counter must not both find none in the file. Taken before the others.
    counting: Mutex<()>,
}

impl Embedded {
    /// Opens the store in `dir`, or makes it.
    ///
    /// # Errors
    /// When the file is in use or damaged, or the disk does not let us.
    pub fn open(dir: &Path, quota: Quota) -> Result<Self, OpenError> {
        Self::at(Place::file(dir)?, quota)
    }

    /// A store that ends with the process.
    ///
    /// # Errors
    /// When the thread that sweeps cannot be started.
    pub fn in_memory(quota: Quota) -> Result<Self, OpenError> {
        Self::at(Place::Memory, quota)
    }

    /// What each stage keeps, ended entries included until they are swept.
    pub fn usage(&self) -> Vec<Usage> {
        let memory = self.inner.memory();
        let used = memory.used().filter_map(|(prefix, used)| {
            let space = tables::space_of(prefix)?;
            Some(Usage { space, keys: used.keys, bytes: used.bytes })
        });
        used.collect()
    }

    fn at(place: Place, quota: Quota) -> Result<Self, OpenError> {
        let (db, used) = place.open()?;
        let memory = Mutex::new(Memory::new(used));
        let file = RwLock::new(Ok(db));
        let inner = Arc::new(Inner { place, quota, file, memory, counting: Mutex::default() });
        let keeper = Keeper::start(inner.clone())?;
        Ok(Self { inner, _keeper: keeper })
    }
}

impl Store for Embedded {
    fn get(&self, space: &Space, key: &[u8]) -> Result<Option<Vec<u8>>, StateError> {
        check(space, key)?;
        let full = full_key(space, Kind::Value, key);
        Ok(self.inner.with(|db| tables::read(db, &full))?.map(|(_, value)| value))
    }

    fn claim(&self, space: &Space, key: &[u8]) -> Result<Claimed, StateError> {
        check(space, key)?;
        let full = full_key(space, Kind::Claim, key);
        let claim = {
            let mut memory = self.inner.memory();
            if memory.is_claimed(&full) {
                return Ok(Claimed::InFlight);
            }
            let lack = memory.lack(&prefix(space), key.len() as u64, self.inner.quota);
            match lack {
                // One that is kept needs no room, and is the answer whatever the quota.
                Some(lack) => Err(lack),
                None => Ok(memory.claim(&full).unwrap_or_default()),
            }
        };
        // A claim is kept in the file before it leaves the memory: looked for in this order, one
        // of the two has it.
        let kept = self.inner.with(|db| tables::read(db, &full));
        match (claim, kept) {
            (Ok(claim), Ok(None)) => Ok(Claimed::Ours(claim)),
            (Err(lack), Ok(None)) => Err(StateError::Quota(lack)),
            (claim, kept) => {
                if let Ok(claim) = claim {
                    self.inner.memory().release(&full, claim);
                }
                kept.map(|_| Claimed::Kept)
            }
        }
    }

    fn release(&self, space: &Space, key: &[u8], claim: u64) {
        self.inner.memory().release(&full_key(space, Kind::Claim, key), claim);
    }

    fn add(&self, space: &Space, key: &[u8], delta: i64, ttl: Duration) -> Result<i64, StateError> {
        check(space, key)?;
        let full = full_key(space, Kind::Counter, key);
        let _counting = self.inner.counting.lock().unwrap_or_else(PoisonError::into_inner);
        let buffered = self.inner.memory().counter(&full);
        let (old, new) = match buffered {
            Some(counter) => (Some(counter), false),
            None => {
                let found = self.inner.with(|db| tables::read(db, &full))?;
                let old = found.and_then(|(end, bytes)| Counter::read(end, &bytes));
                (old, old.is_none())
            }
        };
        let mut memory = self.inner.memory();
        if new && let Some(lack) = memory.lack(&prefix(space), key.len() as u64, self.inner.quota) {
            return Err(StateError::Quota(lack));
        }
        let old = old.filter(|old| now() < old.end);
        let old = old.unwrap_or_else(|| Counter { value: 0, end: end(ttl) });
        let overflow = || StateError::Invalid("the counter would overflow".to_owned());
        let value = old.value.checked_add(delta).ok_or_else(overflow)?;
        memory.set_counter(&full, Counter { value, ..old }, new);
        Ok(value)
    }

    fn commit(&self, writes: &[Write]) -> Result<(), StateError> {
        if writes.is_empty() {
            return Ok(());
        }
        let kept: Vec<_> = writes.iter().filter_map(claim_of).collect();
        let held: Vec<bool> = {
            let memory = self.inner.memory();
            kept.iter().map(|(full, claim)| memory.holds(full, *claim)).collect()
        };
        let mut held = held.into_iter();
        self.inner.transact(|changes| {
            for write in writes {
                match &write.change {
                    Change::Put { value, ttl } => {
                        let full = full_key(&write.space, Kind::Value, &write.key);
                        changes.put(&full, ttl.map_or(NEVER, end), value)?;
                    }
                    Change::Delete => {
                        changes.delete(&full_key(&write.space, Kind::Value, &write.key))?;
                    }
                    Change::Keep { ttl, .. } => {
                        let full = full_key(&write.space, Kind::Claim, &write.key);
                        if held.next() == Some(true) {
                            changes.put(&full, end(*ttl), &[])?;
                        }
                    }
                }
            }
            Ok(())
        })?;
        let mut memory = self.inner.memory();
        kept.iter().for_each(|(full, claim)| memory.release(full, *claim));
        Ok(())
    }

    fn room(&self, space: &Space, bytes: usize) -> Result<(), StateError> {
        let lack = self.inner.memory().lack(&prefix(space), bytes as u64, self.inner.quota);
        lack.map_or(Ok(()), |lack| Err(StateError::Quota(lack)))
    }
}

fn claim_of(write: &Write) -> Option<(Vec<u8>, u64)> {
    let Change::Keep { claim, .. } = write.change else { return None };
    Some((full_key(&write.space, Kind::Claim, &write.key), claim))
}

impl Inner {
    fn memory(&self) -> MutexGuard<'_, Memory> {
        self.memory.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Uses the file. After an error it is closed: redb asks for that, and nothing else.
    fn with<T>(&self, work: impl FnOnce(&Database) -> Result<T, Failure>) -> Result<T, StateError> {
        let result = match &*self.file.read().unwrap_or_else(PoisonError::into_inner) {
            // redb asserts what it believes it has checked; a lane must not die of that.
            Ok(db) => catch_unwind(AssertUnwindSafe(|| work(db)))
                .unwrap_or_else(|_| Err(redb::Error::Corrupted("unreadable".to_owned()).into())),
            Err(why) => return Err(StateError::Unavailable(why.clone())),
        };
        result.map_err(|error| {
            let why = error.to_string();
            tracing::warn!(error = why, "the state file failed, opening it again");
            *self.file.write().unwrap_or_else(PoisonError::into_inner) = Err(why.clone());
            StateError::Unavailable(why)
        })
    }

    /// Changes the file in one transaction, and the accounts with it.
    fn transact(
        &self,
        work: impl FnOnce(&mut tables::Changes<'_>) -> Result<(), Failure>,
    ) -> Result<(), StateError> {
        self.with(|db| {
            let changed = tables::transact(db, work)?;
            self.memory().account(changed);
            Ok(())
        })
    }

    /// Opens a file that failed, if it lets us.
    fn reopen(&self) {
        // One that waits to write stops all that read, so not for nothing.
        if self.file.read().unwrap_or_else(PoisonError::into_inner).is_ok() {
            return;
        }
        let mut file = self.file.write().unwrap_or_else(PoisonError::into_inner);
        let Err(old) = &*file else { return };
        let opened = self.place.open().map_err(|error| error.to_string());
        let opened = opened.map(|(db, used)| {
            self.memory().reopen(used);
            db
        });
        match &opened {
            Ok(_) => tracing::info!(was = old, "the state file works again"),
            Err(why) => tracing::debug!(error = why, "the state file still fails"),
        }
        *file = opened;
    }

    /// Writes the counters that the file does not have.
    fn flush(&self) -> Result<(), StateError> {
        let counters = self.memory().unwritten();
        if counters.is_empty() {
            return Ok(());
        }
        self.transact(|changes| {
            counters
                .iter()
                .try_for_each(|(full, one)| changes.put(full, one.end, &one.value.to_be_bytes()))
        })?;
        self.memory().written(&counters);
        Ok(())
    }

    /// Takes out what has ended, one bounded step; whether there is more.
    fn sweep(&self) -> Result<bool, StateError> {
        if self.with(tables::is_swept)? {
            return Ok(false);
        }
        let mut count = 0;
        self.transact(|changes| {
            count = changes.sweep(SWEEP)?;
            Ok(())
        })?;
        Ok(count == SWEEP)
    }
}

impl Counter {
    fn read(end: u64, bytes: &[u8]) -> Option<Self> {
        Some(Self { value: i64::from_be_bytes(bytes.try_into().ok()?), end })
    }
}
