//! Host: the host's side of one sandbox, which its imports act on.

use std::cell::RefCell;
use std::sync::Arc;

use crate::capabilities::clock::Clock;
use crate::capabilities::kv::{Answer, KvError, Staging};
use crate::capabilities::log::{Level, Lines, Log, Words};
use crate::capabilities::random::Random;
use crate::capabilities::{Capability, Grants};
use crate::deadline::Deadline;
use crate::engine::Engine;
use crate::limiter::Limiter;
use crate::limits::Limits;
use crate::stats::Stats;

/// What all sandboxes of one stage share.
#[derive(Debug)]
pub(crate) struct Shared {
    pub(crate) grants: Grants,
    pub(crate) stats: Stats,
    log: Log,
    /// Where its instances' seeds start.
    seed: u64,
}

impl Shared {
    pub(crate) fn new(stage: &str, grants: Grants, limits: &Limits, seed: u64) -> Self {
        Self { grants, stats: Stats::default(), log: Log::new(stage, limits.log_lines), seed }
    }
}

/// The state of one store.
pub(crate) struct Host {
    pub(crate) limiter: Limiter,
    pub(crate) deadline: Deadline,
    pub(crate) clock: Clock,
    pub(crate) random: Random,
    /// Here while a batch is judged, if the stage has state.
    pub(crate) kv: Option<Staging>,
    pub(crate) shared: Arc<Shared>,
    /// What the guest said last in this call, in case it is why it crashed.
    words: RefCell<Words>,
    stdout: Lines,
    stderr: Lines,
}

impl Host {
    /// The state of sandbox number `instance` of a stage.
    pub(crate) fn new(
        engine: &Engine,
        shared: Arc<Shared>,
        limits: &Limits,
        instance: u64,
    ) -> Self {
        engine.epochs().resolve(limits.time);
        Self {
            limiter: Limiter::new(limits),
            deadline: Deadline::new(engine.epochs().clone()),
            clock: Clock::new(shared.grants.has(Capability::Clock)),
            random: Random::new(
                shared.grants.has(Capability::Random),
                shared.seed.wrapping_add(instance),
            ),
            kv: None,
            shared,
            words: RefCell::default(),
            stdout: Lines::default(),
            stderr: Lines::default(),
        }
    }

    /// A call of capability `kv`; an error is a trap. Outside of a batch there is no state.
    pub(crate) fn kv<T>(
        &mut self,
        call: impl FnOnce(&mut Staging) -> Answer<T>,
    ) -> wasmtime::Result<Result<T, KvError>> {
        match &mut self.kv {
            Some(staging) => call(staging).map_err(wasmtime::Error::new),
            None => Ok(Err(KvError::Unavailable)),
        }
    }

    pub(crate) fn log(&self, level: Level, line: &[u8]) {
        if level == Level::Error {
            self.words.borrow_mut().push(line);
            self.words.borrow_mut().push(b"\n");
        }
        self.shared.log.line(&self.shared.stats, level, line);
    }

    /// A guest call starts; called before each.
    pub(crate) fn start_call(&mut self) {
        self.limiter.start_call();
        self.words.get_mut().clear();
    }

    /// The guest's own words about a crash in this call, if it left any.
    pub(crate) fn last_words(&self) -> Option<String> {
        self.words.borrow().last()
    }

    /// What a guest wrote to stdout or stderr, if it may log.
    pub(crate) fn write(&mut self, to_stderr: bool, bytes: &[u8]) {
        if to_stderr {
            self.words.get_mut().push(bytes);
        }
        let shared = &self.shared;
        if !shared.grants.has(Capability::Log) {
            return;
        }
        let (lines, level) = match to_stderr {
            false => (&mut self.stdout, Level::Info),
            true => (&mut self.stderr, Level::Warn),
        };
        lines.push(bytes, |line| shared.log.line(&shared.stats, level, line));
    }
}
