//! Test harness: real brokers, the built daemon, and tools that were not written with our code.
//!
//! The tests themselves are in `e2e/` and `chaos/`; the Python tools that publish, consume and keep
//! the ledger of `e2e/` are in `tools/` and use pika, or a bare socket, but nothing of the host.

mod place;
mod ports;
mod wait;
mod watchdog;

mod http;
mod lockgate;
mod proxy;
mod rabbit;
mod scene;
mod tool;

pub use lockgate::{Admin, Ended, Lockgate};
pub use place::{
    lockgate_binary, long, plugin_cache, report, shipped_plugin, target_dir, tests_dir,
};
pub use ports::free as free_port;
pub use proxy::{Proxy, Thin, Trouble};
pub use rabbit::{Rabbit, SHARED_URL};
pub use scene::{BAD_KEY, GOOD_KEY, Ledger, Publish, Scene};
pub use tool::{Talk, Tool, Topology};
pub use wait::{Deadline, until};
pub use watchdog::Watchdog;
