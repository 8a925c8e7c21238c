//! Connections of the admin listener: how many there may be, and how long each may take.
//!
//! Whoever can reach the address can open connections and say nothing. Each takes a file descriptor,
//! and the brokers' connections need those too. So there are few, each answers one request, and when
//! all are taken the oldest that has not asked for anything yet makes room.

use std::collections::VecDeque;
use std::net::SocketAddr;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use axum::Router;
use hyper::server::conn::http1;
use hyper::service::{Service as _, service_fn};
use hyper_util::rt::{TokioIo, TokioTimer};
use hyper_util::service::TowerToHyperService;
use rustix::process::{Resource, getrlimit};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::{OwnedSemaphorePermit, Semaphore};
use tokio::task::AbortHandle;

use crate::admin::{Access, router};
use crate::app::App;

/// Connections at a time, where there are enough file descriptors.
const MOST: u64 = 64;
/// Connections at a time, however few file descriptors there are.
const LEAST: u64 = 4;
/// One file descriptor of so many may be a connection's.
const SHARE: u64 = 8;
/// Time for the head of a request.
const HEAD: Duration = Duration::from_secs(5);
/// Bytes of the head of a request. Nothing reads a body.
const HEAD_MAX: usize = 16 << 10;
/// Time for all of a connection: a scrape over a slow line, too.
const ALL: Duration = Duration::from_secs(30);
/// Time between two attempts when there is no file descriptor for a connection.
const AGAIN: Duration = Duration::from_millis(100);

/// Serves until the process ends.
///
/// # Errors
/// When the address cannot be listened on.
pub(crate) async fn listen(
    address: SocketAddr,
    token: Option<String>,
    app: Arc<App>,
) -> anyhow::Result<SocketAddr> {
    let listener = TcpListener::bind(address)
        .await
        .map_err(|error| anyhow::anyhow!("cannot listen on {address} for admin: {error}"))?;
    let bound = listener.local_addr()?;
    let connections = app.connections.clone();
    let router = router(app, Access { token, loopback: bound.ip().is_loopback() });
    tokio::spawn(connections.serve(listener, router));
    Ok(bound)
}

/// The connections that are open, and what became of those that were cut.
pub(crate) struct Connections {
    most: usize,
    /// The oldest first.
    open: Mutex<VecDeque<Open>>,
    numbers: AtomicU64,
    /// Cut because others wanted in.
    displaced: AtomicU64,
    /// Cut because they took too long, or because what they sent was no request.
    failed: AtomicU64,
}

struct Open {
    number: u64,
    /// Its request has been read.
    asked: Arc<AtomicBool>,
    task: AbortHandle,
}

impl Connections {
    /// As many as the process's limit of file descriptors leaves room for.
    pub(crate) fn new() -> Self {
        let files = getrlimit(Resource::Nofile).current.unwrap_or(u64::MAX);
        let most = (files / SHARE).clamp(LEAST, MOST) as usize;
        let (open, numbers, displaced, failed) = Default::default();
        Self { most, open, numbers, displaced, failed }
    }

    /// Connections that are open now.
    pub(crate) fn count(&self) -> u64 {
        self.lock().len() as u64
    }

