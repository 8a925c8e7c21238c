//! A publisher that writes its frames itself: it can say what no client would.

use std::io::{Read, Write};
use std::net::TcpStream;
use std::time::Duration;

/// Content headers that clients choke on, each with the reason to expect.
pub(crate) fn poison() -> Vec<(&'static str, Vec<u8>)> {
    vec![
        ("not_utf8", header(1 << 15, &short(b"\xFF\xFE"))),
        ("not_utf8", header(1 << 7, &short(b"id-\xC3"))),
        ("not_utf8", header(1 << 13, &long(&[&short(b"k\xFF")[..], b"V"].concat()))),
        ("nesting", header(1 << 13, &nested_arrays(1_000))),
        ("nesting", header(1 << 13, &nested_tables(1_000))),
        ("nesting", header(1 << 13, &nested_arrays(26_000))),
        ("nesting", header(1 << 13, &nested_tables(17_500))),
    ]
}

fn nested_arrays(depth: usize) -> Vec<u8> {
    // An array in an array takes 5 bytes: its tag and its length.
    let mut table = short(b"a");
    for level in (0..depth).rev() {
        table.push(b'A');
        table.extend((level as u32 * 5).to_be_bytes());
    }
    long(&table)
}

fn nested_tables(depth: usize) -> Vec<u8> {
    // A table in a table takes 7: key of one byte, tag and length.
    let mut table = Vec::new();
    for level in (0..depth).rev() {
        table.extend(short(b"t"));
        table.push(b'F');
        table.extend((level as u32 * 7).to_be_bytes());
    }
    long(&table)
}

/// A content header's payload for the body `poison`.
fn header(flags: u16, properties: &[u8]) -> Vec<u8> {
    let mut payload = vec![0, 60, 0, 0];
    payload.extend(6u64.to_be_bytes());
    payload.extend(flags.to_be_bytes());
    payload.extend_from_slice(properties);
    payload
}

fn short(bytes: &[u8]) -> Vec<u8> {
    [&[bytes.len() as u8], bytes].concat()
}

fn long(bytes: &[u8]) -> Vec<u8> {
    [&(bytes.len() as u32).to_be_bytes(), bytes].concat()
}

/// Publishes each header with the body `poison`, confirmed one by one.
pub(crate) async fn publish(
    url: &str,
    exchange: &str,
    key: &str,
    headers: &[(&'static str, Vec<u8>)],
) {
    let host = url.rsplit_once('@').map_or(url, |(_, host)| host);
    let host = host.split('/').next().unwrap_or_default().to_owned();
    let (exchange, key, headers) = (exchange.to_owned(), key.to_owned(), headers.to_vec());
    let publishing = move || {
        let mut raw = Raw::open(&host);
        for (_, header) in headers {
            raw.publish(&exchange, &key, &header, b"poison");
        }
    };
    tokio::task::spawn_blocking(publishing).await.unwrap();
}

struct Raw(TcpStream);

impl Raw {
    fn open(host: &str) -> Self {
        let socket = TcpStream::connect(host).unwrap();
        socket.set_read_timeout(Some(Duration::from_secs(30))).unwrap();
        let mut raw = Self(socket);
        raw.0.write_all(b"AMQP\0\0\x09\x01").unwrap();
        raw.expect(10, 10);
        let login = [&long(b"")[..], &short(b"PLAIN"), &long(b"\0guest\0guest"), &short(b"en_US")];
        raw.method(0, 10, 11, &login.concat());
        raw.expect(10, 30);
        raw.method(0, 10, 31, &[0, 1, 0, 2, 0, 0, 0, 0]);
        raw.method(0, 10, 40, &[&short(b"/")[..], &[0, 0]].concat());
        raw.expect(10, 41);
        raw.method(1, 20, 10, &[0]);
        raw.expect(20, 11);
        raw.method(1, 85, 10, &[0]);
        raw.expect(85, 11);
        raw
    }

    fn publish(&mut self, exchange: &str, key: &str, header: &[u8], body: &[u8]) {
        let names = [&[0, 0][..], &short(exchange.as_bytes()), &short(key.as_bytes()), &[0]];
        self.method(1, 60, 40, &names.concat());
        self.frame(2, 1, header);
        self.frame(3, 1, body);
        self.expect(60, 80);
    }

    fn method(&mut self, channel: u16, class: u16, method: u16, arguments: &[u8]) {
        let ids = [class.to_be_bytes(), method.to_be_bytes()].concat();
        self.frame(1, channel, &[&ids[..], arguments].concat());
    }

    fn frame(&mut self, kind: u8, channel: u16, payload: &[u8]) {
        let mut frame = vec![kind];
        frame.extend(channel.to_be_bytes());
        frame.extend((payload.len() as u32).to_be_bytes());
        frame.extend_from_slice(payload);
        frame.push(0xCE);
        self.0.write_all(&frame).unwrap();
    }

    /// Reads one frame, which must be this method.
    fn expect(&mut self, class: u16, method: u16) {
        let mut start = [0; 7];
        self.0.read_exact(&mut start).unwrap();
        let size = u32::from_be_bytes([start[3], start[4], start[5], start[6]]) as usize;
        let mut payload = vec![0; size + 1];
        self.0.read_exact(&mut payload).unwrap();
        let ids = [class.to_be_bytes(), method.to_be_bytes()].concat();
        assert!(payload.starts_with(&ids), "got {:?}", String::from_utf8_lossy(&payload));
    }
}
