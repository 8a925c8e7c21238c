//! Status: how a connection is, for health checks and metrics.

use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError};

use futures_util::StreamExt;
use lapin::{ConnectionStatus, Event};
use tokio::task::AbortHandle;

use crate::connection::Link;
use crate::settings::Endpoint;

/// What a connector knows of its latest connection. Cheap to read at any time.
#[derive(Debug, Default)]
pub struct Status {
    current: Mutex<Option<ConnectionStatus>>,
    connects: AtomicU64,
    /// The broker takes no publishes; set after it was logged.
    blocked: AtomicBool,
}

impl Status {
    pub(crate) fn connected(&self, link: &Link) {
        let status = link.connection.status().clone();
        *self.current.lock().unwrap_or_else(PoisonError::into_inner) = Some(status);
        self.blocked.store(false, Ordering::Release);
        self.connects.fetch_add(1, Ordering::Relaxed);
    }

    /// Whether there is a live connection now.
    pub fn is_connected(&self) -> bool {
        self.of(ConnectionStatus::connected)
    }

    /// Whether the broker takes no publishes for now (a memory or disk alarm).
    pub fn is_blocked(&self) -> bool {
        self.blocked.load(Ordering::Acquire) && self.is_connected()
    }

    /// Logs every change of the broker's mind about publishes, and rings the link's bell for every
    /// error, until the handle is used. (The client gives each event to one listener only.)
    pub(crate) fn watch(self: &Arc<Self>, link: &Link, broker: &Endpoint) -> AbortHandle {
        let mut events = Box::pin(link.connection.events_listener());
        let (status, broker, bell) = (self.clone(), broker.clone(), link.bell().clone());
        let watching = async move {
            while let Some(event) = events.next().await {
                match event {
                    Event::ConnectionBlocked(reason) => {
                        tracing::warn!(%broker, reason, "the broker blocks publishes, waiting");
                        status.blocked.store(true, Ordering::Release);
                    }
                    Event::ConnectionUnblocked => {
                        tracing::info!(%broker, "the broker takes publishes again");
                        status.blocked.store(false, Ordering::Release);
                    }
                    Event::Error(_) => bell.send_replace(()),
                    _ => {}
                }
            }
        };
        tokio::spawn(watching).abort_handle()
    }

    /// Connections made after the first.
    pub fn reconnects(&self) -> u64 {
        self.connects.load(Ordering::Relaxed).saturating_sub(1)
    }

    fn of(&self, ask: impl FnOnce(&ConnectionStatus) -> bool) -> bool {
        self.current.lock().unwrap_or_else(PoisonError::into_inner).as_ref().is_some_and(ask)
    }
}
