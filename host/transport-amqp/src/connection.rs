//! Link: one connection to a broker, thrown away whole on any error.

use std::io;
use std::net::{Shutdown, TcpStream};
use std::os::fd::OwnedFd;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use async_compat::CompatExt;
use lapin::types::ShortString;
use lapin::{AsyncTcpStream, Connection, ConnectionProperties};
use lockgate_transport::ConnectError;
use tokio::net::UnixStream;
use tokio::sync::watch;
use tokio::task::AbortHandle;

use crate::fault;
use crate::guard::{Fate, Inbox, pump};
use crate::meter::{Moved, give_up_after, moved};
use crate::raw_names::RawNames;
use crate::settings::Endpoint;
use crate::socket::Socket;

/// Time for connecting to one host: socket, TLS and login; and then for each answer of the broker, so that a
/// great many declarations, or a slow network, take their time.
pub(crate) const CONNECT: Duration = Duration::from_secs(10);

/// How often a connection that owes an answer is looked at.
const LOOK: Duration = Duration::from_millis(50);
/// How often it is looked whether bytes move. A line that carries less than two heartbeats in this
/// time counts as dead.
pub(crate) const PROGRESS: Duration = Duration::from_millis(500);
/// Most deadlines that an answer may take while bytes move: those of other lanes move too, and
/// would hide for ever that the broker answers nothing.
const MOST: u32 = 30;
/// Bytes that a socket pair and a pump may hold: more than the default of Linux for the one
/// (208 KiB) and the buffers of the other.
const BETWEEN: u64 = 512 << 10;
/// Time for the client to notice that the peer hung up.
const GRACE: Duration = Duration::from_millis(500);

/// A live connection. Dropping it cuts the socket, whatever state the client is in.
#[derive(Debug)]
pub(crate) struct Link {
    pub(crate) connection: Connection,
    fate: Arc<Fate>,
    /// The broker left something unanswered.
    condemned: AtomicBool,
    /// Rung when that may have changed what [`Link::is_live`] says, or a channel's state.
    bell: watch::Sender<()>,
    /// Task to end with the connection.
    pub(crate) watch: Option<AbortHandle>,
    cut: Cut,
}

impl Drop for Link {
    fn drop(&mut self) {
        if let Some(watch) = &self.watch {
            watch.abort();
        }
    }
}

/// Ends the socket and the pump when dropped. Without it a client thread could wait for ever on
/// a connection whose owner gave up.
#[derive(Debug)]
struct Cut {
    /// What the client reads and writes.
    socket: TcpStream,
    /// The broker's socket, which is the same where nothing stands between.
    broker: Arc<TcpStream>,
    pump: Option<AbortHandle>,
}

/// Shuts the broker's socket down when its pump ends, however that comes: closing it there is not
/// enough, for a second descriptor of it is open for counting.
struct HangUp(Arc<TcpStream>);

impl Drop for HangUp {
    fn drop(&mut self) {
        // Already closed is as good.
        let _ = self.0.shutdown(Shutdown::Both);
    }
}

impl Link {
    /// Connects and logs in to the first host that can be had; with an inbox, through the frame guard.
    /// Dropping the future cuts what was begun.
    pub(crate) async fn open(
        endpoint: &Endpoint,
        purpose: &str,
        inbox: Option<Arc<Inbox>>,
    ) -> Result<Self, ConnectError> {
        Self::open_with(endpoint, purpose, inbox, None).await
    }

    /// The same, to publish with names that are no text.
    pub(crate) async fn open_with(
        endpoint: &Endpoint,
        purpose: &str,
        inbox: Option<Arc<Inbox>>,
        names: Option<Arc<RawNames>>,
    ) -> Result<Self, ConnectError> {
        let (mut texts, mut heals) = (Vec::new(), false);
        for host in endpoint.hosts() {
            let connecting = Self::connect(&host, purpose, inbox.clone(), names.clone());
            let late = |_| ConnectError::Retry(format!("{host}: not connected within {CONNECT:?}"));
            match tokio::time::timeout(CONNECT, connecting).await.map_err(late).flatten() {
                Ok(link) => return Ok(link),
                Err(error) => {
                    heals |= matches!(error, ConnectError::Retry(_));
                    texts.push(error.to_string());
                }
            }
        }
        let text = texts.join("; ");
        Err(if heals { ConnectError::Retry(text) } else { ConnectError::Fatal(text) })
    }

