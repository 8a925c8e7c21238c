//! RabbitMQ over AMQP 0-9-1; the only crate that names lapin.
//!
//! [`AmqpSource`] and [`AmqpSink`] are made from [`settings`] and connect generation by
//! generation: whatever goes wrong with a connection, it is thrown away and the next one made by
//! the caller's loop. Consuming runs through the frame guard, which reads deliveries itself;
//! publishing owns one channel per lane and knows returned messages by its own id. The library's
//! recovery, its ack handles and its matching of returns are not used, for they lose messages.

pub mod settings;

mod connection;
mod fault;
mod guard;
mod meter;
mod socket;
mod topology;

mod browse;
mod settle;
mod source;

mod convert;
mod raw_names;
mod sink;

mod status;

pub use browse::Browser;
pub use guard::read_header;
#[cfg(feature = "fuzzing")]
#[doc(hidden)]
pub mod fuzzing;

pub use raw_names::RawNames;
pub use settings::{RouteSettings, SourceSettings};
pub use sink::{AmqpSink, Shared};
pub use source::AmqpSource;
pub use status::Status;
