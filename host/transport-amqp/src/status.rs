//! Status: how a connection is, for health checks and metrics.

use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Mutex, PoisonError};

use lapin::ConnectionStatus;

use crate::connection::Link;

/// What a connector knows of its latest connection. Cheap to read at any time.
#[derive(Debug, Default)]
pub struct Status {
    current: Mutex<Option<ConnectionStatus>>,
    connects: AtomicU64,
}

impl Status {
    pub(crate) fn connected(&self, link: &Link) {
        let status = link.connection.status().clone();
        *self.current.lock().unwrap_or_else(PoisonError::into_inner) = Some(status);
        self.connects.fetch_add(1, Ordering::Relaxed);
    }

    /// Whether there is a live connection now.
    pub fn is_connected(&self) -> bool {
        self.of(ConnectionStatus::connected)
    }

    /// Whether the broker takes no publishes for now (a memory or disk alarm).
    pub fn is_blocked(&self) -> bool {
        self.of(|status| status.connected() && status.blocked())
    }

    /// Connections made after the first.
    pub fn reconnects(&self) -> u64 {
        self.connects.load(Ordering::Relaxed).saturating_sub(1)
    }

    fn of(&self, ask: impl FnOnce(&ConnectionStatus) -> bool) -> bool {
        self.current.lock().unwrap_or_else(PoisonError::into_inner).as_ref().is_some_and(ask)
    }
}
