//! The proxy before a server that sends back what it gets.

use std::io::{ErrorKind, Read, Write};
use std::net::{TcpListener, TcpStream};
use std::thread;
use std::time::Instant;

use super::*;
use crate::wait::{Deadline, until};

/// Sends back what it gets.
fn echo() -> u16 {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let port = listener.local_addr().unwrap().port();
    thread::spawn(move || {
        for stream in listener.incoming() {
            let mut stream = stream.unwrap();
            thread::spawn(move || {
                let mut writer = stream.try_clone().unwrap();
                // Either end may go as it likes.
                let _ = std::io::copy(&mut stream, &mut writer);
                let _ = writer.shutdown(std::net::Shutdown::Write);
            });
        }
    });
    port
}

fn proxy() -> Proxy {
    Proxy::before(&format!("amqp://guest:guest@127.0.0.1:{}/", echo())).unwrap()
}

fn connect(proxy: &Proxy) -> TcpStream {
    let stream = TcpStream::connect(("127.0.0.1", proxy.port)).unwrap();
    stream.set_read_timeout(Some(Duration::from_secs(20))).unwrap();
    stream
}

fn exchange(stream: &mut TcpStream, bytes: &[u8]) -> std::io::Result<Vec<u8>> {
    stream.write_all(bytes)?;
    let mut back = vec![0; bytes.len()];
    stream.read_exact(&mut back)?;
    Ok(back)
}

/// Nothing comes within a moment.
fn silent(stream: &mut TcpStream) -> bool {
    stream.set_read_timeout(Some(Duration::from_millis(100))).unwrap();
    let read = stream.read(&mut [0; 1]);
    stream.set_read_timeout(Some(Duration::from_secs(20))).unwrap();
    matches!(read, Err(error) if error.kind() == ErrorKind::WouldBlock)
}

#[test]
fn it_carries_and_passes_ends_on() {
    let proxy = proxy();
    assert!(proxy.url().starts_with("amqp://guest:guest@127.0.0.1:"), "{}", proxy.url());
    let mut stream = connect(&proxy);
    let much: Vec<u8> = (0..1 << 20).map(|n: u32| n as u8).collect();
    let mut writer = stream.try_clone().unwrap();
    let sent = much.clone();
    let sender = thread::spawn(move || {
        writer.write_all(&sent).unwrap();
        writer.shutdown(std::net::Shutdown::Write).unwrap();
    });
    let mut back = Vec::new();
    stream.read_to_end(&mut back).unwrap();
    sender.join().unwrap();
    assert!(back == much, "{} bytes", back.len());
    assert_eq!(proxy.accepted(), 1);
    until("its end", Deadline::after(20), || Ok((proxy.open() == 0).then_some(()))).unwrap();
}

#[test]
fn a_reset_ends_what_is_open_and_nothing_else() {
    let proxy = proxy();
    let mut stream = connect(&proxy);
    assert_eq!(exchange(&mut stream, b"one").unwrap(), b"one");
    proxy.reset();
    let error = stream.read(&mut [0; 1]).unwrap_err();
    assert_eq!(error.kind(), ErrorKind::ConnectionReset);
    assert_eq!(exchange(&mut connect(&proxy), b"two").unwrap(), b"two");
}

#[test]
fn a_hole_holds_everything_until_it_is_healed() {
    let proxy = proxy();
    let mut before = connect(&proxy);
    assert_eq!(exchange(&mut before, b"one").unwrap(), b"one");
    proxy.hole();
    let mut during = connect(&proxy);
    for stream in [&mut before, &mut during] {
        stream.write_all(b"two").unwrap();
        assert!(silent(stream));
    }
    proxy.heal();
    for stream in [&mut before, &mut during] {
        let mut back = [0; 3];
        stream.read_exact(&mut back).unwrap();
        assert_eq!(&back, b"two");
        assert_eq!(exchange(stream, b"three").unwrap(), b"three");
    }
}

#[test]
fn it_mutes_the_broker_on_connections_that_say_a_word() {
    let proxy = proxy();
    let (mut sink, mut source) = (connect(&proxy), connect(&proxy));
    assert_eq!(exchange(&mut sink, b"I am a sink.").unwrap(), b"I am a sink.");
    assert_eq!(exchange(&mut source, b"I am a source.").unwrap(), b"I am a source.");
    proxy.trouble(Trouble { mute: Some("sink"), ..Trouble::default() });
    sink.write_all(b"x").unwrap();
    assert!(silent(&mut sink));
    assert_eq!(exchange(&mut source, b"y").unwrap(), b"y");
    proxy.heal();
    let mut back = [0; 1];
    sink.read_exact(&mut back).unwrap();
    assert_eq!(&back, b"x");
}

#[test]
fn it_refuses_new_connections_and_keeps_old_ones() {
    let proxy = proxy();
    let mut old = connect(&proxy);
    assert_eq!(exchange(&mut old, b"one").unwrap(), b"one");
    proxy.trouble(Trouble { refuse: true, ..Trouble::default() });
    until("a refusal", Deadline::after(20), || {
        let refused = TcpStream::connect(("127.0.0.1", proxy.port));
        Ok(refused.is_err_and(|e| e.kind() == ErrorKind::ConnectionRefused).then_some(()))
    })
    .unwrap();
    assert_eq!(exchange(&mut old, b"two").unwrap(), b"two");
    proxy.heal();
    let mut new = until("to be accepted", Deadline::after(20), || {
        Ok(TcpStream::connect(("127.0.0.1", proxy.port)).ok())
    })
    .unwrap();
    assert_eq!(exchange(&mut new, b"three").unwrap(), b"three");
}

#[test]
fn latency_and_a_thin_pipe_delay_and_change_nothing() {
    let proxy = proxy();
    let mut stream = connect(&proxy);
    let latency = Duration::from_millis(50);
    proxy.trouble(Trouble { latency, ..Trouble::default() });
    let start = Instant::now();
    assert_eq!(exchange(&mut stream, b"there and back").unwrap(), b"there and back");
    assert!(start.elapsed() >= 2 * latency, "{:?}", start.elapsed());
    let pause = Duration::from_millis(1);
    proxy.trouble(Trouble { thin: Some(Thin { bytes: 10, pause }), ..Trouble::default() });
    let start = Instant::now();
    let much = [7; 500];
    assert_eq!(exchange(&mut stream, &much).unwrap(), much);
    assert!(start.elapsed() >= 49 * pause, "{:?}", start.elapsed());
}
