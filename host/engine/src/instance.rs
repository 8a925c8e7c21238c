//! Instance: a configured plugin on one lane. Cuts batches to what the guest can take, and sees
//! to it that a crash costs only the message that caused it.

use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::{Duration, Instant};

use lockgate_message::state::Staged;
use lockgate_message::{Fault, FaultKind, Input, Verdict};

use crate::breaker::{Admission, Why};
use crate::capabilities::clock::now_us;
use crate::capabilities::kv::Staging;
use crate::configured::Configured;
use crate::doors::{Call, Door};
use crate::fault::Crash;
use crate::frame::encode;
use crate::limits::Isolation;
use crate::pace::Pace;
use crate::sandbox::Sandbox;
use crate::stats::Stats;

/// A configured plugin on one lane; keeps one sandbox and makes it anew when it must.
pub struct Instance {
    configured: Arc<Configured>,
    sandbox: Option<Sandbox>,
    /// Messages a call at most, whatever their cost.
    max_batch: usize,
    pace: Pace,
    /// Frame sizes of the messages of the next call.
    sizes: Vec<u32>,
    slots: Vec<Option<Verdict>>,
    /// What the messages of the batch staged, if the stage has state.
    kv: Option<Staging>,
    /// What of the stage's memory statistic is this instance's.
    counted_memory: usize,
    /// The machine refused what the last call needed.
    starved: bool,
}

impl Instance {
    /// Without a sandbox, it makes one for its first message.
    pub(crate) fn new(configured: Arc<Configured>, sandbox: Option<Sandbox>) -> Self {
        let plugin = &configured.plugin;
        let one_by_one =
            plugin.door() == Door::Typed || plugin.limits.isolation == Isolation::Message;
        let max_batch = match one_by_one {
            true => 1,
            false => plugin.limits.batch.min(plugin.description().max_batch as usize).max(1),
        };
        let mut instance = Self {
            sandbox,
            max_batch,
            pace: Pace::default(),
            sizes: Vec::with_capacity(max_batch),
            slots: Vec::with_capacity(max_batch),
            kv: configured.kv.clone().map(Staging::new),
            counted_memory: 0,
            starved: false,
            configured,
        };
        instance.count_memory();
        instance
    }

    /// The configured plugin it runs.
    pub fn configured(&self) -> &Arc<Configured> {
        &self.configured
    }

