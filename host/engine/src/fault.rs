//! Fault: what a failed guest call is called, and what is said of it.

use std::fmt;

use lockgate_message::{Fault, FaultKind};
use thiserror::Error;
use wasmtime::{Trap, WasmBacktrace};

use crate::host::Host;
use crate::machine;
use crate::text::{FAULT_TEXT, clean};

/// Guest frames named in a text.
const FRAMES: usize = 4;

/// An export that is not what the contract says.
#[derive(Debug, Error)]
#[error("the export `{0}` is missing or has another type than the contract says")]
pub(crate) struct WrongExport(pub(crate) &'static str);

impl WrongExport {
    /// Replaces wasmtime's words for it.
    pub(crate) fn of(name: &'static str) -> impl FnOnce(wasmtime::Error) -> wasmtime::Error {
        move |_| wasmtime::Error::new(Self(name))
    }
}

/// A guest call that failed; its sandbox is not used again.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Crash {
    pub(crate) kind: FaultKind,
    pub(crate) text: String,
    /// The machine refused what the sandbox needs: nobody's fault, and no message's.
    pub(crate) starved: bool,
}

impl Crash {
    pub(crate) fn new(kind: FaultKind, text: impl AsRef<str>) -> Self {
        Self { kind, text: clean(text.as_ref(), FAULT_TEXT), starved: false }
    }

    /// The machine's refusal.
    pub(crate) fn starved(text: impl AsRef<str>) -> Self {
        Self { starved: true, ..Self::new(FaultKind::Memory, text) }
    }

    pub(crate) fn bad(text: impl AsRef<str>) -> Self {
        Self::new(FaultKind::BadOutput, text)
    }

    /// Names what wasmtime reports, with what the host saw during the call.
    pub(crate) fn classify(error: &wasmtime::Error, host: &Host) -> Self {
        if let Some(refusal) = machine::refusal(error) {
            return Self::starved(refusal);
        }
        let trap = error.downcast_ref::<Trap>();
        let kind = match trap {
            Some(Trap::Interrupt) => FaultKind::Deadline,
            Some(Trap::StackOverflow) => FaultKind::Stack,
            _ if error.is::<WrongExport>() => FaultKind::MissingExport,
            _ if host.limiter.refused() => FaultKind::Memory,
            _ => FaultKind::Trap,
        };
        let mut text = match kind {
            FaultKind::Deadline => "ran over its time limit".to_owned(),
            FaultKind::Stack => "call stack exhausted".to_owned(),
            FaultKind::Memory => {
                format!("ran into its limit of {} bytes of memory", host.limiter.max_memory())
            }
            _ => match trap {
                Some(trap) => trap.to_string().trim_start_matches("wasm trap: ").to_owned(),
                None => error.root_cause().to_string(),
            },
        };
        if let Some(backtrace) = error.downcast_ref::<WasmBacktrace>() {
            let frames = backtrace.frames().iter().filter_map(|frame| frame.func_name());
            for (n, name) in frames.take(FRAMES).enumerate() {
                text.push_str(if n == 0 { ", in " } else { " < " });
                text.push_str(&clean(name, 128));
            }
        }
        // What a guest wrote before it ran out of time is not why.
        if matches!(kind, FaultKind::Trap | FaultKind::Memory)
            && let Some(words) = host.last_words()
        {
            text = format!("{words} ({text})");
        }
        Self::new(kind, text)
    }
}

impl From<Crash> for Fault {
    fn from(crash: Crash) -> Self {
        Self { kind: crash.kind, text: crash.text }
    }
}

impl fmt::Display for Crash {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}: {}", self.kind.name(), self.text)
    }
}
