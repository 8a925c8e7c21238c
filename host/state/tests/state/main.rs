//! What the stores promise: one suite for all, then what each alone can fail by.

mod conformance;
mod embedded;
mod killed;
mod redis;
mod server;
