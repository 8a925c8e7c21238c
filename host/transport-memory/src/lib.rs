//! The embedded broker: the AMQP 0-9-1 model, as RabbitMQ speaks it, in process.
//!
//! A [`Broker`] holds exchanges, bindings and queues under one lock ([`broker`], [`state`]).
//! A publish is routed ([`topology`]: [`exchange`], [`pattern`], [`matching`]), stored in
//! [`queue`]s and handed to [`consumer`]s as far as their prefetch goes; what dies on the way is
//! buried in dead-letter exchanges ([`death`]), and [`timer`] ends what has a time to live.
//! [`source`] and [`sink`] put the transport traits on top of it, by the tables of [`settings`];
//! [`faults`] are switches for tests.
//!
//! # What it promises
//! - Everything lives in memory and dies with the process; durable flags are kept and compared,
//!   nothing more. `auto-delete`, `exclusive`, `x-expires` and arguments it does not know are
//!   accepted and have no effect. Queues and exchanges are never deleted.
//! - A put is confirmed when every queue it was routed to has it.
//! - Memory is bounded by [`Broker::with_memory_limit`]. When it is full, sinks wait for room up
//!   to their deadline and are then refused ([`lockgate_transport::PutError::Nacked`]); a direct
//!   [`Broker::publish`] is refused at once. Requeues never wait. Dead letters may pass the limit,
//!   for they were counted before, until twice the limit: what a dead-letter exchange multiplies
//!   beyond that is lost and counted in [`Stats::lost`].

mod error;
mod options;

mod arguments;
mod exchange;
mod matching;
mod pattern;
mod topology;

mod consumer;
mod death;
mod queue;
mod state;
mod timer;
mod watch;

mod broker;
mod faults;

mod settings;
mod sink;
mod source;

pub use broker::Broker;
pub use error::BrokerError;
pub use options::{ExchangeKind, ExchangeOptions, QueueOptions};
pub use settings::{RouteSettings, SourceSettings};
pub use sink::MemorySinkConnector;
pub use source::MemorySourceConnector;
pub use state::Stats;
pub use watch::QueueStats;
