//! What the stores promise: one suite for all, then what each alone can fail by.

#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::indexing_slicing,
    reason = "tests stop at the first surprise"
)]

mod conformance;
mod embedded;
mod killed;
mod redis;
mod server;
