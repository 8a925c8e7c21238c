//! End to end: the built daemon between real queues, judged by tools that share no code with it.
//!
//! `make e2e` builds what is needed and runs them; `make e2e E2E=chaos` runs one. Each test uses
//! names of its own on a shared broker, or starts a broker of its own when it means to harm it.

mod bad_input;
mod chaos;
mod drain;
mod guest;
mod hostile_plugin;
mod hostile_publisher;
mod malformed_bodies;
mod orders;
mod passthrough;
mod restart;
mod tls;
mod unroutable;
