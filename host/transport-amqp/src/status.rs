//! Status: how a connection is, for health checks and metrics.

use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Mutex, PoisonError};

use lapin::ConnectionStatus;

use crate::connection::Link;
use crate::settings::Endpoint;

/// What a connector knows of its latest connection. Cheap to read at any time.
#[derive(Debug, Default)]
pub struct Status {
    current: Mutex<Option<ConnectionStatus>>,
    connects: AtomicU64,
    /// That the broker blocks has been logged, and not yet that it does not.
    told_blocked: AtomicBool,
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

    /// Logs that the broker blocks publishes, or does not any more: once, whichever of the lanes
    /// notices it.
    pub(crate) fn tell_blocked(&self, broker: &Endpoint, blocked: bool) {
        if self.told_blocked.swap(blocked, Ordering::AcqRel) == blocked {
            return;
        }
        if blocked {
            tracing::warn!(%broker, "the broker blocks publishes (memory or disk alarm), waiting");
        } else {
            tracing::info!(%broker, "the broker takes publishes again");
        }
    }

    /// Connections made after the first.
    pub fn reconnects(&self) -> u64 {
        self.connects.load(Ordering::Relaxed).saturating_sub(1)
    }

    fn of(&self, ask: impl FnOnce(&ConnectionStatus) -> bool) -> bool {
        self.current.lock().unwrap_or_else(PoisonError::into_inner).as_ref().is_some_and(ask)
    }
}