    async fn connect(
        endpoint: &Endpoint,
        purpose: &str,
        inbox: Option<Arc<Inbox>>,
        names: Option<Arc<RawNames>>,
    ) -> Result<Self, ConnectError> {
        let fate = Arc::new(Fate::default());
        let endpoint = &endpoint.renewed();
        let socket = Socket::connect(endpoint).await?;
        let local = |error: io::Error| ConnectError::Retry(format!("{endpoint}: {error}"));
        let consumes = inbox.is_some();
        let cut = attach(socket, inbox, names, &fate).map_err(local)?;
        if let Some(heartbeat) = endpoint.uri.query.heartbeat.filter(|_| consumes) {
            give_up_after(&cut.broker, 2 * Duration::from_secs(heartbeat.into()));
        }
        let stream = cut.socket.try_clone().map_err(local)?;
        let name = format!("{} {purpose}", endpoint.name);
        let properties = ConnectionProperties::default().with_connection_name(name.into());
        let runtime = lapin::runtime::default_runtime()
            .map_err(|error| fault::connect(endpoint, &error, &fate))?;
        let connecting = Connection::connector(
            endpoint.uri.clone(),
            runtime,
            async move |_, _| {
                let stream = tokio::net::TcpStream::from_std(stream.try_clone()?)?;
                Ok(AsyncTcpStream::Plain(stream.compat()))
            },
            properties,
        );
        let connection = tokio::select! {
            connected = connecting => connected,
            gone = hung_up(&cut.socket) => Err(gone.into()),
        };
        let connection = connection.map_err(|error| fault::connect(endpoint, &error, &fate))?;
        let (condemned, bell) = (AtomicBool::new(false), watch::Sender::new(()));
        Ok(Self { connection, fate, condemned, bell, watch: None, cut })
    }

    /// Awaits the broker's answer to one request. After none within `deadline`, counted from when
    /// bytes last moved, for what goes before it on a slow line takes its time, the connection is
    /// not to be used again.
    pub(crate) async fn answer<T>(
        &self,
        deadline: Duration,
        request: impl Future<Output = lapin::Result<T>>,
    ) -> lapin::Result<T> {
        self.answer_unless(deadline, request, || false).await
    }

    /// As [`Link::answer`]; time does not count in which the broker is `excused`.
    pub(crate) async fn answer_unless<T>(
        &self,
        deadline: Duration,
        request: impl Future<Output = lapin::Result<T>>,
        excused: impl Fn() -> bool,
    ) -> lapin::Result<T> {
        let late = tokio::select! {
            answer = request => return answer,
            gone = hung_up(&self.cut.socket) => gone,
            () = self.stands_still(deadline, excused) => {
                let text = format!("no answer from the broker within {deadline:?}");
                io::Error::new(io::ErrorKind::TimedOut, text)
            }
        };
        self.condemn();
        Err(late.into())
    }

    /// Waits until no bytes have moved for `deadline`, or until it has passed [`MOST`] times.
    async fn stands_still(&self, deadline: Duration, excused: impl Fn() -> bool) {
        let (mut still, mut all) = (Duration::ZERO, Duration::ZERO);
        let mut before = self.moved();
        while still < deadline && all < deadline * MOST {
            let look = PROGRESS.min(deadline - still);
            tokio::time::sleep(look).await;
            if excused() {
                continue;
            }
            let now = self.moved();
            still = if now.is_beyond(&before) { Duration::ZERO } else { still + look };
            all += look;
            before = now;
        }
    }

    /// How far the bytes have got.
    pub(crate) fn moved(&self) -> Moved {
        moved(&self.cut.broker)
    }

