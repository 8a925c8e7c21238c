//! A fault proxy before a broker: resets, silence, refusals, latency and thin pipes on demand.
//!
//! It moves bytes and knows nothing of AMQP. What it is told holds for open connections and new
//! ones alike, until it is told something else.

mod connection;
#[cfg(test)]
mod tests;

use std::net::{Ipv4Addr, SocketAddr};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use anyhow::{Context, Result};
use tokio::net::TcpListener;
use tokio::runtime::{Builder, Runtime};
use tokio::sync::watch;

use crate::ports;

/// What is wrong with the network. The default is nothing.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Trouble {
    /// A black hole: connections stay open and are accepted, and nothing passes, not even their
    /// ends.
    pub hole: bool,
    /// Swallows what the broker says on those connections whose first bytes contain this word.
    pub mute: Option<&'static str>,
    /// Nobody listens: new connections are refused.
    pub refuse: bool,
    /// Time that everything takes, each way.
    pub latency: Duration,
    /// A thin pipe.
    pub thin: Option<Thin>,
}

/// Bytes pass in slices, with a pause after each.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Thin {
    pub bytes: usize,
    pub pause: Duration,
}

/// A listener in front of one broker. Dropped, it closes everything.
pub struct Proxy {
    port: u16,
    /// What stands around host and port in the broker's URL.
    around: (String, String),
    shared: Arc<Shared>,
    worker: Option<Runtime>,
}

struct Shared {
    broker: SocketAddr,
    trouble: watch::Sender<Trouble>,
    /// Counts the resets; a change cuts.
    cuts: watch::Sender<u64>,
    accepted: AtomicU64,
    open: AtomicU64,
}

impl Proxy {
    /// Stands before the broker of an AMQP URL with a login, host and port.
    ///
    /// # Errors
    /// When the URL is another one, or no port is free.
    pub fn before(url: &str) -> Result<Self> {
        let (start, rest) = url.rsplit_once('@').context("no login in the URL")?;
        let (address, path) = rest.split_once('/').unwrap_or((rest, ""));
        let around = (format!("{start}@"), format!("/{path}"));
        let shared = Arc::new(Shared {
            broker: address.parse().context("the broker's address")?,
            trouble: watch::Sender::default(),
            cuts: watch::Sender::default(),
            accepted: AtomicU64::new(0),
            open: AtomicU64::new(0),
        });
        let port = ports::free()?;
        let worker = Builder::new_multi_thread()
            .worker_threads(1)
            .thread_name("proxy")
            .enable_all()
            .build()?;
        let listener = std::net::TcpListener::bind((Ipv4Addr::LOCALHOST, port))?;
        listener.set_nonblocking(true)?;
        worker.spawn(listen(listener, port, shared.clone()));
        Ok(Self { port, around, shared, worker: Some(worker) })
    }

    /// The broker's URL, by way of the proxy.
    pub fn url(&self) -> String {
        let (start, end) = &self.around;
        format!("{start}127.0.0.1:{}{end}", self.port)
    }

    /// From now on, this is wrong.
    pub fn trouble(&self, trouble: Trouble) {
        self.shared.trouble.send_replace(trouble);
    }

    /// A black hole; see [`Trouble::hole`].
    pub fn hole(&self) {
        self.trouble(Trouble { hole: true, ..Trouble::default() });
    }

    /// Nothing is wrong any more. What was held passes.
    pub fn heal(&self) {
        self.trouble(Trouble::default());
    }

    /// Ends every open connection, on both sides, by a reset.
    pub fn reset(&self) {
        self.shared.cuts.send_modify(|cuts| *cuts += 1);
    }

    /// Connections accepted so far.
    pub fn accepted(&self) -> u64 {
        self.shared.accepted.load(Ordering::Acquire)
    }

    /// Connections open now.
    pub fn open(&self) -> u64 {
        self.shared.open.load(Ordering::Acquire)
    }
}

impl Drop for Proxy {
    fn drop(&mut self) {
        if let Some(worker) = self.worker.take() {
            // Does not wait, so that an async test may drop it.
            worker.shutdown_background();
        }
    }
}

/// Accepts, unless told to refuse; then it does not even listen.
async fn listen(listener: std::net::TcpListener, port: u16, shared: Arc<Shared>) {
    let mut listener = TcpListener::from_std(listener).ok();
    let mut trouble = shared.trouble.subscribe();
    loop {
        let refuse = trouble.borrow_and_update().refuse;
        if refuse {
            listener = None;
        } else if listener.is_none() {
            listener = TcpListener::bind((Ipv4Addr::LOCALHOST, port)).await.ok();
        }
        let accepted = async {
            match &listener {
                Some(listener) => listener.accept().await,
                None => std::future::pending().await,
            }
        };
        tokio::select! {
            changed = trouble.changed() => if changed.is_err() { return },
            accepted = accepted => {
                let Ok((near, _)) = accepted else { continue };
                shared.accepted.fetch_add(1, Ordering::AcqRel);
                tokio::spawn(connection::carry(near, shared.clone(), shared.cuts.subscribe()));
            }
        }
    }
}
