//! Anybody sends any bytes to the admin listener, over a connection in memory: the daemon's own
//! routes and rules answer, without a panic or a server error, only to reading methods, and only
//! those whom the rules for Host, Origin and token admit.

use std::net::IpAddr;
use std::sync::Arc;

use hyper::server::conn::http1;
use hyper_util::rt::TokioIo;
use hyper_util::service::TowerToHyperService;
use tokio::io::{AsyncReadExt, AsyncWriteExt, duplex};
use tokio::runtime::Runtime;

use crate::app::{App, Entry};
use crate::host_admin::{Access, router};

const TOKEN: &str = "a-token-of-32-bytes-for-the-admin";
/// Bytes on the way in either direction.
const BUFFER: usize = 64 << 10;

thread_local! {
    static IO: Runtime = tokio::runtime::Builder::new_current_thread().build().expect("starts");
}

pub fn run(data: &[u8]) {
    let Some((flags, request)) = data.split_first() else { return };
    let ready = flags & 1 != 0;
    let token = (flags & 2 != 0).then(|| TOKEN.to_owned());
    let loopback = token.is_none() || flags & 4 != 0;
    let app = App { entries: vec![Entry { name: "orders".to_owned() }], ready };
    let access = Access { token: token.clone(), loopback };
    let answer = IO.with(|io| io.block_on(serve(app, access, request)));
    let Some(status) = status(&answer) else { return };
    assert!(status < 500 || (status == 503 && !ready), "{}", String::from_utf8_lossy(&answer));
    if (200..300).contains(&status) || status == 503 {
        admitted(request, token.as_deref(), loopback);
    }
}

async fn serve(app: App, access: Access, request: &[u8]) -> Vec<u8> {
    let (client, server) = duplex(BUFFER);
    let service = TowerToHyperService::new(router(Arc::new(app), access));
    let serve = async {
        // Its error is the client's: what it sent is no request.
        drop(http1::Builder::new().serve_connection(TokioIo::new(server), service).await);
    };
    let (mut from, mut to) = tokio::io::split(client);
    let send = async {
        // Fails when the server has hung up.
        drop(to.write_all(request).await);
        drop(to.shutdown().await);
    };
    let receive = async {
        let mut answer = Vec::new();
        drop(from.read_to_end(&mut answer).await);
        answer
    };
    let ((), (), answer) = tokio::join!(serve, send, receive);
    answer
}

/// The status of the first answer.
fn status(answer: &[u8]) -> Option<u16> {
    let mut headers = [httparse::EMPTY_HEADER; 32];
    let mut response = httparse::Response::new(&mut headers);
    response.parse(answer).ok()?;
    response.code
}

/// The first request was answered: it must have been one that may be.
fn admitted(request: &[u8], token: Option<&str>, loopback: bool) {
    let mut headers = [httparse::EMPTY_HEADER; 128];
    let mut parsed = httparse::Request::new(&mut headers);
    let complete = parsed.parse(request).expect("hyper took it, so it is a request");
    assert!(complete.is_complete());
    assert!(matches!(parsed.method, Some("GET" | "HEAD")), "{:?}", parsed.method);
    let first = |name: &str| {
        let mut all = parsed.headers.iter().filter(|header| header.name.eq_ignore_ascii_case(name));
        all.next().map(|header| String::from_utf8_lossy(header.value).trim().to_owned())
    };
    if let Some(token) = token {
        assert_eq!(first("authorization"), Some(format!("Bearer {token}")));
    }
    if loopback {
        assert!(local(&first("host").expect("a Host")), "{:?}", first("host"));
        if let Some(origin) = first("origin") {
            let authority = origin.split_once("://").map_or(&*origin, |(_, authority)| authority);
            assert!(local(authority), "{origin}");
        }
    }
}

/// Whether an authority names this machine.
fn local(authority: &str) -> bool {
    let host = match authority.rsplit_once(':') {
        Some((host, port)) if port.bytes().all(|byte| byte.is_ascii_digit()) => host,
        _ => authority,
    };
    let address = host.trim_matches(['[', ']']).parse::<IpAddr>();
    host == "localhost" || address.is_ok_and(|address| address.is_loopback())
}
