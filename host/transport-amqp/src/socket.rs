//! Socket: TCP, and TLS over it where the endpoint says so.

use std::io;
use std::os::fd::AsFd;
use std::path::Path;
use std::sync::Arc;

use lockgate_transport::ConnectError;
use rustls::client::danger::{HandshakeSignatureValid, ServerCertVerified, ServerCertVerifier};
use rustls::client::{WebPkiServerVerifier, verify_server_name};
use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, PrivateKeyDer, ServerName, UnixTime};
use rustls::server::ParsedCertificate;
use rustls::{
    CertificateError, ClientConfig, DigitallySignedStruct, RootCertStore, SignatureScheme,
};
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
        let tls = endpoint.tls.as_ref().map(|tls| {
            let name = tls.server_name.as_deref().unwrap_or(&authority.host);
            client(tls, name)
        });
        let tls = tls.transpose()?;
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
        Some(rustls::Error::InvalidCertificate(error)) => {
            ConnectError::Fatal(format!("{endpoint}: TLS: {}", verdict(error)))
        }
        Some(error) => ConnectError::Fatal(format!("{endpoint}: TLS: {error}")),
        None => ConnectError::Retry(format!("{endpoint}: TLS handshake: {error}")),
    }
}

/// Why the broker's certificate is refused, and the way out.
fn verdict(error: &CertificateError) -> String {
    match error {
        CertificateError::NotValidForName => "the broker's certificate is for another name; set \
             `tls.server_name` to one that it has as a subjectAltName"
            .to_owned(),
        CertificateError::NotValidForNameContext { expected, presented } => format!(
            "the broker's certificate is not for `{}`; set `tls.server_name` to a subjectAltName \
             of it: {}",
            expected.to_str(),
            if presented.is_empty() { "it has none".to_owned() } else { presented.join(", ") }
        ),
        CertificateError::UnknownIssuer => "who issued the broker's certificate is not trusted; \
             set `tls.ca_file` to the certificate of that authority, or to the broker's own if it \
             is self-signed"
            .to_owned(),
        error if is(error, CA_USED) => "the broker shows the certificate of an authority as its \
             own; put that very certificate into `tls.ca_file`, or give the broker one that is no \
             authority's"
            .to_owned(),
        error => format!("the broker's certificate: {error}"),
    }
}

/// An authority's certificate at a broker, in the words of webpki 0.103.
const CA_USED: &str = "CaUsedAsEndEntity";

fn is(error: &CertificateError, word: &str) -> bool {
    matches!(error, CertificateError::Other(other) if other.0.to_string() == word)
}

/// Verifies as usual, and besides takes a certificate of an authority that the broker shows as its
/// own if `ca_file` holds that very one: what `openssl req -x509` makes.
#[derive(Debug)]
struct Verifier {
    usual: Arc<WebPkiServerVerifier>,
    own: Vec<CertificateDer<'static>>,
}

impl ServerCertVerifier for Verifier {
    fn verify_server_cert(
        &self,
        end_entity: &CertificateDer<'_>,
        intermediates: &[CertificateDer<'_>],
        server_name: &ServerName<'_>,
        ocsp_response: &[u8],
        now: UnixTime,
    ) -> Result<ServerCertVerified, rustls::Error> {
        let usual = &self.usual;
        match usual.verify_server_cert(end_entity, intermediates, server_name, ocsp_response, now) {
            // Its time was judged before that, its name was not.
            Err(rustls::Error::InvalidCertificate(error))
                if is(&error, CA_USED) && self.own.contains(end_entity) =>
            {
                verify_server_name(&ParsedCertificate::try_from(end_entity)?, server_name)?;
                Ok(ServerCertVerified::assertion())
            }
            verified => verified,
        }
    }

    fn verify_tls12_signature(
        &self,
        message: &[u8],
        cert: &CertificateDer<'_>,
        dss: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, rustls::Error> {
        self.usual.verify_tls12_signature(message, cert, dss)
    }

    fn verify_tls13_signature(
        &self,
        message: &[u8],
        cert: &CertificateDer<'_>,
        dss: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, rustls::Error> {
        self.usual.verify_tls13_signature(message, cert, dss)
    }

    fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
        self.usual.supported_verify_schemes()
    }
}

fn client(
    tls: &TlsSettings,
    host: &str,
) -> Result<(TlsConnector, ServerName<'static>), ConnectError> {
    let provider = Arc::new(rustls::crypto::ring::default_provider());
    let unusable_here =
        |error: &dyn std::fmt::Display| ConnectError::Fatal(format!("TLS: {error}"));
    let (roots, own) = roots(tls.ca_file.as_deref())?;
    let usual = WebPkiServerVerifier::builder_with_provider(Arc::new(roots), provider.clone());
    let usual = usual.build().map_err(|error| unusable_here(&error))?;
    let builder = ClientConfig::builder_with_provider(provider)
        .with_safe_default_protocol_versions()
        .map_err(|error| unusable_here(&error))?
        .dangerous()
        .with_custom_certificate_verifier(Arc::new(Verifier { usual, own }));
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

/// What is trusted, and of that what `ca_file` holds.
fn roots(
    ca_file: Option<&Path>,
) -> Result<(RootCertStore, Vec<CertificateDer<'static>>), ConnectError> {
    let (mut roots, mut own) = (RootCertStore::empty(), Vec::new());
    match ca_file {
        Some(file) => {
            own = certificates(file)?;
            for certificate in &own {
                roots.add(certificate.clone()).map_err(|error| unusable(file, &error))?;
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
    Ok((roots, own))
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
    PrivateKeyDer::from_pem_file(file).map_err(|error| {
        // In the first or second line: `BEGIN ENCRYPTED PRIVATE KEY`, `Proc-Type: 4,ENCRYPTED`.
        let encrypted = std::fs::read(file)
            .is_ok_and(|bytes| String::from_utf8_lossy(&bytes).contains("ENCRYPTED"));
        if encrypted {
            let text = "the key is encrypted with a passphrase; write it without one: \
                        `openssl pkey -in KEY -out PLAIN`, readable for its owner alone";
            return unusable(file, &text);
        }
        unusable(file, &error)
    })
}

fn unusable(file: &Path, error: &dyn std::fmt::Display) -> ConnectError {
    ConnectError::Fatal(format!("{}: {error}", file.display()))
}

#[cfg(test)]
mod tests;
