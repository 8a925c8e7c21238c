//! Redis: a store that several hosts share. Every call waits for the server, [`DEADLINE`] at
//! most ([why that is allowed](../../../docs/adr/2026-11-21-redis-state-on-the-lane.md)).
//!
//! A claim is a key with a lease of [`LEASE`] that is renewed while we hold it. A host that dies, or
//! is cut off for that long, loses its claims: another may then take the message too, and the
//! message is doubled. What was answered too late may have been done: an addition may count twice.
//!
//! Quotas are the server's (`maxmemory`, with `noeviction`): it alone knows what has expired.

mod keeper;
mod pool;
mod scripts;

use std::collections::HashMap;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use lockgate_message::state::{Change, Claimed, Space, StateError, Store, Write};
use redis::Client;

use self::keeper::Keeper;
use self::pool::Pool;
use self::scripts::Scripts;
use crate::limits::check;

/// A good longest wait for an answer on a lane, and for a free connection before it.
pub const DEADLINE: Duration = Duration::from_millis(100);
/// Longest wait for a commit, which is not on a lane: up to a block of messages' values.
const COMMIT: Duration = Duration::from_secs(2);
/// How long a claim lives that nobody renews.
const LEASE: Duration = Duration::from_secs(60);
/// Longest time to live, for the server refuses what goes beyond its calendar: 100 years.
const TTL_MAX: Duration = Duration::from_secs(100 * 365 * 24 * 3600);

/// A store in a Redis server.
pub struct Redis {
    inner: Arc<Inner>,
    _keeper: Keeper,
}

/// Why the server's URL cannot be used.
#[derive(Debug, thiserror::Error)]
#[error("{0}")]
pub struct UrlError(String);

struct Inner {
    pool: Pool,
    scripts: Scripts,
    /// Claims in flight of this host, by key.
    held: Mutex<HashMap<Vec<u8>, u64>>,
    last_claim: AtomicU64,
    /// Tells our claims from those of other hosts.
    host: String,
}

impl Redis {
    /// Connects to `url` (`redis://` or `rediss://`) in the background, again after every failure.
    /// A call waits `deadline` for a free connection, and for each read and write on it.
    ///
    /// # Errors
    /// When it is no URL of a Redis server.
    pub fn open(url: &str, deadline: Duration) -> Result<Self, UrlError> {
        let client = Client::open(url).map_err(|error| UrlError(error.to_string()))?;
        let inner = Arc::new(Inner {
            pool: Pool::new(client, deadline),
            scripts: Scripts::new(),
            held: Mutex::default(),
            last_claim: AtomicU64::new(0),
            host: host_id(),
        });
        let keeper = Keeper::start(inner.clone()).map_err(|error| UrlError(error.to_string()))?;
        Ok(Self { inner, _keeper: keeper })
    }
}

impl Store for Redis {
    fn get(&self, space: &Space, key: &[u8]) -> Result<Option<Vec<u8>>, StateError> {
        let name = name(space, 'v', key)?;
        self.inner.pool.call(self.inner.pool.deadline, |connection| {
            redis::cmd("GET").arg(&name).query(connection)
        })
    }

    fn claim(&self, space: &Space, key: &[u8]) -> Result<Claimed, StateError> {
        let name = name(space, 'c', key)?;
        let claim = self.inner.last_claim.fetch_add(1, Ordering::Relaxed) + 1;
        let token = self.inner.token(claim);
        let said = self.inner.pool.call(self.inner.pool.deadline, |connection| {
            let mut claiming = self.inner.scripts.claim.key(&name);
            claiming.arg(&token).arg(LEASE.as_millis() as u64).invoke::<u8>(connection)
        });
        match said {
            Ok(1) => {
                self.inner.held().insert(name, claim);
                Ok(Claimed::Ours(claim))
            }
            Ok(2) => Ok(Claimed::Kept),
            Ok(_) => Ok(Claimed::InFlight),
            Err(error) => {
                // It may have been done all the same.
                self.inner.pool.release(name, token);
                Err(error)
            }
        }
    }

    fn release(&self, space: &Space, key: &[u8], claim: u64) {
        let Ok(name) = name(space, 'c', key) else { return };
        let mut held = self.inner.held();
        if held.get(&name) == Some(&claim) {
            held.remove(&name);
            drop(held);
            self.inner.pool.release(name, self.inner.token(claim));
        }
    }

    fn add(&self, space: &Space, key: &[u8], delta: i64, ttl: Duration) -> Result<i64, StateError> {
        let name = name(space, 'n', key)?;
        self.inner.pool.call(self.inner.pool.deadline, |connection| {
            self.inner.scripts.add.key(&name).arg(delta).arg(millis(ttl)).invoke(connection)
        })
    }

    fn commit(&self, writes: &[Write]) -> Result<(), StateError> {
        if writes.is_empty() {
            return Ok(());
        }
        let mut call = self.inner.scripts.commit.prepare_invoke();
        let mut kept = Vec::new();
        for write in writes {
            match &write.change {
                Change::Put { value, ttl } => {
                    call.key(name(&write.space, 'v', &write.key)?);
                    call.arg("put").arg(value.as_slice()).arg(ttl.map_or(0, millis));
                }
                Change::Delete => {
                    call.key(name(&write.space, 'v', &write.key)?);
                    call.arg("delete").arg("").arg("");
                }
                Change::Keep { claim, ttl } => {
                    let name = name(&write.space, 'c', &write.key)?;
                    call.key(&name).arg("keep").arg(self.inner.token(*claim)).arg(millis(*ttl));
                    kept.push((name, *claim));
                }
            }
        }
        self.inner.pool.call(self.inner.pool.deadline.max(COMMIT), |connection| {
            call.invoke::<()>(connection)
        })?;
        let mut held = self.inner.held();
        for (name, claim) in kept {
            if held.get(&name) == Some(&claim) {
                held.remove(&name);
            }
        }
        Ok(())
    }
}

impl Inner {
    fn held(&self) -> MutexGuard<'_, HashMap<Vec<u8>, u64>> {
        self.held.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn token(&self, claim: u64) -> String {
        format!("{}:{claim}", self.host)
    }
}

/// `lockgate:{pipeline}:{stage}:`, the kind, and the key.
fn name(space: &Space, kind: char, key: &[u8]) -> Result<Vec<u8>, StateError> {
    check(space, key)?;
    if space.pipeline.contains(':') || space.stage.contains(':') {
        return Err(StateError::Invalid("a name with a colon".to_owned()));
    }
    let mut name = format!("lockgate:{}:{}:{kind}:", space.pipeline, space.stage).into_bytes();
    name.extend_from_slice(key);
    Ok(name)
}

/// At least one, for the server takes no less.
fn millis(ttl: Duration) -> u64 {
    u64::try_from(ttl.min(TTL_MAX).as_millis()).unwrap_or(u64::MAX).max(1)
}

/// Random enough: std seeds each of its hashers from the system's generator.
fn host_id() -> String {
    use std::hash::{BuildHasher, RandomState};
    let random = || RandomState::new().hash_one(std::process::id());
    format!("{:016x}{:016x}", random(), random())
}
