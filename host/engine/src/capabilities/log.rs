//! Capability `log`: guest lines into the daemon's log, rate-limited and bounded.

use std::sync::{Mutex, PoisonError};
use std::time::{Duration, Instant};

use crate::stats::Stats;
use crate::text::lossy;

/// Bytes of one line that are kept.
pub(crate) const LINE: usize = 4096;

/// Levels as the contract numbers them; what is above counts as error.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Level {
    Trace,
    Debug,
    Info,
    Warn,
    Error,
}

impl Level {
    pub(crate) fn from_number(number: u32) -> Self {
        match number {
            0 => Self::Trace,
            1 => Self::Debug,
            2 => Self::Info,
            3 => Self::Warn,
            _ => Self::Error,
        }
    }
}

/// The log of one stage, shared by its lanes and outliving its sandboxes, so that a trap does
/// not refill the allowance.
#[derive(Debug)]
pub(crate) struct Log {
    stage: String,
    per_second: u32,
    window: Mutex<Window>,
}

#[derive(Debug)]
struct Window {
    start: Instant,
    left: u32,
    dropped: u64,
}

impl Log {
    pub(crate) fn new(stage: &str, per_second: u32) -> Self {
        let window = Window { start: Instant::now(), left: per_second, dropped: 0 };
        Self { stage: stage.to_owned(), per_second, window: Mutex::new(window) }
    }

    /// Writes one line, or drops and counts it.
    pub(crate) fn line(&self, stats: &Stats, level: Level, bytes: &[u8]) {
        let Some(dropped) = self.admit() else {
            Stats::count(&stats.log_lines_dropped, 1);
            return;
        };
        if dropped > 0 {
            tracing::warn!(target: "lockgate::plugin", stage = %self.stage, dropped, "log lines dropped");
        }
        Stats::count(&stats.log_lines, 1);
        // Escaped by whoever writes the log, for what is escaped here would be escaped again there.
        let line = lossy(bytes, LINE);
        let stage = self.stage.as_str();
        match level {
            Level::Trace => tracing::trace!(target: "lockgate::plugin", stage, "{line}"),
            Level::Debug => tracing::debug!(target: "lockgate::plugin", stage, "{line}"),
            Level::Info => tracing::info!(target: "lockgate::plugin", stage, "{line}"),
            Level::Warn => tracing::warn!(target: "lockgate::plugin", stage, "{line}"),
            Level::Error => tracing::error!(target: "lockgate::plugin", stage, "{line}"),
        }
    }

    /// Takes one line of this second's allowance; says how many the last second lost.
    fn admit(&self) -> Option<u64> {
        let mut window = self.window.lock().unwrap_or_else(PoisonError::into_inner);
        let mut dropped = 0;
        if window.start.elapsed() >= Duration::from_secs(1) {
            dropped = window.dropped;
            *window = Window { start: Instant::now(), left: self.per_second, dropped: 0 };
        }
        match window.left.checked_sub(1) {
            Some(left) => {
                window.left = left;
                Some(dropped)
            }
            None => {
                window.dropped += 1;
                None
            }
        }
    }
}

/// Bytes that a guest writes to stdout or stderr, cut into lines.
#[derive(Debug, Default)]
pub(crate) struct Lines(Vec<u8>);

impl Lines {
    /// Takes bytes in and hands out each line that they complete. A line longer than [`LINE`]
    /// is cut, its rest dropped.
    pub(crate) fn push(&mut self, bytes: &[u8], mut line: impl FnMut(&[u8])) {
        for piece in bytes.split_inclusive(|&byte| byte == b'\n') {
            let (text, ends) = match piece.split_last() {
                Some((b'\n', text)) => (text, true),
                _ => (piece, false),
            };
            let room = LINE.saturating_sub(self.0.len());
            self.0.extend_from_slice(text.get(..room).unwrap_or(text));
            if ends {
                line(&self.0);
                self.0.clear();
            }
        }
    }
}

/// The end of what a guest wrote to stderr or logged as errors in one call: runtimes write there
/// what they stop for.
#[derive(Debug, Default)]
pub(crate) struct Words(Vec<u8>);

