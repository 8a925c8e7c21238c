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
use crate::settings::Endpoint;
use crate::socket::Socket;

/// Time for connecting: socket, TLS and login; and then for each answer of the broker, so that a
/// great many declarations, or a slow network, take their time.
pub(crate) const CONNECT: Duration = Duration::from_secs(10);

/// How often a connection that owes an answer is looked at.
const LOOK: Duration = Duration::from_millis(50);
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
    socket: TcpStream,
    pump: Option<AbortHandle>,
}

impl Link {
    /// Connects and logs in; with an inbox, through the frame guard. Dropping the future cuts what
    /// was begun.
    pub(crate) async fn open(
        endpoint: &Endpoint,
        purpose: &str,
        inbox: Option<Arc<Inbox>>,
    ) -> Result<Self, ConnectError> {
        let late = |_| ConnectError::Retry(format!("{endpoint}: not connected within {CONNECT:?}"));
        let opened = tokio::time::timeout(CONNECT, Self::connect(endpoint, purpose, inbox)).await;
        opened.map_err(late)?
    }

    async fn connect(
        endpoint: &Endpoint,
        purpose: &str,
        inbox: Option<Arc<Inbox>>,
    ) -> Result<Self, ConnectError> {
        let fate = Arc::new(Fate::default());
        let endpoint = &endpoint.renewed();
        let socket = Socket::connect(endpoint).await?;
        let local = |error: io::Error| ConnectError::Retry(format!("{endpoint}: {error}"));
        let cut = attach(socket, inbox, &fate).map_err(local)?;
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

    /// Awaits the broker's answer to one request. After none within `deadline` the connection is
    /// not to be used again.
    pub(crate) async fn answer<T>(
        &self,
        deadline: Duration,
        request: impl Future<Output = lapin::Result<T>>,
    ) -> lapin::Result<T> {
        let late = tokio::select! {
            answer = request => return answer,
            gone = hung_up(&self.cut.socket) => gone,
            () = tokio::time::sleep(deadline) => {
                let text = format!("no answer from the broker within {deadline:?}");
                io::Error::new(io::ErrorKind::TimedOut, text)
            }
        };
        self.condemn();
        Err(late.into())
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
fn attach(socket: Socket, inbox: Option<Arc<Inbox>>, fate: &Arc<Fate>) -> io::Result<Cut> {
    let (socket, tls) = match (socket, &inbox) {
        (Socket::Plain(tcp), None) => {
            return Ok(Cut { socket: tcp.into_std()?, pump: None });
        }
        (Socket::Plain(tcp), Some(_)) => (Some(tcp), None),
        (Socket::Tls(tls), _) => (None, Some(tls)),
    };
    let (near, far) = UnixStream::pair()?;
    let far = TcpStream::from(OwnedFd::from(far.into_std()?));
    let fate = fate.clone();
    let task = match (socket, tls) {
        (Some(tcp), _) => tokio::spawn(pump(tcp, near, inbox, fate)),
        (None, Some(tls)) => tokio::spawn(pump(tls, near, inbox, fate)),
        (None, None) => return Err(io::ErrorKind::NotConnected.into()),
    };
    Ok(Cut { socket: far, pump: Some(task.abort_handle()) })
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
