//! Source: takes deliveries.

use std::time::Duration;

use async_trait::async_trait;
use lockgate_message::Delivery;

use crate::{ConnectError, SourceError};

/// Makes one source generation: connects, declares or verifies, consumes.
#[async_trait]
pub trait SourceConnector: Send + Sync {
    /// Connects; every step has a deadline of its own.
    async fn connect(&self) -> Result<Box<dyn Source>, ConnectError>;

    /// Makes what the settings declare, and asks for nothing else: another pipeline may need it.
    async fn declare(&self) -> Result<(), ConnectError> {
        Ok(())
    }

    /// Makes or finds what the source needs, as [`SourceConnector::connect`] does, and takes
    /// nothing.
    async fn check(&self) -> Result<(), ConnectError>;

    /// What only the broker knew and may lose messages, once it was asked: by the first connect or
    /// check.
    fn found(&self) -> Option<String> {
        None
    }

    /// What it connects to, for people: no credentials.
    fn describe(&self) -> String;
}

/// One live subscription. Dropping it abandons every unsettled delivery to the broker, which
/// delivers them again.
#[async_trait]
pub trait Source: Send {
    /// Waits until there is something, then appends what is there, at most `max` deliveries.
    ///
    /// Cancel-safe: a dropped call loses nothing.
    ///
    /// # Errors
    /// [`SourceError::Lost`] when the generation is dead; [`SourceError::End`] after
    /// [`Source::cancel`] once everything buffered has been taken.
    async fn next(&mut self, max: usize, into: &mut Vec<Delivery>) -> Result<(), SourceError>;

    /// Resolves when the generation is dead, while nothing is asked of it. A source whose loss shows
    /// only in [`Source::next`] never does.
    ///
    /// Cancel-safe.
    async fn lost(&mut self) -> SourceError {
        std::future::pending().await
    }

    /// Asks the broker to send no more. What it already sent still comes out of `next`.
    async fn cancel(&mut self);

    /// Keeps what is given back from now on until [`Source::close`], which returns all of it at once
    /// and in its order. To be called instead of [`Source::cancel`] where the order matters: brokers
    /// put what is given back one by one behind others, and would send more to the next consumer of
    /// the queue meanwhile. A source whose broker keeps the order anyway does nothing.
    fn return_in_order(&mut self) {}

    /// Flushes settlements and closes, spending at most `deadline`. Call once nothing is
    /// unsettled or time is up.
    async fn close(self: Box<Self>, deadline: Duration);
}
