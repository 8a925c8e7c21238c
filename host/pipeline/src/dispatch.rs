//! Dispatch: publishes what the chain left of a batch, waits for the confirms, settles.
//!
//! One task per lane; it owns the lane's sinks, so one publish channel has one user. A block is
//! put whole before the next one starts: what is refused for a while, or whose outcome is unknown,
//! is put again here, in order, while the lane's queue and then the source back up. What its stages
//! staged is stored while the next block is put.

mod finish;
mod sinks;

use std::collections::HashSet;
use std::sync::Arc;
use std::time::{Duration, Instant};

use lockgate_transport::{ConnectError, DelayQueue, Outgoing, PutError};
use tokio::sync::mpsc;
use tokio::task::JoinHandle;

use crate::condition::Component;
use crate::dead_letter::Writer;
use crate::intake::Phase;
use crate::job::{Cause, Fate, Job};
use crate::lane::LaneQueue;
use crate::retry;
use crate::settings::Wait;

pub(crate) use finish::Finish;
pub(crate) use sinks::Sinks;
use sinks::pause;

/// Most messages carried out as one block; a block's publishes are pipelined. A crash doubles at
/// most this many a lane, twice as many where stages keep state. Blocks of 256 were measured to
/// reach the broker's limit.
const BLOCK: usize = 256;
/// Most bytes of bodies to publish in one block, but always one batch: what a slow line carries in
/// seconds, so that acks do not wait for minutes.
const BLOCK_BYTES: usize = 4 << 20;
/// Puts of one copy without an answer, after which it is put alone: if it is what makes a broker
/// close the channel, the sink can tell then.
const SUSPECT: u32 = 3;
/// Longest pause between two puts of what a target refuses: the lane waits meanwhile.
const REFUSED: Duration = Duration::from_secs(30);
/// How long a message waits whose dead letter can be stored nowhere, in longest pauses between two
/// connections: 30 s.
const STUCK: u32 = 30;
/// Puts of one message into a retry queue before it waits in memory.
const DEFERRALS: u32 = 3;
/// Time for which no retry queue is tried after one refused.
const NO_QUEUES: Duration = Duration::from_secs(60);

pub(crate) struct Dispatcher {
    sinks: Sinks,
    dead_letters: Option<Arc<Writer>>,
    /// The lane's own queue, for messages that are tried again.
    queue: Arc<LaneQueue>,
    finish: Arc<Finish>,
    /// The block before this one, if its state is still being stored.
    finishing: Option<JoinHandle<()>>,
    /// When a message could last not wait in a queue.
    refused: Option<Instant>,
    /// When the log said last that a dead letter can be stored nowhere.
    stuck: Option<Instant>,
    /// Delay queues that are there.
    delay_queues: HashSet<String>,
}

/// A copy still to be confirmed.
struct Pending {
    job: usize,
    sink: usize,
    outgoing: Outgoing,
    refusals: u32,
    /// The last put of it was refused.
    refused: bool,
    /// Puts without an answer.
    unknown: u32,
    kind: Kind,
}

impl Pending {
    fn new(job: usize, sink: usize, outgoing: Outgoing, kind: Kind) -> Self {
        Self { job, sink, outgoing, refusals: 0, refused: false, unknown: 0, kind }
    }
}

#[derive(Clone, Debug, PartialEq, Eq)]
enum Kind {
    /// To a route.
    Copy,
    /// The message itself, to wait for its next try.
    Deferral(DelayQueue),
    DeadLetter,
    /// A dead letter that did not fit otherwise.
    Envelope,
}

/// What became of one copy that will not be put again.
enum Verdict {
    Stored,
    Failed(Cause),
    /// It can be stored nowhere, not even as an envelope.
    Stuck(String),
}

/// What became of the dead letters of a block.
#[derive(Default)]
struct Letters {
    stored: bool,
    stuck: bool,
}

/// Bytes of the bodies that jobs publish.
fn size(jobs: &[Job]) -> usize {
    let copies = jobs.iter().flat_map(|job| &job.copies);
    copies.map(|copy| copy.outgoing.message.body().len()).sum()
}

impl Dispatcher {
    pub(crate) fn new(
        sinks: Sinks,
        dead_letters: Option<Arc<Writer>>,
        queue: Arc<LaneQueue>,
        finish: Finish,
    ) -> Self {
        let (finishing, refused, stuck, delay_queues) = Default::default();
        let finish = Arc::new(finish);
        Self { sinks, dead_letters, queue, finish, finishing, refused, stuck, delay_queues }
    }

