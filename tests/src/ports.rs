//! Free ports for brokers and admin listeners.

use std::net::TcpListener;
use std::sync::atomic::{AtomicU16, Ordering};

use anyhow::{Result, bail};

/// Below the range that the kernel gives to outgoing connections (32768 on), so that a broker
/// finds its port still free when it is started again.
const FIRST: u16 = 20_000;
const COUNT: u16 = 12_000;

/// A port on the loopback that nobody listens on, another one at each call.
///
/// # Errors
/// When there is none.
pub fn free() -> Result<u16> {
    static NEXT: AtomicU16 = AtomicU16::new(0);
    // Test processes that run side by side start at different places.
    let start = (std::process::id() % 200) as u16 * (COUNT / 200);
    for _ in 0..COUNT {
        let offset = NEXT.fetch_add(1, Ordering::Relaxed);
        let port = FIRST + start.wrapping_add(offset) % COUNT;
        if TcpListener::bind(("127.0.0.1", port)).is_ok() {
            return Ok(port);
        }
    }
    bail!("no free port on the loopback")
}
