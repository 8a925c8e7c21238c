//! The engine through its public face: doors, limits, hostile guests, loading.

mod components;
mod core_door;
mod guests;
mod hostile;
mod loading;