    /// Runs until the lane's thread has ended and its last job is settled.
    pub(crate) async fn run(mut self, mut jobs: mpsc::Receiver<Vec<Job>>) {
        while let Some(mut block) = self.next(&mut jobs).await {
            let mut bytes = size(&block);
            while block.len() < BLOCK && bytes < BLOCK_BYTES {
                let Ok(more) = jobs.try_recv() else { break };
                bytes += size(&more);
                block.extend(more);
            }
            self.carry_out(block).await;
        }
        self.finished().await;
        self.sinks.close().await;
    }

    /// Waits for jobs, and lets the lane know that it does.
    async fn next(&mut self, jobs: &mut mpsc::Receiver<Vec<Job>>) -> Option<Vec<Job>> {
        if let Ok(ready) = jobs.try_recv() {
            return Some(ready);
        }
        self.queue.set_hungry(true);
        let next = loop {
            tokio::select! {
                biased;
                next = jobs.recv() => break next,
                () = self.sinks.keep() => {}
            }
        };
        self.queue.set_hungry(false);
        next
    }

    async fn carry_out(&mut self, block: Vec<Job>) {
        if *self.finish.phase.borrow() == Phase::Abandon {
            return block.into_iter().for_each(|job| self.finish.requeue(job));
        }
        let mut jobs = Vec::with_capacity(block.len());
        let mut pending = Vec::with_capacity(block.len());
        for mut job in block {
            // It comes again, and its neighbours with it: published now it could overtake them.
            if !job.delivery.ack.is_live() {
                self.finish.requeue(job);
                continue;
            }
            let at = jobs.len();
            match job.fate {
                Fate::DeadLetter(ref cause) => {
                    pending.extend(self.letter(at, &job, cause, Kind::DeadLetter));
                }
                Fate::Retry { delay, counted } => {
                    if counted {
                        retry::count(&mut job.delivery);
                    }
                    match self.deferral(at, &job, delay, counted) {
                        Some(deferral) => pending.push(deferral),
                        None => {
                            self.retry_in_memory(job, delay);
                            continue;
                        }
                    }
                }
                Fate::Done => {
                    let copies = job.copies.drain(..);
                    pending
                        .extend(copies.map(|c| Pending::new(at, c.sink, c.outgoing, Kind::Copy)));
                }
            }
            job.delivered = !pending.is_empty() && pending.last().is_some_and(|p| p.job == at);
            jobs.push(Some(job));
        }
        self.put_all(&mut jobs, pending).await;
        let mut jobs: Vec<_> = jobs.into_iter().flatten().collect();
        let mut staged = Vec::new();
        for job in &mut jobs {
            match job.fate {
                Fate::Done => staged.append(&mut job.staged),
                _ => job.staged.clear(),
            }
        }
        if staged.is_empty() {
            return self.finish.settle(jobs);
        }
        // One commit at a time: what is staged is stored in the order of the blocks.
        self.finished().await;
        self.finishing = Some(tokio::spawn(self.finish.clone().store(jobs, staged)));
    }

    /// Waits until the block before is settled.
    async fn finished(&mut self) {
        if let Some(finishing) = self.finishing.take()
            && let Err(error) = finishing.await
        {
            tracing::error!(%error, "a block was not settled");
        }
    }

    /// Puts every copy until each is stored or its job is abandoned (taken out of `jobs`).
    async fn put_all(&mut self, jobs: &mut [Option<Job>], mut pending: Vec<Pending>) {
        let (mut rounds, mut failures) = (0u32, 0u32);
        let mut letters = Letters::default();
        while !pending.is_empty() {
            if failures > 0 {
                let delay = self.pause_after(failures, &pending);
                if !pause(self.finish.phase.clone(), delay).await {
                    return self.abandon(jobs, &pending);
                }
            }
            if rounds > 0 {
                // What the broker will deliver again anyway need not be doubled.
                pending.retain(|p| {
                    let Some(slot) = jobs.get_mut(p.job) else {
                        return false;
                    };
                    let live = slot.as_ref().is_some_and(|job| job.delivery.ack.is_live());
                    if !live && let Some(job) = slot.take() {
                        self.finish.requeue(job);
                    }
                    live
                });
            }
            rounds += 1;
            if !self.sinks.connect_for(&pending).await {
                return self.abandon(jobs, &pending);
            }
            let alone = pending.iter().any(|copy| copy.unknown >= SUSPECT);
            let rest = if alone { pending.split_off(1) } else { Vec::new() };
            let ready = self.declare(jobs, pending).await;
            pending = self.round(jobs, ready, &mut letters).await;
            failures = if pending.is_empty() { 0 } else { failures.saturating_add(1) };
            pending.extend(rest);
        }
        let conditions = &self.finish.stats.conditions;
        if rounds > 1 {
            conditions.good(Component::DeadLetter, self.finish.lane);
        }
        if letters.stored && !letters.stuck {
            conditions.good(Component::DeadLetter, self.stuck_by());
        }
    }