/// Bytes that are kept, and those that are shown.
const WORDS: usize = 2048;
const SHOWN: usize = 512;
/// Lines that are shown; a stack trace is of no use without its source.
const SHOWN_LINES: usize = 3;

impl Words {
    pub(crate) fn clear(&mut self) {
        self.0.clear();
    }

    /// Takes bytes in, and forgets the oldest.
    pub(crate) fn push(&mut self, bytes: &[u8]) {
        let bytes = bytes.get(bytes.len().saturating_sub(WORDS)..).unwrap_or(bytes);
        let excess = (self.0.len() + bytes.len()).saturating_sub(WORDS);
        self.0.drain(..excess.min(self.0.len()));
        self.0.extend_from_slice(bytes);
    }

    /// On one line, from where the runtime says that it panics, else the last lines; not cleaned of
    /// control characters yet.
    pub(crate) fn last(&self) -> Option<String> {
        let text = String::from_utf8_lossy(&self.0);
        // Rust's advice on its own environment variable helps nobody here.
        let said = |line: &&str| !line.is_empty() && !line.starts_with("note: run with");
        let lines: Vec<&str> = text.lines().map(str::trim).filter(said).collect();
        let stops = |line: &&str| {
            ["panic", "fatal error", "Traceback", "terminating"]
                .iter()
                .any(|sign| line.contains(sign))
        };
        let from = lines.iter().rposition(stops);
        let from = from.unwrap_or(lines.len().saturating_sub(SHOWN_LINES));
        let shown: Vec<&str> = lines.into_iter().skip(from).take(SHOWN_LINES).collect();
        let mut shown = shown.join(" ");
        shown.truncate(shown.floor_char_boundary(SHOWN));
        (!shown.is_empty()).then_some(shown)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_last_words_are_those_of_the_panic() {
        let check = |pieces: &[&str], expected: Option<&str>| {
            let mut words = Words::default();
            pieces.iter().for_each(|piece| words.push(piece.as_bytes()));
            assert_eq!(words.last().as_deref(), expected);
        };
        check(&[], None);
        check(&["\n \n"], None);
        check(
            &[
                "hello\n",
                "thread 'main' panicked at src/lib.rs:1:2:\n",
                "boom\n",
                "note: run with `RUST_BACKTRACE=1` environment variable to display a backtrace\n",
            ],
            Some("thread 'main' panicked at src/lib.rs:1:2: boom"),
        );
        check(
            &[
                "panic: runtime error: index out of range\n\ngoroutine 1 [running]:\nmain.f()\n\t/x.go:1\nexit",
            ],
            Some("panic: runtime error: index out of range goroutine 1 [running]: main.f()"),
        );
        check(&["a\nb\nc\nd"], Some("b c d"));
        let long = "é".repeat(5000);
        let mut words = Words::default();
        words.push(long.as_bytes());
        words.push(long.as_bytes());
        let last = words.last().unwrap();
        assert!(
            last.len() <= SHOWN && last.len() > SHOWN - 4 && words.0.len() == WORDS,
            "{}",
            last.len()
        );
    }

    #[test]
    fn a_flood_is_dropped_and_counted() {
        let (log, stats) = (Log::new("s", 3), Stats::default());
        for _ in 0..10 {
            log.line(&stats, Level::Info, b"x");
        }
        let snapshot = stats.snapshot();
        assert_eq!((snapshot.log_lines, snapshot.log_lines_dropped), (3, 7));
    }

    #[test]
    fn output_is_cut_into_bounded_lines() {
        let mut lines = Lines::default();
        let mut seen = Vec::new();
        lines.push(b"one\ntw", |line| seen.push(line.to_vec()));
        lines.push(b"o\n\n", |line| seen.push(line.to_vec()));
        lines.push(&vec![b'x'; 3 * LINE], |line| seen.push(line.to_vec()));
        lines.push(b"y\n", |line| seen.push(line.to_vec()));
        assert_eq!(seen, [b"one".to_vec(), b"two".to_vec(), b"".to_vec(), vec![b'x'; LINE]]);
    }
}
