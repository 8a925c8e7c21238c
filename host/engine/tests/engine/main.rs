//! The engine through its public face: doors, limits, hostile guests, loading.

#![expect(
    clippy::unwrap_used,
    clippy::indexing_slicing,
    clippy::panic,
    reason = "tests stop at the first surprise"
)]

mod components;
mod core_door;
mod guests;
mod hostile;
mod kv;
mod loading;
mod memory_store;
