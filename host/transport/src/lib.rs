//! The traits that every broker connection implements, and the loop that keeps them connected.
//!
//! A [`Connector`] makes one [`Source`] or [`Sink`] generation: connect, declare, consume. On any
//! error the whole generation is thrown away and the next one made by [`reconnect`] with back-off.
//! Retrying lives here and in the pipeline; a transport retries nothing by itself.

mod backoff;
#[cfg(feature = "conformance")]
pub mod conformance;
pub mod declare;
mod error;
mod reconnect;
mod sink;
mod source;

pub use backoff::Backoff;
pub use error::{ConnectError, PutError, SourceError};
pub use reconnect::reconnect;
pub use sink::{DelayQueue, Outgoing, RoutingKey, Sink, SinkConnector};
pub use source::{Source, SourceConnector};
