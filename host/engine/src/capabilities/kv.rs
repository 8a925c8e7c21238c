//! Capability `kv`: state that a plugin keeps between messages. What a message writes is staged
//! with it and becomes visible to others when its outcome is confirmed; claims and counters are
//! visible at once. One [`Staging`] a lane.

use std::fmt;
use std::sync::atomic::{AtomicBool, Ordering::Relaxed};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use lockgate_message::state::{
    Change, Claimed, KEY_MAX, Space, Staged, StateError, Store, VALUE_MAX, Write,
};
use lockgate_message::{Failure, Verdict};

/// Calls that one message may make.
const MAX_CALLS: u32 = 64;
/// Bytes of keys and values that one message may stage.
const MAX_STAGED: usize = 256 << 10;
/// Longest time to live.
const MAX_TTL: Duration = Duration::from_secs(366 * 24 * 60 * 60);
/// Time that the messages of one guest call may wait for the store, for a lane must not stand
/// still. One that made a call may make its others.
const MAX_WAIT: Duration = Duration::from_secs(1);
/// How long a message waits before it asks a store again that was not available.
const AWAY_PAUSE: Duration = Duration::from_secs(1);
/// Between two lines of the log about a full state.
const FULL_PAUSE: Duration = Duration::from_secs(60);

/// What is given to a stage that may use `kv`. Clones are the same access.
#[derive(Clone)]
pub struct KvAccess {
    store: Arc<dyn Store>,
    space: Space,
    /// The store did not answer when it was asked last, and the log says so.
    away: Arc<AtomicBool>,
    /// When the log said last that a quota is used up.
    full: Arc<Mutex<Option<Instant>>>,
}

impl KvAccess {
    /// To the keys of `space` in `store`.
    pub fn new(store: Arc<dyn Store>, space: Space) -> Self {
        Self { store, space, away: Arc::default(), full: Arc::default() }
    }

    /// Whether the store did not answer when it was asked last.
    pub(crate) fn is_away(&self) -> bool {
        self.away.load(Relaxed)
    }

    /// Logs when the store goes away and when it is back.
    fn asked(&self, error: Option<&StateError>) {
        let Space { pipeline, stage } = &self.space;
        let unavailable = error.filter(|error| matches!(error, StateError::Unavailable(_)));
        // Looked at first: it is asked for every message, and mostly answers.
        if self.is_away() == unavailable.is_some() {
            return;
        }
        match unavailable {
            Some(error) if !self.away.swap(true, Relaxed) => {
                tracing::warn!(%pipeline, %stage, %error, "state cannot be used, messages wait");
            }
            None if self.away.swap(false, Relaxed) => {
                tracing::info!(%pipeline, %stage, "state can be used again");
            }
            _ => {}
        }
    }

    /// Logs that a quota is used up, now and then: there may be room for one message and none for
    /// the next.
    fn tell_full(&self, quota: &str) {
        let mut told = self.full.lock().unwrap_or_else(PoisonError::into_inner);
        if told.is_none_or(|at| at.elapsed() >= FULL_PAUSE) {
            *told = Some(Instant::now());
            let Space { pipeline, stage } = &self.space;
            tracing::warn!(%pipeline, %stage, quota, "the state is full, messages wait");
        }
    }
}

impl fmt::Debug for KvAccess {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("KvAccess").field(&self.space).finish()
    }
}

/// Why a call did not do what it should; the guest is told.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum KvError {
    Unavailable,
    Quota,
    Invalid,
}

/// Why a call cannot even be answered.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("a kv call named message {0}, which is not in this batch")]
pub(crate) struct NotInBatch(u32);

/// What a call gives: an answer, an error for the guest, or a trap.
pub(crate) type Answer<T> = Result<Result<T, KvError>, NotInBatch>;

/// What the messages of a stage's batch staged, on one lane.
pub(crate) struct Staging {
    access: KvAccess,
    /// One a message of the batch.
    messages: Vec<Slot>,
    /// Where the messages of the present guest call begin, and how many there are.
    first: usize,
    count: usize,
    /// Time spent in the store during the present guest call.
    waited: Duration,
    /// The store was not available during the present guest call.
    away: bool,
}

#[derive(Default)]
struct Slot {
    writes: Vec<Write>,
    bytes: usize,
    calls: u32,
    /// It asked for what other messages decide about, or the store could not take it.
    waits: bool,
    /// The store could not take it.
    away: bool,
}

impl Staging {
    pub(crate) fn new(access: KvAccess) -> Self {
        let (messages, waited) = (Vec::new(), Duration::ZERO);
        Self { access, messages, first: 0, count: 0, waited, away: false }
    }

