//! State: what a plugin remembers between messages, changed with the outcome of a message.
//!
//! What a plugin writes while it judges a message is [`Staged`]: it becomes visible when the
//! message's outcome is confirmed, before the message is acked, and is dropped otherwise. Claims
//! and counters are the exception, for they must be seen by messages in flight at the same time.

use std::fmt;
use std::sync::Arc;
use std::time::Duration;

/// Whose keys: no plugin sees those of another stage, nor of another pipeline.
#[derive(Clone, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Space {
    pub pipeline: Arc<str>,
    pub stage: Arc<str>,
}

/// Longest key, bytes.
pub const KEY_MAX: usize = 512;
/// Longest value, bytes.
pub const VALUE_MAX: usize = 64 << 10;

/// Why the state could not be read or changed.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum StateError {
    /// It may work later: the disk is full, the server is away.
    #[error("state is not available: {0}")]
    Unavailable(String),
    /// The stage's quota is used up.
    #[error("the state quota is used up: {0}")]
    Quota(String),
    /// The key or the value is not one that a store takes.
    #[error("{0}")]
    Invalid(String),
}

/// What became of a claim.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Claimed {
    /// Ours from now on, under this number: kept when the message's outcome is confirmed,
    /// released otherwise.
    Ours(u64),
    /// Another message in flight holds it; it may still fail and release it.
    InFlight,
    /// A message whose outcome was confirmed holds it, until its time runs out.
    Kept,
}

/// One change to be made when a message's outcome is confirmed.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Write {
    pub space: Space,
    pub key: Vec<u8>,
    pub change: Change,
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Change {
    /// `ttl` from the commit on; `None` keeps it until it is deleted.
    Put {
        value: Vec<u8>,
        ttl: Option<Duration>,
    },
    Delete,
    /// Keeps the claim of this number for `ttl` from the commit on.
    Keep {
        claim: u64,
        ttl: Duration,
    },
}

/// Where state is kept. Calls block for as long as the disk or the server takes, and have a
/// deadline of their own; shared by every lane.
pub trait Store: Send + Sync {
    /// A committed value that has not expired.
    ///
    /// # Errors
    /// When the store cannot say.
    fn get(&self, space: &Space, key: &[u8]) -> Result<Option<Vec<u8>>, StateError>;

    /// Claims a key: of all messages that ask, in whatever lane or host, one gets it.
    ///
    /// # Errors
    /// When the store cannot say, or the quota is used up.
    fn claim(&self, space: &Space, key: &[u8]) -> Result<Claimed, StateError>;

    /// Gives a claim back that is not kept. A store that cannot be reached lets it run out.
    fn release(&self, space: &Space, key: &[u8], claim: u64);

    /// Adds to a counter at once, and says its value; a counter ends `ttl` after its first
    /// addition. Not staged: messages in flight must see it.
    ///
    /// # Errors
    /// When the store cannot say, or the quota is used up.
    fn add(&self, space: &Space, key: &[u8], delta: i64, ttl: Duration) -> Result<i64, StateError>;

    /// Makes changes, in this order, all or none; they survive a crash once this returns.
    ///
    /// # Errors
    /// When they could not be stored; then none is.
    fn commit(&self, writes: &[Write]) -> Result<(), StateError>;

    /// Whether one more key with `bytes` of key and value has room: asked when a message stages
    /// it, of what is committed. A commit does not ask, for its message is already delivered, so
    /// what is in flight may go beyond the quota once. Does not wait for disk or server.
    ///
    /// # Errors
    /// When the quota is used up.
    fn room(&self, _space: &Space, _bytes: usize) -> Result<(), StateError> {
        Ok(())
    }
}

/// What stages want changed when the outcome of one message is confirmed. Dropped uncommitted it
/// releases its claims and forgets the rest.
pub struct Staged {
    store: Arc<dyn Store>,
    writes: Vec<Write>,
}

impl Staged {
    pub fn new(store: Arc<dyn Store>, writes: Vec<Write>) -> Self {
        Self { store, writes }
    }

    /// Commits what several messages staged, in order, one transaction for each store.
    ///
    /// # Errors
    /// The first store's that failed; what it did not take stays in `all`, to be tried again.
    pub fn commit_all(all: &mut Vec<Self>) -> Result<(), StateError> {
        while let Some(store) = all.first().map(|first| first.store.clone()) {
            let same = |one: &Self| Arc::ptr_eq(&one.store, &store);
            let writes: Vec<Write> =
                all.iter().filter(|one| same(one)).flat_map(|one| one.writes.clone()).collect();
            store.commit(&writes)?;
            all.iter_mut().filter(|one| same(one)).for_each(|one| one.writes.clear());
            all.retain(|one| !same(one));
        }
        Ok(())
    }
}

impl Drop for Staged {
    fn drop(&mut self) {
        for write in &self.writes {
            if let Change::Keep { claim, .. } = write.change {
                self.store.release(&write.space, &write.key, claim);
            }
        }
    }
}

impl fmt::Debug for Staged {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Staged({} writes)", self.writes.len())
    }
}
