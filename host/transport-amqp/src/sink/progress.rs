//! Progress: whether a block that is not confirmed yet still gets on.
//!
//! One connection carries the blocks of several lanes, and heartbeats. So bytes count only until
//! those of this block are with the broker; from then on only its confirms do.

use std::fmt;
use std::sync::atomic::{AtomicBool, AtomicU64, AtomicUsize, Ordering};

use crate::meter::{IDLE, Moved};

#[derive(Debug)]
pub(super) struct Progress {
    of: usize,
    /// Publishes that the client has written, and confirms that came.
    handed: AtomicUsize,
    confirmed: AtomicUsize,
    /// What [`Progress::made`] saw last.
    seen: AtomicUsize,
    acked: AtomicU64,
    /// With so many bytes acknowledged, all of the block are; not known before all are written.
    whole: AtomicU64,
    /// They are: only confirms count from now on.
    arrived: AtomicBool,
}

impl Progress {
    pub(super) fn new(of: usize) -> Self {
        Self {
            of,
            handed: AtomicUsize::new(0),
            confirmed: AtomicUsize::new(0),
            seen: AtomicUsize::new(0),
            acked: AtomicU64::new(0),
            whole: AtomicU64::new(u64::MAX),
            arrived: AtomicBool::new(false),
        }
    }

    /// The client has written one more publish.
    pub(super) fn handed(&self) {
        self.handed.fetch_add(1, Ordering::Relaxed);
    }

    /// The broker decided about one more.
    pub(super) fn confirmed(&self) {
        self.confirmed.fetch_add(1, Ordering::Relaxed);
    }

    /// Whether the block got on since the last call. `now` is how far the connection's bytes are,
    /// of which at most `between` are on their way to the socket.
    pub(super) fn made(&self, now: Moved, between: u64) -> bool {
        let handed = self.handed.load(Ordering::Relaxed);
        let done = handed + self.confirmed.load(Ordering::Relaxed);
        let mut made = self.seen.swap(done, Ordering::Relaxed) != done;
        let before = self.acked.swap(now.acked, Ordering::Relaxed);
        if !self.arrived.load(Ordering::Relaxed) {
            made |= now.acked > before + IDLE;
            if handed == self.of {
                let whole = self.whole.fetch_min(now.written + between, Ordering::Relaxed);
                let arrived = now.acked >= whole || now.acked >= now.written;
                self.arrived.store(arrived, Ordering::Relaxed);
            }
        }
        made
    }
}

impl fmt::Display for Progress {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { of, handed, confirmed, .. } = self;
        let [handed, confirmed] = [handed, confirmed].map(|count| count.load(Ordering::Relaxed));
        write!(f, "{handed} of {of} sent, {confirmed} confirmed")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn moved(written: u64, acked: u64) -> Moved {
        Moved { written, acked, received: 0 }
    }

    #[test]
    fn bytes_are_progress_until_the_block_has_arrived() {
        let progress = Progress::new(2);
        assert!(progress.made(moved(500, 100), 0));
        assert!(!progress.made(moved(900, 100), 0), "written to the kernel, and no further");
        assert!(progress.made(moved(900, 200), 0));
        progress.handed();
        assert!(progress.made(moved(900, 200), 0));
        progress.handed();
        assert!(progress.made(moved(1_000, 900), 0));
        assert!(progress.made(moved(1_500, 1_000), 0), "the last of the block");
        assert!(!progress.made(moved(2_000, 1_500), 0), "another lane's");
        progress.confirmed();
        assert!(progress.made(moved(2_000, 1_500), 0));
        assert!(!progress.made(moved(2_000, 2_000), 0));
    }

    #[test]
    fn what_is_on_its_way_to_the_socket_counts_as_the_block_s() {
        let progress = Progress::new(1);
        progress.handed();
        assert!(progress.made(moved(100, 50), 1_000));
        assert!(progress.made(moved(600, 500), 1_000));
        assert!(progress.made(moved(600, 600), 1_000), "all that was written has arrived");
        assert!(!progress.made(moved(700, 650), 1_000));
    }

    /// Where the kernel does not tell, publishes and confirms still do.
    #[test]
    fn without_a_meter_only_the_client_tells() {
        let progress = Progress::new(1);
        assert!(!progress.made(Moved::default(), 0));
        progress.handed();
        assert!(progress.made(Moved::default(), 0));
        progress.confirmed();
        assert!(progress.made(Moved::default(), 0));
    }
}