    /// A batch of so many messages begins. What nobody took of the last one is dropped.
    pub(crate) fn begin(&mut self, messages: usize) {
        (0..self.messages.len()).for_each(|at| self.forget(at));
        self.messages.clear();
        self.messages.resize_with(messages, Slot::default);
    }

    /// A guest call begins over `count` messages from position `first` of the batch on.
    pub(crate) fn start_call(&mut self, first: usize, count: usize) {
        (self.first, self.count) = (first, count);
        (self.waited, self.away) = (Duration::ZERO, false);
    }

    /// The guest call crashed: nothing of it counts.
    pub(crate) fn crashed(&mut self) {
        (self.first..self.first + self.count).for_each(|at| self.forget(at));
        self.count = 0;
    }

    /// The message at `index` of the guest call got its verdict. What it staged is kept only if
    /// the stage is done with it.
    pub(crate) fn judged(&mut self, index: usize, verdict: Verdict) -> Verdict {
        let at = self.first + index;
        let (waits, away) =
            self.messages.get(at).map_or((false, false), |slot| (slot.waits, slot.away));
        if !verdict.is_done() {
            self.forget(at);
        }
        match verdict {
            Verdict::Retry { after, text } if waits => {
                Verdict::Wait { after: after.unwrap_or(AWAY_PAUSE), text, away }
            }
            Verdict::Fail { failure: Failure::Dependency, text } if waits => {
                Verdict::Wait { after: AWAY_PAUSE, text, away }
            }
            verdict => verdict,
        }
    }

    /// What the batch staged, by the message's position in it.
    pub(crate) fn take(&mut self) -> Vec<(usize, Staged)> {
        let store = &self.access.store;
        let slots = self.messages.iter_mut().enumerate();
        slots
            .filter(|(_, slot)| !slot.writes.is_empty())
            .map(|(at, slot)| (at, Staged::new(store.clone(), std::mem::take(&mut slot.writes))))
            .collect()
    }

    /// Drops what a message staged, and so releases its claims.
    fn forget(&mut self, at: usize) {
        if let Some(slot) = self.messages.get_mut(at) {
            let Slot { writes, .. } = std::mem::take(slot);
            if !writes.is_empty() {
                drop(Staged::new(self.access.store.clone(), writes));
            }
        }
    }

    /// A message's own writes come first, then those of the messages before it in the batch, the
    /// latest first, then what is committed.
    pub(crate) fn get(&mut self, index: u32, key: &[u8]) -> Answer<Option<Vec<u8>>> {
        let at = self.at(index)?;
        Ok(self.admit(at, key).and_then(|()| match self.staged(at, key) {
            Some(value) => Ok(value),
            None => self.ask(at, |access| access.store.get(&access.space, key)),
        }))
    }

    /// Without `ttl` it stays until it is deleted.
    pub(crate) fn put(&mut self, index: u32, key: &[u8], value: &[u8], ttl_ms: u64) -> Answer<()> {
        let at = self.at(index)?;
        Ok(self.admit(at, key).and_then(|()| {
            let ttl = if ttl_ms == 0 { None } else { Some(ttl(ttl_ms)?) };
            if value.len() > VALUE_MAX {
                return Err(KvError::Invalid);
            }
            let bytes = key.len() + value.len();
            self.room(at, bytes)?;
            // Known here: nothing is waited for.
            let room = self.access.store.room(&self.access.space, bytes);
            room.map_err(|error| self.refused(at, &error))?;
            self.stage(at, key, Change::Put { value: value.to_vec(), ttl });
            Ok(())
        }))
    }

    pub(crate) fn delete(&mut self, index: u32, key: &[u8]) -> Answer<()> {
        let at = self.at(index)?;
        Ok(self.admit(at, key).and_then(|()| {
            self.room(at, key.len())?;
            self.stage(at, key, Change::Delete);
            Ok(())
        }))
    }

    /// A second claim of what is ours sets its time anew.
    pub(crate) fn claim(&mut self, index: u32, key: &[u8], ttl_ms: u64) -> Answer<Claimed> {
        let at = self.at(index)?;
        Ok(self.admit(at, key).and_then(|()| {
            let ttl = ttl(ttl_ms)?;
            if let Some((claim, kept)) = self.own(at, key) {
                *kept = ttl;
                return Ok(Claimed::Ours(claim));
            }
            // Before the claim: one that cannot be staged could not be released either.
            self.room(at, key.len())?;
            let claimed = self.ask(at, |access| access.store.claim(&access.space, key))?;
            match claimed {
                Claimed::Ours(claim) => self.stage(at, key, Change::Keep { claim, ttl }),
                Claimed::InFlight => self.wait(at, false),
                Claimed::Kept => {}
            }
            Ok(claimed)
        }))
    }