    /// Judges a batch: appends exactly one verdict per message, in order. Never fails as a
    /// whole; what goes wrong is a fault of the messages it went wrong for.
    pub fn process(&mut self, batch: &[Input<'_>], verdicts: &mut Vec<Verdict>) {
        let received_us = now_us();
        verdicts.reserve(batch.len());
        if let Some(kv) = &mut self.kv {
            kv.begin(batch.len());
        }
        let mut rest = batch;
        while !rest.is_empty() {
            let (most, probe) = match self.configured.breaker.admit(Instant::now) {
                Admission::Open => {
                    rest.iter().for_each(|_| verdicts.push(self.paused()));
                    break;
                }
                Admission::Probe => (1, true),
                Admission::Closed => (self.batch_limit(), false),
            };
            let taken = match self.measure(rest, most) {
                Ok(taken) => taken,
                Err(fault) => {
                    verdicts.push(Verdict::Fault(fault));
                    rest = rest.get(1..).unwrap_or_default();
                    continue;
                }
            };
            let (chunk, tail) = rest.split_at_checked(taken).unwrap_or((rest, &[]));
            let first = batch.len() - rest.len();
            rest = tail;
            self.starved = false;
            self.judge(chunk, first, received_us, verdicts);
            if probe && !self.starved && !matches!(verdicts.last(), Some(Verdict::Fault(_))) {
                self.configured.breaker.close();
            }
        }
        Stats::count(&self.configured.shared.stats.messages, batch.len() as u64);
    }

    fn batch_limit(&self) -> usize {
        self.max_batch.min(self.pace.batch(self.configured.plugin.limits.batch_time))
    }

    /// Measures messages from the front into `sizes` until a call is full; says how many.
    ///
    /// An error is the fault of the first message, which no call can take.
    fn measure(&mut self, inputs: &[Input<'_>], most: usize) -> Result<usize, Fault> {
        let batch_bytes = self.configured.plugin.limits.batch_bytes;
        self.sizes.clear();
        let mut total = 0;
        for input in inputs.iter().take(most) {
            match self.fit(input) {
                Ok(size) if total == 0 || total + size <= batch_bytes => {
                    total += size;
                    self.sizes.push(u32::try_from(size).unwrap_or(u32::MAX));
                }
                Err(text) if total == 0 => {
                    self.configured.shared.stats.fault(FaultKind::TooLarge);
                    return Err(Fault { kind: FaultKind::TooLarge, text });
                }
                // The call is full, or the next message can be in none.
                _ => break,
            }
        }
        Ok(self.sizes.len())
    }

    /// Bytes of a message's frame, or why the guest cannot take it.
    fn fit(&self, input: &Input<'_>) -> Result<usize, String> {
        let most = self.configured.plugin.limits.message_bytes();
        match encode::measure(input, self.configured.needs()) {
            Err(unfit) => Err(unfit.text().to_owned()),
            Ok(size) if size > most => {
                Err(format!("packed it has {size} bytes, the plugin's memory allows {most}"))
            }
            Ok(size) => Ok(size),
        }
    }

    /// Takes what the messages of the last batch staged, by position in it. What nobody takes is
    /// dropped.
    pub fn staged(&mut self) -> Vec<(usize, Staged)> {
        self.kv.as_mut().map(Staging::take).unwrap_or_default()
    }

    /// Runs messages whose sizes are measured, `first` the position of the first of them in the
    /// batch: together, and after a crash one by one. For what the machine refused none of them is
    /// to blame: all that were not judged before wait.
    fn judge(
        &mut self,
        chunk: &[Input<'_>],
        first: usize,
        received_us: u64,
        verdicts: &mut Vec<Verdict>,
    ) {
        if self.sandbox.is_none() {
            match self.configured.ready_sandbox() {
                Ok(sandbox) => self.sandbox = Some(sandbox),
                Err(crash) => {
                    for _ in chunk {
                        let verdict = self.fault(crash.clone());
                        verdicts.push(verdict);
                    }
                    return;
                }
            }
        }
        let sizes = std::mem::take(&mut self.sizes);
        match self.call(chunk, &sizes, first, received_us, verdicts) {
            Ok(()) => {}
            Err(crash) if chunk.len() == 1 || crash.starved => {
                for _ in chunk {
                    let verdict = self.fault(crash.clone());
                    verdicts.push(verdict);
                }
            }
            Err(_) => {
                for (at, (input, size)) in (first..).zip(chunk.iter().zip(&sizes)) {
                    if self.configured.breaker.is_open() {
                        verdicts.push(self.paused());
                        continue;
                    }
                    let alone = std::slice::from_ref(input);
                    let size = std::slice::from_ref(size);
                    if let Err(crash) = self.call(alone, size, at, received_us, verdicts) {
                        let verdict = self.fault(crash);
                        verdicts.push(verdict);
                    }
                }
            }
        }
        self.sizes = sizes;
    }

    /// One guest call. Appends a verdict for each message, or none on a crash.
    fn call(
        &mut self,
        inputs: &[Input<'_>],
        sizes: &[u32],
        first: usize,
        received_us: u64,
        verdicts: &mut Vec<Verdict>,
    ) -> Result<(), Crash> {
        let configured = self.configured.clone();
        let plugin = &configured.plugin;
        self.slots.clear();
        self.slots.resize_with(inputs.len(), || None);
        let mut call = Call {
            inputs,
            sizes,
            needs: configured.needs(),
            received_us,
            reasons: &plugin.reasons,
            limits: &plugin.limits,
            slots: &mut self.slots,
        };
        let mut sandbox = match self.sandbox.take() {
            Some(sandbox) => sandbox,
            None => configured.ready_sandbox()?,
        };
        Stats::count(&configured.shared.stats.calls, 1);
        if let Some(kv) = &mut self.kv {
            kv.start_call(first, inputs.len());
        }
        let started = Instant::now();
        let time = deadline(&configured, inputs.len());
        let result = sandbox.call(&mut call, time, &mut self.kv);
        if result.is_ok() {
            self.pace.record(started.elapsed(), inputs.len());
            let keep = plugin.limits.isolation == Isolation::Instance;
            self.sandbox = Some(sandbox).filter(|it| keep && !it.is_spent(&plugin.limits));
            for (index, slot) in self.slots.drain(..).enumerate() {
                let verdict = match slot {
                    Some(Verdict::Fault(fault)) => counted(&configured, fault),
                    Some(verdict) => verdict,
                    None => counted(&configured, Crash::bad("no verdict for this message").into()),
                };
                verdicts.push(match &mut self.kv {
                    Some(kv) => kv.judged(index, verdict),
                    None => verdict,
                });
            }
        } else if let Some(kv) = &mut self.kv {
            kv.crashed();
        }
        self.count_memory();
        result
    }

    /// What becomes of a message whose call crashed.
    fn fault(&mut self, crash: Crash) -> Verdict {
        if !crash.starved {
            return counted(&self.configured, crash.into());
        }
        self.starved = true;
        self.configured.breaker.starve(Instant::now(), &crash.text);
        self.wait(crash.text)
    }

    fn paused(&self) -> Verdict {
        if let Some(Why::Machine(refusal)) = self.configured.breaker.why(Instant::now()) {
            return self.wait(refusal);
        }
        self.configured.shared.stats.fault(FaultKind::BreakerOpen);
        let text = "the stage is paused after repeated faults of its plugin".to_owned();
        Verdict::Fault(Fault { kind: FaultKind::BreakerOpen, text })
    }

    /// The message waits, and no attempt is counted, as for a store that is away.
    fn wait(&self, text: String) -> Verdict {
        let after = self.configured.plugin.limits.breaker.pause;
        Verdict::Wait { after, text, away: true }
    }

    /// Brings the stage's memory statistic up to date.
    fn count_memory(&mut self) {
        let now = self.sandbox.as_ref().map_or(0, Sandbox::memory);
        if now != self.counted_memory {
            let total = &self.configured.shared.stats.memory;
            total.fetch_add(now, Ordering::Relaxed);
            total.fetch_sub(self.counted_memory, Ordering::Relaxed);
            self.counted_memory = now;
        }
    }
}

impl Drop for Instance {
    fn drop(&mut self) {
        self.sandbox = None;
        self.count_memory();
    }
}

/// Counts a fault for the statistics and the breaker.
fn counted(configured: &Configured, fault: Fault) -> Verdict {
    configured.shared.stats.fault(fault.kind);
    configured.breaker.fault(Instant::now(), &fault);
    Verdict::Fault(fault)
}

/// The time of a call: of one message its own limit, of several that many, but a batch's at most.
fn deadline(configured: &Configured, messages: usize) -> Duration {
    let limits = &configured.plugin.limits;
    match u32::try_from(messages) {
        Ok(1) => limits.time,
        Ok(messages) => limits.time.saturating_mul(messages).min(limits.batch_time),
        Err(_) => limits.batch_time,
    }
}
