//! A store in memory that tests can look into and make fail.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, MutexGuard};
use std::time::Duration;

use lockgate_engine::KvAccess;
use lockgate_message::state::{Change, Claimed, Space, Staged, StateError, Store, Write};

#[derive(Default)]
pub(crate) struct MemoryStore(Mutex<Inner>);

#[derive(Default)]
pub(crate) struct Inner {
    pub(crate) values: BTreeMap<Vec<u8>, Vec<u8>>,
    /// By key: the number of the claim, and whether it is kept.
    pub(crate) claims: BTreeMap<Vec<u8>, (u64, bool)>,
    pub(crate) counters: BTreeMap<Vec<u8>, i64>,
    /// Calls so far.
    pub(crate) asked: u64,
    /// What every call is answered with.
    pub(crate) error: Option<StateError>,
    /// How long every call takes.
    pub(crate) delay: Duration,
}

impl MemoryStore {
    pub(crate) fn look(&self) -> MutexGuard<'_, Inner> {
        self.0.lock().unwrap()
    }

    pub(crate) fn access(self: &Arc<Self>) -> KvAccess {
        KvAccess::new(self.clone(), Self::space())
    }

    pub(crate) fn space() -> Space {
        Space { pipeline: "pipeline".into(), stage: "stage".into() }
    }

    #[expect(clippy::disallowed_methods, reason = "a slow store is one that takes time")]
    fn ask(&self, space: &Space) -> Result<MutexGuard<'_, Inner>, StateError> {
        assert_eq!(*space, Self::space());
        let mut inner = self.look();
        inner.asked += 1;
        std::thread::sleep(inner.delay);
        inner.error.clone().map_or(Ok(inner), Err)
    }
}

impl Store for MemoryStore {
    fn get(&self, space: &Space, key: &[u8]) -> Result<Option<Vec<u8>>, StateError> {
        Ok(self.ask(space)?.values.get(key).cloned())
    }

    fn claim(&self, space: &Space, key: &[u8]) -> Result<Claimed, StateError> {
        let mut inner = self.ask(space)?;
        let number = inner.asked;
        Ok(match inner.claims.get(key) {
            Some((_, true)) => Claimed::Kept,
            Some((_, false)) => Claimed::InFlight,
            None => {
                inner.claims.insert(key.to_vec(), (number, false));
                Claimed::Ours(number)
            }
        })
    }

    fn release(&self, _: &Space, key: &[u8], claim: u64) {
        let mut inner = self.look();
        assert_eq!(inner.claims.remove(key), Some((claim, false)), "released what was not ours");
    }

    fn add(&self, space: &Space, key: &[u8], delta: i64, _: Duration) -> Result<i64, StateError> {
        let mut inner = self.ask(space)?;
        let counter = inner.counters.entry(key.to_vec()).or_default();
        *counter += delta;
        Ok(*counter)
    }

    fn commit(&self, writes: &[Write]) -> Result<(), StateError> {
        let mut inner = self.look();
        for Write { key, change, .. } in writes {
            match change {
                Change::Put { value, .. } => drop(inner.values.insert(key.clone(), value.clone())),
                Change::Delete => drop(inner.values.remove(key)),
                Change::Keep { claim, .. } => {
                    inner.claims.insert(key.clone(), (*claim, true));
                }
            }
        }
        Ok(())
    }
}

/// Confirms the outcome of what a batch staged; says which of its messages had staged something.
pub(crate) fn confirm(staged: Vec<(usize, Staged)>) -> Vec<usize> {
    let (places, mut all): (Vec<_>, Vec<_>) = staged.into_iter().unzip();
    Staged::commit_all(&mut all).unwrap();
    places
}
