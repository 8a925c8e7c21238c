//! Socket: TCP, and TLS over it where the endpoint says so.

use std::io;
use std::os::fd::AsFd;
use std::path::Path;
use std::sync::Arc;

use lockgate_transport::ConnectError;
use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, PrivateKeyDer, ServerName};
use rustls::{ClientConfig, RootCertStore};
use tokio::net::TcpStream;
use tokio_rustls::TlsConnector;
use tokio_rustls::client::TlsStream;

use crate::settings::{Endpoint, TlsSettings};

/// A connected socket.
#[derive(Debug)]
pub(crate) enum Socket {
    Plain(TcpStream),
    Tls(Box<TlsStream<TcpStream>>),
}

impl Socket {
    /// The TCP socket, below whatever stands on it: for counting, and for shutting it down.
    pub(crate) fn below(&self) -> io::Result<std::net::TcpStream> {
        let tcp = match self {
            Self::Plain(tcp) => tcp,
            Self::Tls(tls) => tls.get_ref().0,
        };
        Ok(tcp.as_fd().try_clone_to_owned()?.into())
    }

    /// Connects. Has no deadline of its own.
    pub(crate) async fn connect(endpoint: &Endpoint) -> Result<Self, ConnectError> {
        let authority = &endpoint.uri.authority;
        // Made first: a wrong file is told even while the broker is away.
        let tls = endpoint.tls.as_ref().map(|tls| client(tls, &authority.host)).transpose()?;
        let retry = |error: io::Error| ConnectError::Retry(format!("{endpoint}: {error}"));
        let address = (authority.host.as_str(), authority.port);
        let tcp = TcpStream::connect(address).await.map_err(retry)?;
        tcp.set_nodelay(true).map_err(retry)?;
        let Some((connector, name)) = tls else { return Ok(Self::Plain(tcp)) };
        match connector.connect(name, tcp).await {
            Ok(stream) => Ok(Self::Tls(Box::new(stream))),
            Err(error) => Err(refused(endpoint, &error)),
        }
    }
}

/// A failed handshake: a certificate or a peer without TLS does not heal by itself.
fn refused(endpoint: &Endpoint, error: &io::Error) -> ConnectError {
    match error.get_ref().and_then(|inner| inner.downcast_ref::<rustls::Error>()) {
        Some(rustls::Error::InvalidMessage(_)) => ConnectError::Fatal(format!(
            "{endpoint}: the peer does not speak TLS; use `amqp://`, or the broker's TLS port"
        )),
        Some(error) => ConnectError::Fatal(format!("{endpoint}: TLS: {error}")),
        None => ConnectError::Retry(format!("{endpoint}: TLS handshake: {error}")),
    }
}

fn client(
    tls: &TlsSettings,
    host: &str,
) -> Result<(TlsConnector, ServerName<'static>), ConnectError> {
    let provider = Arc::new(rustls::crypto::ring::default_provider());
    let builder = ClientConfig::builder_with_provider(provider)
        .with_safe_default_protocol_versions()
        .map_err(|error| ConnectError::Fatal(format!("TLS: {error}")))?
        .with_root_certificates(roots(tls.ca_file.as_deref())?);
    let config = match (&tls.cert_file, &tls.key_file) {
        (Some(cert), Some(key)) => builder
            .with_client_auth_cert(certificates(cert)?, private_key(key)?)
            .map_err(|error| unusable(cert, &error))?,
        _ => builder.with_no_client_auth(),
    };
    let name = ServerName::try_from(host.to_owned())
        .map_err(|_| ConnectError::Fatal(format!("`{host}` is not a host name TLS can verify")))?;
    Ok((TlsConnector::from(Arc::new(config)), name))
}

fn roots(ca_file: Option<&Path>) -> Result<RootCertStore, ConnectError> {
    let mut roots = RootCertStore::empty();
    match ca_file {
        Some(file) => {
            for certificate in certificates(file)? {
                roots.add(certificate).map_err(|error| unusable(file, &error))?;
            }
        }
        // Single unusable certificates of the system are no reason to stop.
        None => {
            roots.add_parsable_certificates(rustls_native_certs::load_native_certs().certs);
        }
    }
    if roots.is_empty() {
        return Err(ConnectError::Fatal("TLS: no root certificates; set `tls.ca_file`".to_owned()));
    }
    Ok(roots)
}

fn certificates(file: &Path) -> Result<Vec<CertificateDer<'static>>, ConnectError> {
    let certificates: Result<Vec<_>, _> = CertificateDer::pem_file_iter(file)
        .and_then(Iterator::collect)
        .map_err(|error| unusable(file, &error));
    match certificates {
        Ok(none) if none.is_empty() => Err(unusable(file, &"holds no certificate")),
        other => other,
    }
}

fn private_key(file: &Path) -> Result<PrivateKeyDer<'static>, ConnectError> {
    PrivateKeyDer::from_pem_file(file).map_err(|error| unusable(file, &error))
}

fn unusable(file: &Path, error: &dyn std::fmt::Display) -> ConnectError {
    ConnectError::Fatal(format!("{}: {error}", file.display()))
}
