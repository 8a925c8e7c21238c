//! Meter: how far the bytes of a connection have got, as the kernel counts them.
//!
//! What the client has handed to a socket says little on a slow line: the kernel keeps megabytes
//! of it. Only what the peer's kernel has acknowledged has moved, and so only that is progress.

use std::net::TcpStream;
use std::time::Duration;

/// Bytes that move when nothing does: a heartbeat, in a TLS record, and some more.
pub(crate) const IDLE: u64 = 64;

/// Bytes of a socket since it was connected.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Moved {
    /// Given to the kernel.
    pub(crate) written: u64,
    /// Of these, acknowledged by the peer's kernel.
    pub(crate) acked: u64,
    /// Received, whether read or not.
    pub(crate) received: u64,
}

impl Moved {
    /// Whether more than heartbeats has moved since `before`, either way.
    pub(crate) fn is_beyond(&self, before: &Self) -> bool {
        let sent = self.acked.saturating_sub(before.acked);
        let received = self.received.saturating_sub(before.received);
        sent > IDLE || received > IDLE
    }
}

/// Reads the counters of `socket`. All zero where the system does not say: then only answers of
/// the broker count as progress.
#[cfg(target_os = "linux")]
pub(crate) fn moved(socket: &TcpStream) -> Moved {
    use std::mem::MaybeUninit;
    use std::os::fd::AsRawFd;

    let mut info = MaybeUninit::<libc::tcp_info>::zeroed();
    let mut len = size_of::<libc::tcp_info>() as libc::socklen_t;
    // SAFETY: the kernel writes at most `len` bytes, the size of `info`, of which every pattern is
    // valid; what an older kernel leaves out stays zero. The descriptor is open while borrowed.
    #[expect(unsafe_code, reason = "no library in use reads TCP_INFO")]
    let info = unsafe {
        let (level, name) = (libc::IPPROTO_TCP, libc::TCP_INFO);
        let into = info.as_mut_ptr().cast();
        if libc::getsockopt(socket.as_raw_fd(), level, name, into, &raw mut len) != 0 {
            return Moved::default();
        }
        info.assume_init()
    };
    let sent = info.tcpi_bytes_sent.saturating_sub(info.tcpi_bytes_retrans);
    Moved {
        written: sent + u64::from(info.tcpi_notsent_bytes),
        acked: info.tcpi_bytes_acked,
        received: info.tcpi_bytes_received,
    }
}

#[cfg(not(target_os = "linux"))]
pub(crate) fn moved(_: &TcpStream) -> Moved {
    Moved::default()
}

/// Lets the kernel end a connection whose peer has not acknowledged for so long what was sent. Only
/// for one on which the broker always reads: one that it makes wait would be ended too.
pub(crate) fn give_up_after(socket: &TcpStream, silence: Duration) {
    #[cfg(target_os = "linux")]
    {
        use std::os::fd::AsRawFd;

        let millis = libc::c_uint::try_from(silence.as_millis()).unwrap_or(libc::c_uint::MAX);
        let (from, len) = ((&raw const millis).cast(), size_of_val(&millis) as libc::socklen_t);
        // SAFETY: the kernel reads `len` bytes from `millis`. The descriptor is open while borrowed.
        #[expect(unsafe_code, reason = "no library in use sets TCP_USER_TIMEOUT")]
        let status = unsafe {
            let (level, name) = (libc::IPPROTO_TCP, libc::TCP_USER_TIMEOUT);
            libc::setsockopt(socket.as_raw_fd(), level, name, from, len)
        };
        if status != 0 {
            let error = std::io::Error::last_os_error();
            tracing::debug!(%error, "a silent broker is noticed late while nothing is read");
        }
    }
    #[cfg(not(target_os = "linux"))]
    let _ = (socket, silence);
}

#[cfg(test)]
mod tests {
    use std::io::{Read, Write};
    use std::net::{Ipv4Addr, TcpListener};

    use super::*;

    /// What the peer does not read stays with the sender, though the sender's kernel took it.
    #[test]
    fn what_the_peer_has_not_taken_has_not_moved() {
        let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).unwrap();
        let mut near = TcpStream::connect(listener.local_addr().unwrap()).unwrap();
        let mut far = listener.accept().unwrap().0;
        near.set_nonblocking(true).unwrap();
        let chunk = [0; 1 << 16];
        let mut given = 0;
        while let Ok(count) = near.write(&chunk) {
            given += count as u64;
        }
        let stuck = moved(&near);
        assert!(stuck.acked < stuck.written && stuck.written <= given, "{stuck:?} of {given}");
        let mut taken = 0;
        while taken < given {
            taken += far.read(&mut [0; 1 << 16]).unwrap() as u64;
        }
        let mut now = moved(&near);
        while now.acked < given {
            now = moved(&near);
        }
        assert!(now.is_beyond(&stuck) && !now.is_beyond(&now), "{now:?}");
        assert_eq!((now.written, moved(&far).received), (given, given));
    }
}