    /// Who says that a dead letter can be stored nowhere, among those who speak of dead letters.
    fn stuck_by(&self) -> usize {
        self.finish.settings.lanes + self.finish.lane
    }

    /// How long to wait before `pending` is put again, after rounds that left something over.
    fn pause_after(&self, failures: u32, pending: &[Pending]) -> Duration {
        let refused = pending.iter().filter(|copy| copy.kind == Kind::Copy && copy.refused);
        let refusals = refused.map(|copy| copy.refusals).max();
        let settings = &self.finish.settings;
        let random = u64::from(failures) * 7919;
        let backoff = |refusals| settings.retry.backoff.delay(refusals, random).min(REFUSED);
        let pause = settings.reconnect.delay(failures, random);
        refusals.map_or(pause, |refusals| backoff(refusals).max(pause))
    }

    /// Puts every pending copy once; returns what is to be put again.
    async fn round(
        &mut self,
        jobs: &mut [Option<Job>],
        pending: Vec<Pending>,
        letters: &mut Letters,
    ) -> Vec<Pending> {
        let start = Instant::now();
        let results = self.sinks.put(&pending).await;
        self.finish.stats.confirm_seconds.observe(start.elapsed(), pending.len() as u64);
        let mut again = Vec::new();
        for (mut copy, result) in pending.into_iter().zip(results) {
            let Some(verdict) = self.judge(&mut copy, result) else {
                again.push(copy);
                continue;
            };
            let cause = match verdict {
                Verdict::Stored => {
                    letters.stored |= matches!(copy.kind, Kind::DeadLetter | Kind::Envelope);
                    continue;
                }
                Verdict::Failed(cause) => cause,
                Verdict::Stuck(why) => {
                    letters.stuck = true;
                    self.set_aside(jobs, &copy, &why);
                    continue;
                }
            };
            let Some(Some(job)) = jobs.get_mut(copy.job) else { continue };
            let kind = match (&copy.kind, &job.fate) {
                (Kind::Deferral(_), _) => {
                    // One message that does not fit says nothing about the queues.
                    let all = &*cause.reason != "invalid";
                    self.stay(jobs, &copy, &cause.text, all);
                    continue;
                }
                // The first failed copy of a job writes its dead letter.
                (Kind::Copy, Fate::DeadLetter(_)) => continue,
                (Kind::Copy, _) => Kind::DeadLetter,
                _ => Kind::Envelope,
            };
            // That a letter needs an envelope is not why its message died.
            let cause = match &job.fate {
                Fate::DeadLetter(first) if kind == Kind::Envelope => first.clone(),
                _ => cause,
            };
            again.extend(self.letter(copy.job, job, &cause, kind));
            job.fate = Fate::DeadLetter(cause);
        }
        again
    }

    /// What the result of a put means; `None` to put the copy again.
    fn judge(&mut self, copy: &mut Pending, result: Result<(), PutError>) -> Option<Verdict> {
        copy.refused = matches!(result, Err(PutError::Nacked(_)));
        let (reason, text) = match result {
            Ok(()) => return Some(Verdict::Stored),
            // A broker that hangs up on it every time may not want it there.
            Err(PutError::Unknown(text)) if matches!(copy.kind, Kind::Deferral(_)) => {
                copy.refusals += 1;
                if copy.refusals < DEFERRALS {
                    return None;
                }
                ("unknown", text)
            }
            Err(PutError::Unknown(_)) => {
                copy.unknown = copy.unknown.saturating_add(1);
                return None;
            }
            Err(PutError::Invalid(text)) if copy.kind == Kind::Envelope => {
                return Some(Verdict::Stuck(text));
            }
            Err(PutError::Invalid(text)) => ("invalid", text),
            Err(PutError::Unroutable(text)) if copy.kind == Kind::Copy => ("unroutable", text),
            Err(PutError::Unroutable(text) | PutError::Nacked(text))
                if matches!(copy.kind, Kind::Copy | Kind::Deferral(_)) =>
            {
                if let Kind::Deferral(queue) = &copy.kind {
                    // Somebody deleted it: it is made again.
                    self.delay_queues.remove(&queue.name);
                }
                copy.refusals += 1;
                if copy.refusals < self.finish.settings.retry.attempts {
                    return None;
                }
                ("nacked", text)
            }
            Err(error) => {
                // A dead letter that cannot be stored holds its lane: dropping it is not ours
                // to decide.
                self.finish.stats.conditions.bad(Component::DeadLetter, self.finish.lane, error);
                return None;
            }
        };
        Some(Verdict::Failed(Cause::after_chain(reason, text)))
    }

