//! Keeper: the thread that connects, gives claims back and renews those that are held.

use std::io;
use std::sync::Arc;
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

use super::pool::Task;
use super::scripts::{RELEASE, RENEW};
use super::{COMMIT, Inner, LEASE};

/// Between two tries to connect.
const BACKOFF: (Duration, Duration) = (Duration::from_millis(100), Duration::from_secs(2));
/// Between two renewals: two may fail before a lease runs out.
const RENEWAL: Duration = Duration::from_millis(LEASE.as_millis() as u64 / 3);
/// Claims in one round trip.
const CHUNK: usize = 256;

/// Ends when it is dropped.
pub(super) struct Keeper {
    inner: Arc<Inner>,
    thread: Option<JoinHandle<()>>,
}

impl Keeper {
    pub(super) fn start(inner: Arc<Inner>) -> io::Result<Self> {
        let working = inner.clone();
        let thread =
            std::thread::Builder::new().name("state".to_owned()).spawn(move || work(&working))?;
        Ok(Self { inner, thread: Some(thread) })
    }
}

impl Drop for Keeper {
    fn drop(&mut self) {
        self.inner.pool.stop();
        if let Some(thread) = self.thread.take() {
            // Nothing to do about a thread that panicked.
            drop(thread.join());
        }
    }
}

fn work(inner: &Inner) {
    let mut renewal = Instant::now() + RENEWAL;
    let mut retry = Instant::now();
    let mut delay = BACKOFF.0;
    loop {
        match inner.pool.task(retry, renewal) {
            Task::Stop => return,
            Task::Connect if inner.pool.connect() => {
                delay = BACKOFF.0;
                retry = Instant::now() + delay;
            }
            Task::Connect => {
                retry = Instant::now() + delay;
                delay = (delay * 2).min(BACKOFF.1);
            }
            Task::Release(claims) => release(inner, &claims),
            Task::Renew => {
                renew(inner);
                renewal = Instant::now() + RENEWAL;
            }
        }
    }
}

/// What cannot be given back runs out by itself.
fn release(inner: &Inner, claims: &[(Vec<u8>, String)]) {
    let done = inner.pool.call(COMMIT, |connection| {
        let mut calls = redis::pipe();
        for (name, token) in claims {
            calls.cmd("EVAL").arg(RELEASE).arg(1).arg(name).arg(token).ignore();
        }
        calls.query::<()>(connection)
    });
    if let Err(error) = done {
        tracing::debug!(%error, claims = claims.len(), "claims run out instead of being released");
    }
}

fn renew(inner: &Inner) {
    let held: Vec<_> = inner.held().iter().map(|(name, claim)| (name.clone(), *claim)).collect();
    for some in held.chunks(CHUNK) {
        let done = inner.pool.call(COMMIT, |connection| {
            let mut calls = redis::pipe();
            for (name, claim) in some {
                let (token, lease) = (inner.token(*claim), LEASE.as_millis() as u64);
                calls.cmd("EVAL").arg(RENEW).arg(1).arg(name).arg(token).arg(lease).ignore();
            }
            calls.query::<()>(connection)
        });
        if let Err(error) = done {
            tracing::debug!(%error, "claims were not renewed");
            return;
        }
    }
}
