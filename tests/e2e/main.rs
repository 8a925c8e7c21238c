//! End to end: the built daemon between real queues, judged by tools that share no code with it.
//!
//! `make e2e` builds what is needed and runs them; `make e2e E2E=chaos` runs one. Each test uses
//! names of its own on a shared broker, or starts a broker of its own when it means to harm it.

mod bad_input;
mod broker;
mod chaos;
mod dedupe;
mod dlq;
mod documentation;
mod drain;
mod guest;
mod hostile_plugin;
mod hostile_publisher;
mod large_headers;
mod letters;
mod machine;
mod malformed_bodies;
mod network;
mod order;
mod orders;
mod passthrough;
mod restart;
mod retry;
mod secrets;
mod tls;
mod topology;
mod trial;
mod unroutable;
mod watched;