    /// Connections that were cut, by the reason.
    pub(crate) fn cut(&self) -> [(&'static str, u64); 2] {
        [
            ("displaced", self.displaced.load(Ordering::Relaxed)),
            ("failed", self.failed.load(Ordering::Relaxed)),
        ]
    }

    /// Answers whoever comes to `listener` with `router`; never ends.
    pub(super) async fn serve(self: Arc<Self>, listener: TcpListener, router: Router) {
        let room = Arc::new(Semaphore::new(self.most));
        let mut told = false;
        loop {
            let stream = match listener.accept().await {
                Ok((stream, _)) => stream,
                Err(error) => {
                    // A caller that went away is no trouble; a lack of descriptors passes.
                    if !std::mem::replace(&mut told, true) {
                        tracing::warn!(%error, "the admin listener cannot take a connection");
                    }
                    tokio::time::sleep(AGAIN).await;
                    continue;
                }
            };
            told = false;
            if room.available_permits() == 0 {
                self.displace();
            }
            // Waits until the one that was displaced has given its descriptor back.
            let Ok(permit) = room.clone().acquire_owned().await else { return };
            self.start(stream, router.clone(), permit);
        }
    }

    /// Cuts the oldest connection that has not asked for anything, else the oldest.
    fn displace(&self) {
        let open = self.lock();
        let idle = open.iter().find(|one| !one.asked.load(Ordering::Relaxed));
        if let Some(one) = idle.or(open.front()) {
            one.task.abort();
            self.displaced.fetch_add(1, Ordering::Relaxed);
        }
    }

    fn start(self: &Arc<Self>, stream: TcpStream, router: Router, permit: OwnedSemaphorePermit) {
        let number = self.numbers.fetch_add(1, Ordering::Relaxed);
        let asked = Arc::new(AtomicBool::new(false));
        let entry = Entry { connections: self.clone(), number, _permit: permit };
        // Locked until the entry is there, for the task may end at once and take it out.
        let mut open = self.lock();
        let task = tokio::spawn(answer(stream, router, asked.clone(), entry)).abort_handle();
        open.push_back(Open { number, asked, task });
    }

    fn lock(&self) -> std::sync::MutexGuard<'_, VecDeque<Open>> {
        self.open.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Keeps a connection on the list for as long as its task lives.
struct Entry {
    connections: Arc<Connections>,
    number: u64,
    _permit: OwnedSemaphorePermit,
}

impl Drop for Entry {
    fn drop(&mut self) {
        self.connections.lock().retain(|one| one.number != self.number);
    }
}

/// Answers one request.
async fn answer(stream: TcpStream, router: Router, asked: Arc<AtomicBool>, entry: Entry) {
    let router = TowerToHyperService::new(router);
    let service = service_fn(move |request| {
        asked.store(true, Ordering::Relaxed);
        router.call(request)
    });
    let answered = http1::Builder::new()
        .timer(TokioTimer::new())
        .header_read_timeout(HEAD)
        .max_buf_size(HEAD_MAX)
        .keep_alive(false)
        .serve_connection(TokioIo::new(stream), service);
    if !matches!(tokio::time::timeout(ALL, answered).await, Ok(Ok(()))) {
        entry.connections.failed.fetch_add(1, Ordering::Relaxed);
    }
    drop(entry);
}

#[cfg(test)]
mod tests {
    use axum::routing::get;
    use tokio::io::{AsyncReadExt, AsyncWriteExt};

    use super::*;

    async fn ask(address: std::net::SocketAddr) -> String {
        let mut stream = TcpStream::connect(address).await.unwrap();
        stream.write_all(b"GET / HTTP/1.1\r\nHost: localhost\r\n\r\n").await.unwrap();
        let mut text = String::new();
        stream.read_to_string(&mut text).await.unwrap();
        text
    }

    /// A listener with room for `most`.
    async fn listen(most: usize) -> (Arc<Connections>, std::net::SocketAddr) {
        let connections = Arc::new(Connections { most, ..Connections::new() });
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        let router = Router::new().route("/", get(|| async { "here" }));
        tokio::spawn(connections.clone().serve(listener, router));
        (connections, address)
    }

    #[tokio::test]
    async fn connections_that_say_nothing_make_room_for_those_that_ask() {
        let (connections, address) = listen(4).await;
        let mut silent = Vec::new();
        for _ in 0..40 {
            silent.push(TcpStream::connect(address).await.unwrap());
            assert!(connections.count() <= 4);
        }
        assert!(ask(address).await.ends_with("here"));
        // The first ones were cut: their ends see the end of the stream.
        let first = silent.first_mut().unwrap();
        assert!(matches!(first.read(&mut [0]).await, Ok(0) | Err(_)));
        assert!(connections.cut()[0].1 >= 36, "{:?}", connections.cut());
    }

    #[tokio::test]
    async fn a_head_without_end_is_refused() {
        let (connections, address) = listen(4).await;
        let mut stream = TcpStream::connect(address).await.unwrap();
        stream.write_all(b"GET / HTTP/1.1\r\nA: ").await.unwrap();
        let mut sent = 0;
        while sent < 1 << 20 && stream.write_all(&[b'a'; 4096]).await.is_ok() {
            sent += 4096;
        }
        let mut answer = Vec::new();
        drop(stream.read_to_end(&mut answer).await);
        assert!(sent < 1 << 20, "all was taken");
        assert!(ask(address).await.ends_with("here"));
        assert_eq!(connections.cut()[1].1, 1);
    }

    #[tokio::test(start_paused = true)]
    async fn who_takes_too_long_is_cut() {
        let (connections, address) = listen(4).await;
        let mut stream = TcpStream::connect(address).await.unwrap();
        stream.write_all(b"GET / HTTP/1.1\r\n").await.unwrap();
        let mut answer = Vec::new();
        drop(stream.read_to_end(&mut answer).await);
        while connections.count() > 0 {
            tokio::task::yield_now().await;
        }
        assert_eq!(connections.cut(), [("displaced", 0), ("failed", 1)]);
    }
}
