//! Window: how much a new consumer of a quorum queue may have in hand.
//!
//! A quorum queue counts a delivery against a message when the host dies that has it in hand, and
//! gives up after some. One message that kills the host would take all along that were in hand with
//! it. So a new consumer begins with one message, and gets twice as many whenever it has settled as
//! many as it may have: it is at a thousand after a thousand messages, and a host that dies early
//! has had few in hand.

use std::time::{Duration, Instant};

/// After so long with everything in hand and not enough of it settled, it grows all the same: a
/// message that waits for its next try must not hold up the others.
const PATIENCE: Duration = Duration::from_secs(2);

#[derive(Debug)]
pub(super) struct Window {
    /// The consumer's prefetch.
    size: u16,
    full: u16,
    /// Deliveries settled, and the time, when it last grew or was found wanting.
    settled: u64,
    since: Instant,
}

impl Window {
    /// Of one message where it is to begin slowly, else full.
    pub(super) fn new(full: u16, slow: bool, now: Instant) -> Self {
        Self { size: if slow { 1 } else { full }, full, settled: 0, since: now }
    }

    pub(super) fn size(&self) -> u16 {
        self.size
    }

    /// When to look again though nothing comes; never for a full one.
    pub(super) fn look_again(&self) -> Option<Instant> {
        (self.size < self.full).then(|| self.since + PATIENCE)
    }

    /// The size to grow to, if it is time for that: `settled` deliveries in all are, and `open` are
    /// in hand.
    pub(super) fn grown(&self, settled: u64, open: usize, now: Instant) -> Option<u16> {
        let proved = settled.saturating_sub(self.settled) >= self.size.into();
        let stuck = open >= self.size.into() && now >= self.since + PATIENCE;
        let due = self.size < self.full && (proved || stuck);
        due.then(|| self.size.saturating_mul(2).min(self.full))
    }

    /// It has `size` from now on; or waits as long again where that is what it has.
    pub(super) fn set(&mut self, size: u16, settled: u64, now: Instant) {
        (self.size, self.settled, self.since) = (size, settled, now);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn it_begins_with_one_and_doubles_with_what_is_settled() {
        let now = Instant::now();
        let mut window = Window::new(100, true, now);
        let (mut settled, mut sizes) = (0, vec![window.size()]);
        while window.look_again().is_some() {
            assert_eq!(window.grown(settled, window.size().into(), now), None);
            settled += u64::from(window.size());
            let size = window.grown(settled, 0, now).unwrap();
            window.set(size, settled, now);
            sizes.push(size);
        }
        assert_eq!(sizes, [1, 2, 4, 8, 16, 32, 64, 100]);
        assert_eq!(window.grown(1_000_000, 100, now + 9 * PATIENCE), None);
    }

    #[test]
    fn what_is_stuck_in_it_does_not_keep_it_small() {
        let now = Instant::now();
        let window = Window::new(100, true, now);
        assert_eq!(window.grown(0, 1, now), None);
        assert_eq!(window.grown(0, 1, now + PATIENCE), Some(2));
        assert_eq!(window.grown(0, 0, now + PATIENCE), None, "an empty queue says nothing");
    }

    #[test]
    fn without_need_it_is_full_at_once() {
        let window = Window::new(100, false, Instant::now());
        assert_eq!((window.size(), window.look_again()), (100, None));
    }
}
