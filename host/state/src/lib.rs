//! What plugins remember: [`Embedded`], a crash-safe file of this host, and [`Redis`], shared by
//! several hosts, behind one [`Store`](lockgate_message::state::Store).
//!
//! What a stage remembers is of three kinds that do not see each other: values, claims, counters.

mod clock;
mod embedded;
mod limits;
mod redis;

pub use embedded::{Embedded, OpenError, Usage};
pub use limits::Quota;
pub use redis::{DEADLINE, Redis, UrlError};