    /// Most bytes between the client and the broker's socket: those in the socket pair and in the
    /// pump.
    pub(crate) fn between(&self) -> u64 {
        if self.cut.pump.is_some() { BETWEEN } else { 0 }
    }

    /// Lets nobody take it for live any more: what left one thing unanswered may leave all.
    pub(crate) fn condemn(&self) {
        self.condemned.store(true, Ordering::Release);
        self.bell.send_replace(());
    }

    /// Whom to tell when the client reports an error, and who waits for that.
    pub(crate) fn bell(&self) -> &watch::Sender<()> {
        &self.bell
    }

    /// `error` as text, or what the guard knows better.
    pub(crate) fn explain(&self, error: &lapin::Error) -> String {
        match self.fate.error() {
            Some(error) => error.to_string(),
            None => error.to_string(),
        }
    }

    pub(crate) fn fate(&self) -> &Fate {
        &self.fate
    }

    pub(crate) fn is_live(&self) -> bool {
        self.connection.status().connected() && !self.condemned.load(Ordering::Acquire)
    }

    /// Largest frame, bytes, as agreed with the broker.
    pub(crate) fn frame_max(&self) -> usize {
        self.connection.configuration().frame_max() as usize
    }

    /// Says goodbye; whatever comes of it, the socket is cut afterwards.
    pub(crate) async fn close(&self, deadline: Duration) {
        let goodbye = self.connection.close(200, ok());
        if !matches!(tokio::time::timeout(deadline, goodbye).await, Ok(Ok(()))) {
            tracing::debug!("connection dropped without a goodbye");
        }
    }
}

/// Waits until the peer has hung up and the client has had time to make something of that: now and
/// then it does not notice while it waits for an answer (lapin 4.12, seen when a connection is cut
/// during the login).
async fn hung_up(socket: &TcpStream) -> io::Error {
    loop {
        tokio::time::sleep(LOOK).await;
        match socket.peek(&mut [0]) {
            // All that came is read.
            Ok(0) => break,
            Ok(_) => {}
            Err(error) if error.kind() == io::ErrorKind::WouldBlock => {}
            Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
            Err(_) => break,
        }
    }
    tokio::time::sleep(GRACE).await;
    io::Error::new(io::ErrorKind::ConnectionReset, "the broker hung up")
}

/// The reply text of a normal close.
pub(crate) fn ok() -> ShortString {
    ShortString::try_new("OK").unwrap_or_default()
}

/// The stream that lapin gets: the socket itself where nothing stands between, else the other
/// end of a socket pair whose near end a pump owns. (lapin takes only TCP streams of its
/// runtime, so the pair poses as one; nothing but reads and writes is done to it.)
fn attach(
    socket: Socket,
    inbox: Option<Arc<Inbox>>,
    names: Option<Arc<RawNames>>,
    fate: &Arc<Fate>,
) -> io::Result<Cut> {
    let broker = Arc::new(socket.below()?);
    let (socket, tls) = match socket {
        Socket::Plain(tcp) if inbox.is_none() && names.is_none() => {
            return Ok(Cut { socket: tcp.into_std()?, broker, pump: None });
        }
        Socket::Plain(tcp) => (Some(tcp), None),
        Socket::Tls(tls) => (None, Some(tls)),
    };
    let (near, far) = UnixStream::pair()?;
    let far = TcpStream::from(OwnedFd::from(far.into_std()?));
    let (fate, hang_up) = (fate.clone(), HangUp(broker.clone()));
    let task = tokio::spawn(async move {
        let _hang_up = hang_up;
        match (socket, tls) {
            (Some(tcp), _) => pump(tcp, near, inbox, names, fate).await,
            (None, Some(tls)) => pump(tls, near, inbox, names, fate).await,
            (None, None) => {}
        }
    });
    Ok(Cut { socket: far, broker, pump: Some(task.abort_handle()) })
}

impl Drop for Cut {
    fn drop(&mut self) {
        if let Some(pump) = &self.pump {
            pump.abort();
        }
        // Already closed is as good.
        let _ = self.socket.shutdown(Shutdown::Both);
    }
}
