//! Pump: the task that owns a broker's socket and moves bytes between it and lapin.

use std::io;
use std::sync::{Arc, OnceLock};
use std::time::{Duration, Instant};

use bytes::{Buf, BytesMut};
use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt};
use tokio::net::UnixStream;

use super::frame::HEARTBEAT;
use super::{Guard, GuardError, Inbox};
use crate::raw_names::RawNames;

/// Least room made before a read from the broker, bytes.
const READ: usize = 64 << 10;

/// lapin is told of traffic that it does not see by at most one heartbeat in this time. It gives
/// up after two heartbeat intervals of silence, and the shortest interval is a second.
const SIGN_OF_LIFE: Duration = Duration::from_millis(500);

/// Why a pump ended, when the client does not learn it.
#[derive(Debug, Default)]
pub(crate) struct Fate(OnceLock<GuardError>);

impl Fate {
    pub(crate) fn error(&self) -> Option<&GuardError> {
        self.0.get()
    }

    fn end(&self, error: GuardError) {
        // The first reason counts.
        let _ = self.0.set(error);
    }
}

/// Moves bytes until either end closes. With an inbox the guard takes the deliveries out; with names,
/// those that the client cannot have are put in.
pub(crate) async fn pump<S>(
    broker: S,
    lapin: UnixStream,
    inbox: Option<Arc<Inbox>>,
    names: Option<Arc<RawNames>>,
    fate: Arc<Fate>,
) where
    S: AsyncRead + AsyncWrite,
{
    let (from_broker, to_broker) = tokio::io::split(broker);
    let (from_lapin, to_lapin) = lapin.into_split();
    let down = async {
        match inbox {
            Some(inbox) => guarded(from_broker, to_lapin, &inbox, &fate).await,
            None => copy(from_broker, to_lapin).await,
        }
    };
    let up = async {
        match names {
            Some(names) => renamed(from_lapin, to_broker, &names).await,
            None => copy(from_lapin, to_broker).await,
        }
    };
    let ended = tokio::select! {
        ended = down => ended,
        ended = up => ended,
    };
    if let Err(error) = ended {
        tracing::debug!(%error, "connection ended");
        let inner = error.get_ref();
        if let Some(error) = inner.and_then(|inner| inner.downcast_ref::<rustls::Error>()) {
            fate.end(GuardError::Tls(error.to_string()));
        }
    }
}

async fn copy(mut from: impl AsyncRead + Unpin, mut to: impl AsyncWrite + Unpin) -> io::Result<()> {
    let mut buffer = BytesMut::with_capacity(READ);
    while from.read_buf(&mut buffer).await? > 0 {
        to.write_all(&buffer).await?;
        to.flush().await?;
        buffer.clear();
    }
    Ok(())
}

async fn renamed(
    mut lapin: impl AsyncRead + Unpin,
    mut broker: impl AsyncWrite + Unpin,
    names: &RawNames,
) -> io::Result<()> {
    let (mut buffer, mut out) = (BytesMut::with_capacity(2 * READ), Vec::new());
    while lapin.read_buf(&mut buffer).await? > 0 {
        let used = names.replace(&buffer, &mut out).map_err(io::Error::other)?;
        buffer.advance(used);
        broker.write_all(&out).await?;
        broker.flush().await?;
        out.clear();
        buffer.reserve(READ);
    }
    Ok(())
}

async fn guarded(
    mut broker: impl AsyncRead + Unpin,
    mut lapin: impl AsyncWrite + Unpin,
    inbox: &Inbox,
    fate: &Fate,
) -> io::Result<()> {
    let mut guard = Guard::default();
    let mut buffer = BytesMut::with_capacity(2 * READ);
    let (mut out, mut taken) = (Vec::new(), Vec::new());
    let mut sign = Instant::now();
    loop {
        // Too much of what was read is still in memory. The broker's bytes stay with it meanwhile,
        // its heartbeats among them, so the client is told that it lives. That it does shows in its
        // taking ours: else the kernel ends the connection (see `meter::give_up_after`).
        while guard.consumes() && !inbox.has_room(guard.announced()) {
            inbox.hold(true);
            let _ = tokio::time::timeout(SIGN_OF_LIFE, inbox.room(guard.announced())).await;
            if sign.elapsed() >= SIGN_OF_LIFE {
                lapin.write_all(&HEARTBEAT).await?;
                sign = Instant::now();
            }
        }
        inbox.hold(false);
        if broker.read_buf(&mut buffer).await? == 0 {
            return Ok(());
        }
        let used = guard.feed(&buffer, &mut out, &mut taken);
        let used = used.and_then(|used| {
            if taken.is_empty() { Ok(used) } else { inbox.push(&mut taken).map(|()| used) }
        });
        match used {
            Ok(used) => buffer.advance(used),
            Err(error) => {
                fate.end(error.clone());
                return Err(io::Error::other(error));
            }
        }
        if out.is_empty() && guard.consumes() && sign.elapsed() >= SIGN_OF_LIFE {
            out.extend_from_slice(&HEARTBEAT);
        }
        if !out.is_empty() {
            lapin.write_all(&out).await?;
            out.clear();
            sign = Instant::now();
        }
        buffer.reserve(READ);
    }
}
