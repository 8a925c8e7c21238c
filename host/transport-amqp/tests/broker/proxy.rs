//! A proxy before the broker that can cut connections, hold them still, and end TLS.

use std::sync::{Arc, Mutex};

use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, PrivateKeyDer};
use rustls::server::WebPkiClientVerifier;
use rustls::{RootCertStore, ServerConfig};
use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::{broadcast, watch};
use tokio::task::AbortHandle;
use tokio_rustls::TlsAcceptor;

pub(crate) struct Proxy {
    /// `user:password@host:port`.
    pub(crate) authority: String,
    open: Arc<Mutex<Vec<AbortHandle>>>,
    still: watch::Sender<bool>,
    inject: broadcast::Sender<Vec<u8>>,
}

impl Proxy {
    /// Forwards as it is.
    pub(crate) async fn start(url: &str) -> Self {
        Self::listen(url, None).await
    }

    /// Speaks TLS as `localhost`, and asks for a client certificate.
    pub(crate) async fn tls(url: &str) -> Self {
        let provider = Arc::new(rustls::crypto::ring::default_provider());
        let mut roots = RootCertStore::empty();
        roots.add(CertificateDer::from_pem_file(file("ca.pem")).unwrap()).unwrap();
        let verifier =
            WebPkiClientVerifier::builder_with_provider(Arc::new(roots), provider.clone())
                .build()
                .unwrap();
        let certificate = CertificateDer::from_pem_file(file("server.pem")).unwrap();
        let key = PrivateKeyDer::from_pem_file(file("server.key")).unwrap();
        let config = ServerConfig::builder_with_provider(provider)
            .with_safe_default_protocol_versions()
            .unwrap()
            .with_client_cert_verifier(verifier)
            .with_single_cert(vec![certificate], key)
            .unwrap();
        Self::listen(url, Some(TlsAcceptor::from(Arc::new(config)))).await
    }

    async fn listen(url: &str, tls: Option<TlsAcceptor>) -> Self {
        let (start, host) = url.split_once("://").unwrap().1.rsplit_once('@').unwrap();
        let broker = host.trim_end_matches('/').to_owned();
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let port = listener.local_addr().unwrap().port();
        let open = Arc::new(Mutex::new(Vec::new()));
        let still = watch::Sender::new(false);
        let inject = broadcast::Sender::new(4);
        let (forwarded, hold, injector) = (open.clone(), still.clone(), inject.clone());
        tokio::spawn(async move {
            while let Ok((near, _)) = listener.accept().await {
                let (broker, tls, mut hold) = (broker.clone(), tls.clone(), hold.subscribe());
                let injected = injector.subscribe();
                let forward = tokio::spawn(async move {
                    // Either end may close as it likes, and a handshake may fail.
                    let mut forward = std::pin::pin!(async {
                        match tls {
                            None => forward(near, &broker, injected).await,
                            Some(tls) => {
                                if let Ok(near) = tls.accept(near).await {
                                    forward(near, &broker, injected).await;
                                }
                            }
                        }
                    });
                    let held = async { hold.wait_for(|held| *held).await.is_ok() };
                    let held = tokio::select! {
                        () = &mut forward => false,
                        held = held => held,
                    };
                    // The sockets stay open, and nobody reads them.
                    if held {
                        std::future::pending::<()>().await;
                    }
                });
                forwarded.lock().unwrap().push(forward.abort_handle());
            }
        });
        Self { authority: format!("{start}@localhost:{port}"), open, still, inject }
    }

    pub(crate) fn url(&self) -> String {
        format!("amqp://{}", self.authority)
    }

    /// Closes every connection.
    pub(crate) fn cut(&self) {
        self.open.lock().unwrap().drain(..).for_each(|forward| forward.abort());
    }

    /// Sends a method frame of the connection's own channel to every client.
    pub(crate) fn inject(&self, method: &[u8]) {
        let size = (method.len() as u32).to_be_bytes();
        let frame = [&[1, 0, 0][..], &size, method, &[0xCE]].concat();
        self.inject.send(frame).unwrap();
    }

    /// Lets nothing through any more and closes nothing.
    pub(crate) fn hold_still(&self) {
        self.still.send_replace(true);
    }
}

/// Moves bytes both ways, and what is injected to the near end; between frames, if the broker is
/// quiet.
async fn forward(
    near: impl AsyncRead + AsyncWrite,
    broker: &str,
    mut injected: broadcast::Receiver<Vec<u8>>,
) {
    let far = TcpStream::connect(broker).await.unwrap();
    let (mut from_near, mut to_near) = tokio::io::split(near);
    let (mut from_far, mut to_far) = far.into_split();
    let down = async {
        let mut buffer = vec![0; 1 << 16];
        loop {
            let bytes = tokio::select! {
                Ok(bytes) = injected.recv() => bytes,
                read = from_far.read(&mut buffer) => match read {
                    Ok(0) | Err(_) => return,
                    Ok(count) => buffer[..count].to_vec(),
                },
            };
            if to_near.write_all(&bytes).await.is_err() || to_near.flush().await.is_err() {
                return;
            }
        }
    };
    tokio::select! {
        () = down => {}
        // Either end may close as it likes.
        _ = tokio::io::copy(&mut from_near, &mut to_far) => {}
    }
}

/// A certificate or key of the tests.
pub(crate) fn file(name: &str) -> String {
    format!("{}/tests/tls/{name}", env!("CARGO_MANIFEST_DIR"))
}
