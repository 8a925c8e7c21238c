//! Certificates and keys as people have them, against a server of our own.

use rustls::ServerConfig;
use tokio::net::TcpListener;
use tokio_rustls::TlsAcceptor;

use super::*;
use crate::settings::SourceSettings;

fn file(name: &str) -> String {
    format!("{}/tests/tls/{name}", env!("CARGO_MANIFEST_DIR"))
}

/// A port that speaks TLS with this certificate, asks for none, and says nothing.
async fn server(certificate: &str, key: &str) -> u16 {
    let provider = Arc::new(rustls::crypto::ring::default_provider());
    let certificate = CertificateDer::from_pem_file(file(certificate)).unwrap();
    let key = PrivateKeyDer::from_pem_file(file(key)).unwrap();
    let config = ServerConfig::builder_with_provider(provider)
        .with_safe_default_protocol_versions()
        .unwrap()
        .with_no_client_auth()
        .with_single_cert(vec![certificate], key)
        .unwrap();
    let acceptor = TlsAcceptor::from(Arc::new(config));
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let port = listener.local_addr().unwrap().port();
    tokio::spawn(async move {
        while let Ok((near, _)) = listener.accept().await {
            // A client that refuses it hangs up.
            drop(acceptor.accept(near).await);
        }
    });
    port
}

/// `host` and what stands in `tls = { … }`; the words of the refusal, or none.
async fn connect(host: &str, port: u16, tls: &str) -> Option<String> {
    let settings = format!("url = 'amqps://{host}:{port}'\nqueue = 'q'\ntls = {{ {tls} }}");
    let settings: SourceSettings = toml::from_str(&settings).unwrap();
    let endpoint = settings.endpoint().unwrap();
    match Socket::connect(&endpoint).await {
        Ok(_) => None,
        Err(ConnectError::Fatal(text)) => Some(text),
        Err(other) => panic!("{other:?}"),
    }
}

#[track_caller]
fn check(refused: Option<String>, words: &[&str]) {
    let text = refused.unwrap_or_default();
    assert_eq!(text.is_empty(), words.is_empty(), "{text}");
    for word in words {
        assert!(text.contains(word), "{text}");
    }
    assert!(!text.contains("CaUsed") && !text.contains("Other("), "{text}");
}

#[tokio::test]
async fn a_self_signed_certificate_is_its_own_authority() {
    let port = server("self_signed.pem", "self_signed.key").await;
    let (own, other) = (file("self_signed.pem"), file("ca.pem"));
    check(connect("localhost", port, &format!("ca_file = '{own}'")).await, &[]);
    // It must still be the right one, with the right name.
    let refused = connect("localhost", port, &format!("ca_file = '{other}'")).await;
    check(refused, &["an authority as its own", "ca_file"]);
    let refused = connect("127.0.0.1", port, &format!("ca_file = '{own}'")).await;
    check(refused, &["127.0.0.1", "tls.server_name", "localhost"]);
}

#[tokio::test]
async fn the_name_of_the_certificate_can_be_another_than_the_host_s() {
    let port = server("server.pem", "server.key").await;
    let ca = file("ca.pem");
    check(connect("localhost", port, &format!("ca_file = '{ca}'")).await, &[]);
    let refused = connect("127.0.0.1", port, &format!("ca_file = '{ca}'")).await;
    check(refused, &["127.0.0.1", "tls.server_name", "localhost"]);
    let named = format!("ca_file = '{ca}', server_name = 'localhost'");
    check(connect("127.0.0.1", port, &named).await, &[]);
    let named = format!("ca_file = '{ca}', server_name = 'elsewhere'");
    check(connect("localhost", port, &named).await, &["elsewhere", "tls.server_name"]);
    let refused =
        connect("localhost", port, &format!("ca_file = '{}'", file("other_ca.pem"))).await;
    check(refused, &["not trusted", "tls.ca_file"]);
}

#[tokio::test]
async fn an_encrypted_key_is_called_so() {
    let port = server("server.pem", "server.key").await;
    for key in ["client_encrypted.key", "client_encrypted_old.key"] {
        let (cert, key) = (file("client.pem"), file(key));
        let tls =
            format!("ca_file = '{}', cert_file = '{cert}', key_file = '{key}'", file("ca.pem"));
        check(connect("localhost", port, &tls).await, &[&key, "encrypted", "openssl pkey"]);
    }
}
