//! One connection through the proxy.

use std::io;
use std::sync::atomic::Ordering;
use std::sync::{Arc, Mutex, PoisonError};

use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio::net::tcp::{ReadHalf, WriteHalf};
use tokio::sync::{mpsc, watch};
use tokio::time::Instant;

use super::{Shared, Trouble};

/// Bytes read at once.
const CHUNK: usize = 16 * 1024;
/// Chunks on their way in one direction; a peer that is not listened to fills its own buffers then.
const AHEAD: usize = 16;
/// First bytes of a client that are kept, to tell connections apart by.
const GREETING: usize = 1024;

/// Bytes and the time they are due at; none at the end of the stream.
type Chunk = (Instant, io::Result<Vec<u8>>);

/// Connects to the broker and carries until both ends are done, or the connection is cut.
pub(super) async fn carry(
    mut near: TcpStream,
    shared: Arc<Shared>,
    mut cuts: watch::Receiver<u64>,
) {
    let Ok(mut far) = TcpStream::connect(shared.broker).await else {
        drop(near.set_zero_linger());
        return;
    };
    shared.open.fetch_add(1, Ordering::AcqRel);
    // Small frames must not wait for each other.
    drop((near.set_nodelay(true), far.set_nodelay(true)));
    let clean = tokio::select! {
        carried = both(&mut near, &mut far, &shared) => carried.is_ok(),
        _ = cuts.changed() => false,
    };
    if !clean {
        // A socket that is closed without lingering ends by a reset.
        drop((near.set_zero_linger(), far.set_zero_linger()));
    }
    drop((near, far));
    shared.open.fetch_sub(1, Ordering::AcqRel);
}

async fn both(near: &mut TcpStream, far: &mut TcpStream, shared: &Shared) -> io::Result<()> {
    let greeting = Mutex::new(Vec::<u8>::new());
    let (from_near, to_near) = near.split();
    let (from_far, to_far) = far.split();
    let keep = |bytes: &[u8]| {
        let mut greeting = greeting.lock().unwrap_or_else(PoisonError::into_inner);
        let room = GREETING.saturating_sub(greeting.len());
        greeting.extend(bytes.iter().take(room));
    };
    let muted = |trouble: &Trouble| {
        let greeting = greeting.lock().unwrap_or_else(PoisonError::into_inner);
        trouble.mute.is_some_and(|word| {
            greeting.windows(word.len().max(1)).any(|part| part == word.as_bytes())
        })
    };
    let there = pump(from_near, to_far, shared, keep, |trouble| trouble.hole);
    let back = pump(from_far, to_near, shared, |_| {}, |trouble| trouble.hole || muted(trouble));
    tokio::try_join!(there, back).map(drop)
}

/// Moves bytes one way until their end; holds them while `held` says so.
async fn pump(
    from: ReadHalf<'_>,
    to: WriteHalf<'_>,
    shared: &Shared,
    seen: impl Fn(&[u8]),
    held: impl Fn(&Trouble) -> bool,
) -> io::Result<()> {
    let (queue, waiting) = mpsc::channel(AHEAD);
    let read = async {
        read(from, queue, shared, seen).await;
        Ok(())
    };
    let write = write(to, waiting, shared.trouble.subscribe(), held);
    tokio::try_join!(read, write).map(drop)
}

async fn read(
    mut from: ReadHalf<'_>,
    queue: mpsc::Sender<Chunk>,
    shared: &Shared,
    seen: impl Fn(&[u8]),
) {
    loop {
        let mut bytes = vec![0; CHUNK];
        let read = from.read(&mut bytes).await.map(|count| {
            bytes.truncate(count);
            bytes
        });
        let last = !read.as_ref().is_ok_and(|bytes| !bytes.is_empty());
        if let Ok(bytes) = &read {
            seen(bytes);
        }
        let due = Instant::now() + shared.trouble.borrow().latency;
        if queue.send((due, read)).await.is_err() || last {
            return;
        }
    }
}

async fn write(
    mut to: WriteHalf<'_>,
    mut waiting: mpsc::Receiver<Chunk>,
    mut trouble: watch::Receiver<Trouble>,
    held: impl Fn(&Trouble) -> bool,
) -> io::Result<()> {
    let gone = |_| io::Error::from(io::ErrorKind::ConnectionAborted);
    while let Some((due, chunk)) = waiting.recv().await {
        tokio::time::sleep_until(due).await;
        trouble.wait_for(|trouble| !held(trouble)).await.map_err(gone)?;
        // An error of one end becomes one of the other.
        let chunk = chunk?;
        if chunk.is_empty() {
            return to.shutdown().await;
        }
        let mut rest = &chunk[..];
        while !rest.is_empty() {
            let thin = trouble.wait_for(|trouble| !held(trouble)).await.map_err(gone)?.thin;
            let count = thin.map_or(rest.len(), |thin| thin.bytes.clamp(1, rest.len()));
            let (now, later) = rest.split_at_checked(count).unwrap_or((rest, &[]));
            to.write_all(now).await?;
            rest = later;
            if let Some(thin) = thin {
                tokio::time::sleep(thin.pause).await;
            }
        }
    }
    Ok(())
}