    /// The dead letter of a job, or nothing where the pipeline has no target for them.
    fn letter(&self, at: usize, job: &Job, cause: &Cause, kind: Kind) -> Option<Pending> {
        let writer = self.dead_letters.as_ref()?;
        let outgoing = writer.write(&job.delivery, cause, kind == Kind::Envelope);
        Some(Pending::new(at, writer.target.sink, outgoing, kind))
    }

    /// The copy by which a job waits for its next try in a queue, if it is to.
    fn deferral(&self, at: usize, job: &Job, delay: Duration, counted: bool) -> Option<Pending> {
        let Wait::Queue { sink, queue } = &self.finish.settings.wait else { return None };
        if self.is_refused() || !retry::is_long(delay, counted) {
            return None;
        }
        let (delay_queue, outgoing) = retry::deferral(&job.delivery, delay, queue);
        let kind = Kind::Deferral(delay_queue);
        Some(Pending::new(at, *sink, outgoing, kind))
    }

    /// Whether a retry queue was refused a short while ago.
    fn is_refused(&self) -> bool {
        self.refused.is_some_and(|at| at.elapsed() < NO_QUEUES)
    }

    /// Makes the delay queues that `pending` needs. What may not wait in one waits in memory.
    async fn declare(&mut self, jobs: &mut [Option<Job>], pending: Vec<Pending>) -> Vec<Pending> {
        let mut ready = Vec::with_capacity(pending.len());
        for copy in pending {
            let Kind::Deferral(queue) = &copy.kind else {
                ready.push(copy);
                continue;
            };
            if self.delay_queues.contains(&queue.name) {
                ready.push(copy);
                continue;
            }
            match self.sinks.declare(copy.sink, queue).await {
                Ok(()) => {
                    self.delay_queues.insert(queue.name.clone());
                    ready.push(copy);
                }
                Err(ConnectError::Retry(_)) => ready.push(copy),
                Err(fatal) => self.stay(jobs, &copy, &fatal.to_string(), true),
            }
        }
        ready
    }

    /// Lets a job wait in memory that may not wait in its queue; with `all`, and the others too for
    /// a while.
    fn stay(&mut self, jobs: &mut [Option<Job>], copy: &Pending, why: &str, all: bool) {
        let Some(job) = jobs.get_mut(copy.job).and_then(Option::take) else { return };
        let queue = copy.outgoing.routing_key();
        if all && !self.is_refused() {
            tracing::warn!(queue, error = why, "no waiting in retry queues, waiting in memory");
            self.refused = Some(Instant::now());
        }
        match job.fate {
            Fate::Retry { delay, .. } => self.retry_in_memory(job, delay),
            Fate::Done | Fate::DeadLetter(_) => self.finish.requeue(job),
        }
    }

    /// Lets a job wait, unacked, whose dead letter can be stored nowhere: dropping it is not ours to
    /// decide, and it must hold up no other.
    fn set_aside(&mut self, jobs: &mut [Option<Job>], copy: &Pending, why: &str) {
        let Some(job) = jobs.get_mut(copy.job).and_then(Option::take) else { return };
        let by = self.stuck_by();
        self.finish.stats.conditions.bad(Component::DeadLetter, by, why);
        let pause = self.finish.settings.reconnect.max.saturating_mul(STUCK);
        if self.stuck.is_none_or(|at| at.elapsed() >= pause) {
            self.stuck = Some(Instant::now());
            let id = job.delivery.message.head().properties.message_id.as_deref();
            tracing::error!(
                message_id = id,
                error = why,
                "a dead letter can be stored nowhere; its message stays in the source's queue, unacked"
            );
        }
        self.retry_in_memory(job, pause);
    }

    fn abandon(&self, jobs: &mut [Option<Job>], pending: &[Pending]) {
        for copy in pending {
            if let Some(job) = jobs.get_mut(copy.job).and_then(Option::take) {
                self.finish.requeue(job);
            }
        }
    }

    /// Lets the delivery wait, unacked, for its next try; given back at once when draining.
    fn retry_in_memory(&self, job: Job, delay: Duration) {
        if let Some(delivery) = self.queue.retry(job.delivery, delay) {
            self.finish.requeue(delivery);
        }
    }
}