    pub(crate) fn add(&mut self, index: u32, key: &[u8], delta: i64, ttl_ms: u64) -> Answer<i64> {
        let at = self.at(index)?;
        Ok(self.admit(at, key).and_then(|()| {
            let ttl = ttl(ttl_ms)?;
            self.wait(at, false);
            self.ask(at, |access| access.store.add(&access.space, key, delta, ttl))
        }))
    }

    /// The message's position in the batch.
    fn at(&self, index: u32) -> Result<usize, NotInBatch> {
        let at = usize::try_from(index).ok().filter(|at| *at < self.count);
        at.map(|at| self.first + at).ok_or(NotInBatch(index))
    }

    /// Counts a call of a message, and looks at its key.
    fn admit(&mut self, at: usize, key: &[u8]) -> Result<(), KvError> {
        let slot = self.messages.get_mut(at).ok_or(KvError::Invalid)?;
        if slot.calls == MAX_CALLS {
            return Err(KvError::Quota);
        }
        slot.calls += 1;
        if key.is_empty() || key.len() > KEY_MAX { Err(KvError::Invalid) } else { Ok(()) }
    }

    /// Whether the message may stage so many bytes more; then they count.
    fn room(&mut self, at: usize, bytes: usize) -> Result<(), KvError> {
        let slot = self.messages.get_mut(at).ok_or(KvError::Invalid)?;
        if slot.bytes + bytes > MAX_STAGED {
            return Err(KvError::Quota);
        }
        slot.bytes += bytes;
        Ok(())
    }

    fn stage(&mut self, at: usize, key: &[u8], change: Change) {
        let write = Write { space: self.access.space.clone(), key: key.to_vec(), change };
        if let Some(slot) = self.messages.get_mut(at) {
            slot.writes.push(write);
        }
    }

    /// What the messages up to this one make of a key; `Some(None)` when it is deleted.
    fn staged(&self, at: usize, key: &[u8]) -> Option<Option<Vec<u8>>> {
        let slots = self.messages.get(..=at)?.iter().rev();
        let mut writes = slots.flat_map(|slot| slot.writes.iter().rev());
        writes.find_map(|write| match &write.change {
            Change::Put { value, .. } if write.key == key => Some(Some(value.clone())),
            Change::Delete if write.key == key => Some(None),
            _ => None,
        })
    }

    /// The claim that the message has on this key, and how long it is to be kept.
    fn own(&mut self, at: usize, key: &[u8]) -> Option<(u64, &mut Duration)> {
        self.messages.get_mut(at)?.writes.iter_mut().find_map(|write| match &mut write.change {
            Change::Keep { claim, ttl } if write.key == key => Some((*claim, ttl)),
            _ => None,
        })
    }

    fn wait(&mut self, at: usize, away: bool) {
        if let Some(slot) = self.messages.get_mut(at) {
            slot.waits = true;
            slot.away |= away;
        }
    }

    /// Asks the store; not again in this guest call once it was not available, and not for
    /// messages that come after too long a wait.
    fn ask<T>(
        &mut self,
        at: usize,
        question: impl FnOnce(&KvAccess) -> Result<T, StateError>,
    ) -> Result<T, KvError> {
        let begun = self.messages.get(at).is_some_and(|slot| slot.calls > 1);
        if self.away || (self.waited > MAX_WAIT && !begun) {
            self.wait(at, true);
            return Err(KvError::Unavailable);
        }
        let started = Instant::now();
        let answer = question(&self.access);
        self.waited += started.elapsed();
        self.access.asked(answer.as_ref().err());
        answer.map_err(|error| self.refused(at, &error))
    }

    fn refused(&mut self, at: usize, error: &StateError) -> KvError {
        match error {
            StateError::Unavailable(_) => {
                self.away = true;
                self.wait(at, true);
                KvError::Unavailable
            }
            StateError::Quota(quota) => {
                self.access.tell_full(quota);
                self.wait(at, true);
                KvError::Quota
            }
            StateError::Invalid(_) => KvError::Invalid,
        }
    }
}

impl Drop for Staging {
    fn drop(&mut self) {
        self.begin(0);
    }
}

fn ttl(ms: u64) -> Result<Duration, KvError> {
    let ttl = Duration::from_millis(ms);
    if ttl.is_zero() || ttl > MAX_TTL { Err(KvError::Invalid) } else { Ok(ttl) }
}
