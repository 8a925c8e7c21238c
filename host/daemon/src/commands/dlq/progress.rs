//! Progress: a bar on a terminal, a line at each tenth elsewhere; and the pace of a replay.

use std::io::{IsTerminal, stderr};
use std::time::Duration;

use super::as_text::count;
use crate::report;

/// Characters of the bar.
const BAR: u64 = 30;

/// How far it is, on standard error.
pub(super) struct Progress {
    total: u64,
    live: bool,
    /// Tenths that were said.
    tenths: u64,
}

impl Progress {
    pub(super) fn new(total: u64) -> Self {
        Self { total, live: stderr().is_terminal(), tenths: 0 }
    }

    /// `done` of the total, `what` came of it.
    pub(super) fn show(&mut self, done: u64, what: &str) {
        if self.live {
            report::progress(bar(done, self.total, what));
            return;
        }
        let tenths = done.min(self.total) * 10 / self.total.max(1);
        if tenths > self.tenths && tenths < 10 {
            report::note(format!("{}% {what}", tenths * 10));
        }
        self.tenths = self.tenths.max(tenths);
    }

    /// Clears the bar away.
    pub(super) fn end(self) {
        if self.live {
            report::progress("");
        }
    }
}

fn bar(done: u64, total: u64, what: &str) -> String {
    let full = done.min(total) * BAR / total.max(1);
    let (hashes, dots) = ("#".repeat(full as usize), ".".repeat((BAR - full) as usize));
    let percent = done.min(total) * 100 / total.max(1);
    format!("[{hashes}{dots}] {percent:>3}%  {} of {}  {what}", count(done), count(total))
}

/// Letters published in one go: a block of a sink. So many may come twice if the process dies.
pub(super) const BLOCK: usize = 256;

/// Letters a second, at most.
#[derive(Clone, Copy)]
pub(super) struct Pace(pub(super) Option<f64>);

impl Pace {
    /// Letters to look at in one go: as many as there are, or what a quarter of a second allows.
    pub(super) fn page(self) -> u64 {
        self.0.map_or(u64::MAX, |rate| (rate / 4.0).clamp(1.0, BLOCK as f64) as u64)
    }

    /// When the letter after `sent` others may go, from the start on.
    pub(super) fn due(self, sent: u64) -> Duration {
        let seconds = self.0.map_or(0.0, |rate| sent as f64 / rate);
        Duration::try_from_secs_f64(seconds).unwrap_or(Duration::MAX)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_bar_fills() {
        let bar = |done| bar(done, 1_000, "x");
        assert_eq!(bar(0), format!("[{}]   0%  0 of 1,000  x", ".".repeat(30)));
        let half = format!("[{}{}]  50%  500 of 1,000  x", "#".repeat(15), ".".repeat(15));
        assert_eq!(bar(500), half);
        assert_eq!(bar(1_000), format!("[{}] 100%  1,000 of 1,000  x", "#".repeat(30)));
    }

    #[test]
    fn the_pace_is_kept_on_average() {
        let check = |rate, page, sent, millis| {
            let pace = Pace(rate);
            assert_eq!(pace.page(), page);
            assert_eq!(pace.due(sent), Duration::from_millis(millis));
        };
        check(None, u64::MAX, 1_000_000, 0);
        check(Some(100.0), 25, 100, 1_000);
        check(Some(0.5), 1, 3, 6_000);
        check(Some(1e6), 256, 500_000, 500);
    }
}
