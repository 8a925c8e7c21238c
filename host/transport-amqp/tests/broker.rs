//! Against a real broker: runs where `LOCKGATE_TEST_AMQP_URL` names one (user `guest`, default
//! virtual host), says so and passes otherwise. Every test makes exchanges and queues of its own.

#![expect(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::print_stderr,
    clippy::indexing_slicing,
    reason = "helpers of tests, which fail this way"
)]

#[path = "broker/browse.rs"]
mod browse;
#[path = "broker/conformance.rs"]
mod conformance;
#[path = "broker/differential.rs"]
mod differential;
#[path = "broker/hostile.rs"]
mod hostile;
#[path = "broker/messages.rs"]
mod messages;
#[path = "broker/network.rs"]
mod network;

#[path = "broker/proxy.rs"]
mod proxy;
#[path = "broker/raw.rs"]
mod raw;
#[path = "broker/streams.rs"]
mod streams;
#[path = "broker/support.rs"]
mod support;
#[path = "broker/window.rs"]
mod window;
