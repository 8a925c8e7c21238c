//! Dispatch: publishes what the chain left of a batch, waits for the confirms, settles.
//!
//! One task per lane; it owns the lane's sinks, so one publish channel has one user. A block is
//! carried out whole before the next one starts: what is refused for a while, or whose outcome is
//! unknown, is put again here, in order, while the lane's queue and then the source back up.

use std::collections::HashSet;
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::{Duration, Instant};

use futures_util::future::join_all;
use lockgate_message::state::Staged;
use lockgate_message::{Outcome, Settlement};
use lockgate_transport::{
    ConnectError, DelayQueue, Outgoing, PutError, Sink, SinkConnector, reconnect,
};
use tokio::sync::{mpsc, watch};

use crate::condition::Component;
use crate::dead_letter::Writer;
use crate::intake::{Flow, Phase};
use crate::job::{Cause, Fate, Job};
use crate::lane::LaneQueue;
use crate::retry;
use crate::settings::{Settings, Wait};
use crate::stats::Stats;

/// Most messages carried out as one block; a block's publishes are pipelined. A crash doubles at
/// most this many a lane, and blocks of 256 were measured to reach the broker's limit.
const BLOCK: usize = 256;
/// Time a sink gets for closing.
const CLOSE: Duration = Duration::from_secs(2);
/// Puts of one message into a retry queue before it waits in memory.
const DEFERRALS: u32 = 3;
/// Time for which no retry queue is tried after one refused.
const NO_QUEUES: Duration = Duration::from_secs(60);

pub(crate) struct Dispatcher {
    pub(crate) lane: usize,
    pub(crate) connectors: Arc<[Arc<dyn SinkConnector>]>,
    /// By connector; `None` while not connected.
    pub(crate) sinks: Vec<Option<Box<dyn Sink>>>,
    pub(crate) dead_letters: Option<Arc<Writer>>,
    pub(crate) settings: Arc<Settings>,
    pub(crate) stats: Arc<Stats>,
    /// The lane's own queue, for messages that are tried again.
    pub(crate) queue: Arc<LaneQueue>,
    pub(crate) flow: Arc<Flow>,
    pub(crate) phase: watch::Receiver<Phase>,
    /// Sinks that were lost and have not stored anything since.
    pub(crate) troubled: HashSet<usize>,
    /// When a message could last not wait in a queue.
    pub(crate) refused: Option<Instant>,
    /// Delay queues that are there.
    pub(crate) delay_queues: HashSet<String>,
}

/// A copy still to be confirmed.
struct Pending {
    job: usize,
    sink: usize,
    outgoing: Outgoing,
    refusals: u32,
    kind: Kind,
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
}

impl Dispatcher {
    /// Runs until the lane's thread has ended and its last job is settled.
    pub(crate) async fn run(mut self, mut jobs: mpsc::Receiver<Vec<Job>>) {
        while let Some(mut block) = self.next(&mut jobs).await {
            while block.len() < BLOCK {
                let Ok(more) = jobs.try_recv() else { break };
                block.extend(more);
            }
            self.carry_out(block).await;
        }
        for sink in self.sinks.drain(..).flatten() {
            sink.close(CLOSE).await;
        }
    }

    /// Waits for jobs, and lets the lane know that it does.
    async fn next(&mut self, jobs: &mut mpsc::Receiver<Vec<Job>>) -> Option<Vec<Job>> {
        if let Ok(ready) = jobs.try_recv() {
            return Some(ready);
        }
        self.queue.set_hungry(true);
        let next = loop {
            let lost = self.sinks.iter().position(Option::is_none);
            tokio::select! {
                biased;
                next = jobs.recv() => break next,
                // With nothing to put that would prove it, a connection is proof enough.
                true = self.connect(lost.unwrap_or_default()), if lost.is_some() => {
                    lost.into_iter().for_each(|index| self.works(index));
                }
            }
        };
        self.queue.set_hungry(false);
        next
    }

    async fn carry_out(&mut self, block: Vec<Job>) {
        if *self.phase.borrow() == Phase::Abandon {
            return block.into_iter().for_each(|job| self.requeue(job));
        }
        let mut jobs = Vec::with_capacity(block.len());
        let mut pending = Vec::with_capacity(block.len());
        for mut job in block {
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
                Fate::Done => pending.extend(job.copies.drain(..).map(|copy| Pending {
                    job: at,
                    sink: copy.sink,
                    outgoing: copy.outgoing,
                    refusals: 0,
                    kind: Kind::Copy,
                })),
            }
            job.delivered = !pending.is_empty() && pending.last().is_some_and(|p| p.job == at);
            jobs.push(Some(job));
        }
        self.put_all(&mut jobs, pending).await;
        if !self.commit(&mut jobs).await {
            return jobs.into_iter().flatten().for_each(|job| self.requeue(job));
        }
        self.settle(jobs.into_iter().flatten());
    }

    /// Stores what stages staged for messages that are done, before these are acked: a message
    /// that comes again must find what was remembered of it. False when told to abandon.
    async fn commit(&mut self, jobs: &mut [Option<Job>]) -> bool {
        let mut staged = Vec::new();
        for job in jobs.iter_mut().flatten() {
            match job.fate {
                Fate::Done => staged.append(&mut job.staged),
                _ => job.staged.clear(),
            }
        }
        let mut failures = 0u32;
        while !staged.is_empty() {
            let committing = tokio::task::spawn_blocking(move || {
                let result = Staged::commit_all(&mut staged);
                (staged, result)
            });
            let Ok((rest, result)) = committing.await else {
                return false;
            };
            staged = rest;
            if let Err(error) = result {
                failures = failures.saturating_add(1);
                self.stats.conditions.bad(Component::State, self.lane, error);
                let delay = self.settings.reconnect.delay(failures, u64::from(failures) * 7919);
                if !pause(self.phase.clone(), delay).await {
                    return false;
                }
            }
        }
        if failures > 0 {
            self.stats.conditions.good(Component::State, self.lane);
        }
        true
    }

    /// Puts every copy until each is stored or its job is abandoned (taken out of `jobs`).
    async fn put_all(&mut self, jobs: &mut [Option<Job>], mut pending: Vec<Pending>) {
        let mut rounds = 0u32;
        while !pending.is_empty() {
            if rounds > 0 {
                let delay = self.settings.reconnect.delay(rounds, u64::from(rounds) * 7919);
                if !pause(self.phase.clone(), delay).await {
                    return self.abandon(jobs, &pending);
                }
                // What the broker will deliver again anyway need not be doubled.
                pending.retain(|p| {
                    let Some(slot) = jobs.get_mut(p.job) else {
                        return false;
                    };
                    let live = slot.as_ref().is_some_and(|job| job.delivery.ack.is_live());
                    if !live && let Some(job) = slot.take() {
                        self.requeue(job);
                    }
                    live
                });
            }
            rounds += 1;
            if !self.connect_sinks(&pending).await {
                return self.abandon(jobs, &pending);
            }
            let ready = self.declare(jobs, pending).await;
            pending = self.round(jobs, ready).await;
        }
        if rounds > 1 {
            self.stats.conditions.good(Component::DeadLetter, self.lane);
        }
    }

    /// Puts every pending copy once; returns what is to be put again.
    async fn round(&mut self, jobs: &mut [Option<Job>], pending: Vec<Pending>) -> Vec<Pending> {
        let start = Instant::now();
        let results = self.put_once(&pending).await;
        self.stats.confirm_seconds.observe(start.elapsed(), pending.len() as u64);
        let mut again = Vec::new();
        for (mut copy, result) in pending.into_iter().zip(results) {
            let Some(verdict) = self.judge(&mut copy, result) else {
                again.push(copy);
                continue;
            };
            let (Verdict::Failed(cause), Some(Some(job))) = (verdict, jobs.get_mut(copy.job))
            else {
                continue;
            };
            let kind = match (&copy.kind, &job.fate) {
                (Kind::Deferral(_), _) => {
                    self.stay(jobs, &copy, &cause.text);
                    continue;
                }
                // The first failed copy of a job writes its dead letter.
                (Kind::Copy, Fate::DeadLetter(_)) => continue,
                (Kind::Copy, _) => Kind::DeadLetter,
                _ => Kind::Envelope,
            };
            again.extend(self.letter(copy.job, job, &cause, kind));
            job.fate = Fate::DeadLetter(cause);
        }
        again
    }

    /// What the result of a put means; `None` to put the copy again.
    fn judge(&mut self, copy: &mut Pending, result: Result<(), PutError>) -> Option<Verdict> {
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
            Err(PutError::Unknown(_)) => return None,
            Err(PutError::Invalid(text)) if copy.kind != Kind::Envelope => ("invalid", text),
            Err(PutError::Unroutable(text)) if copy.kind == Kind::Copy => ("unroutable", text),
            Err(PutError::Unroutable(text) | PutError::Nacked(text))
                if matches!(copy.kind, Kind::Copy | Kind::Deferral(_)) =>
            {
                if let Kind::Deferral(queue) = &copy.kind {
                    // Somebody deleted it: it is made again.
                    self.delay_queues.remove(&queue.name);
                }
                copy.refusals += 1;
                if copy.refusals < self.settings.retry.attempts {
                    return None;
                }
                ("nacked", text)
            }
            Err(error) => {
                // A dead letter that cannot be stored holds its lane: dropping it is not ours
                // to decide.
                self.stats.conditions.bad(Component::DeadLetter, self.lane, error);
                return None;
            }
        };
        Some(Verdict::Failed(Cause::after_chain(reason, text)))
    }

    /// The dead letter of a job, or nothing where the pipeline has no target for them.
    fn letter(&self, at: usize, job: &Job, cause: &Cause, kind: Kind) -> Option<Pending> {
        let writer = self.dead_letters.as_ref()?;
        let outgoing = writer.write(&job.delivery, cause, kind == Kind::Envelope);
        Some(Pending { job: at, sink: writer.target.sink, outgoing, refusals: 0, kind })
    }

    /// The copy by which a job waits for its next try in a queue, if it is to.
    fn deferral(&self, at: usize, job: &Job, delay: Duration, counted: bool) -> Option<Pending> {
        let Wait::Queue { sink, queue } = &self.settings.wait else { return None };
        let refused = self.refused.is_some_and(|at| at.elapsed() < NO_QUEUES);
        if !counted || refused || !retry::is_long(delay) {
            return None;
        }
        let (delay_queue, outgoing) = retry::deferral(&job.delivery, delay, queue);
        let kind = Kind::Deferral(delay_queue);
        Some(Pending { job: at, sink: *sink, outgoing, refusals: 0, kind })
    }

    /// Puts the copies of each sink as one block, the sinks side by side.
    async fn put_once(&mut self, pending: &[Pending]) -> Vec<Result<(), PutError>> {
        let mut results: Vec<_> = pending
            .iter()
            .map(|_| Err(PutError::Unknown("the sink is not connected".into())))
            .collect();
        let puts = self.sinks.iter_mut().enumerate().filter_map(|(index, slot)| {
            let (places, block): (Vec<_>, Vec<_>) = pending
                .iter()
                .enumerate()
                .filter(|(_, p)| p.sink == index)
                .map(|(place, p)| (place, p.outgoing.clone()))
                .unzip();
            if block.is_empty() {
                return None;
            }
            let mut sink = slot.take()?;
            Some(async move {
                let results = sink.put(&block).await;
                (index, sink, places, results)
            })
        });
        let phase = self.phase.clone();
        let puts = tokio::select! {
            puts = join_all(puts) => puts,
            // Time is up: the sinks go with their puts, and what they held is unknown.
            () = abandoned(phase) => return results,
        };
        for (index, sink, places, put) in puts {
            let dead = put.iter().find_map(|result| match result {
                Err(PutError::Unknown(why)) => Some(why.clone()),
                _ => None,
            });
            for (place, result) in places.into_iter().zip(put) {
                if let Some(slot) = results.get_mut(place) {
                    *slot = result;
                }
            }
            match dead {
                Some(why) => self.dead(index, sink, &why),
                None => {
                    self.works(index);
                    if let Some(slot) = self.sinks.get_mut(index) {
                        *slot = Some(sink);
                    }
                }
            }
        }
        results
    }

    /// Throws a sink away that does not answer any more.
    fn dead(&mut self, index: usize, sink: Box<dyn Sink>, why: &str) {
        self.stats.conditions.bad(Component::Target, self.holder(index), why);
        self.stats.reconnects.fetch_add(1, Ordering::Relaxed);
        self.troubled.insert(index);
        tokio::spawn(sink.close(CLOSE));
    }

    /// A sink has stored a block: only that proves that it works, for a broker may accept a
    /// connection and nothing else.
    fn works(&mut self, index: usize) {
        if self.troubled.remove(&index) {
            self.stats.conditions.good(Component::Target, self.holder(index));
        }
    }

    /// The lane's sink as a number among those of all lanes.
    fn holder(&self, index: usize) -> usize {
        self.lane * self.connectors.len() + index
    }

    /// Makes the delay queues that `pending` needs. What may not wait in one waits in memory.
    async fn declare(&mut self, jobs: &mut [Option<Job>], pending: Vec<Pending>) -> Vec<Pending> {
        let mut ready = Vec::with_capacity(pending.len());
        for copy in pending {
            let Kind::Deferral(queue) = &copy.kind else {
                ready.push(copy);
                continue;
            };
            let sink = self.sinks.get_mut(copy.sink).and_then(Option::as_mut);
            let Some(sink) = sink.filter(|_| !self.delay_queues.contains(&queue.name)) else {
                ready.push(copy);
                continue;
            };
            match sink.declare(queue).await {
                Ok(()) => {
                    self.delay_queues.insert(queue.name.clone());
                    ready.push(copy);
                }
                Err(ConnectError::Retry(why)) => {
                    let sink = self.sinks.get_mut(copy.sink).and_then(Option::take);
                    sink.into_iter().for_each(|sink| self.dead(copy.sink, sink, &why));
                    ready.push(copy);
                }
                Err(fatal) => self.stay(jobs, &copy, &fatal.to_string()),
            }
        }
        ready
    }

    /// Lets a job wait in memory that may not wait in its queue.
    fn stay(&mut self, jobs: &mut [Option<Job>], copy: &Pending, why: &str) {
        let Some(job) = jobs.get_mut(copy.job).and_then(Option::take) else { return };
        let queue = copy.outgoing.routing_key();
        tracing::warn!(queue, error = why, "cannot wait in a retry queue, waiting in memory");
        self.refused = Some(Instant::now());
        match job.fate {
            Fate::Retry { delay, .. } => self.retry_in_memory(job, delay),
            Fate::Done | Fate::DeadLetter(_) => self.requeue(job),
        }
    }

    /// Connects the sinks that `pending` needs; false when told to abandon meanwhile.
    async fn connect_sinks(&mut self, pending: &[Pending]) -> bool {
        for index in 0..self.sinks.len() {
            let missing = self.sinks.get(index).is_some_and(Option::is_none);
            if missing && pending.iter().any(|p| p.sink == index) && !self.connect(index).await {
                return false;
            }
        }
        true
    }

    /// Connects one sink, however long it takes; false when told to abandon meanwhile.
    async fn connect(&mut self, index: usize) -> bool {
        let Some(connector) = self.connectors.get(index).cloned() else {
            return false;
        };
        let by = self.holder(index);
        let failed = |error: &_| self.stats.conditions.bad(Component::Target, by, error);
        let sink = loop {
            let connecting =
                reconnect(self.settings.reconnect, || connector.connect(self.lane), failed);
            let connected = tokio::select! {
                connected = connecting => connected,
                () = abandoned(self.phase.clone()) => return false,
            };
            match connected {
                Ok(sink) => break sink,
                Err(error) => {
                    // Refused for good at start-up this ends the pipeline; in service it may
                    // be mended on the broker, and the messages in hand wait for it.
                    failed(&error);
                    if !pause(self.phase.clone(), self.settings.reconnect.max).await {
                        return false;
                    }
                }
            }
        };
        if let Some(slot) = self.sinks.get_mut(index) {
            *slot = Some(sink);
        }
        true
    }

    fn abandon(&self, jobs: &mut [Option<Job>], pending: &[Pending]) {
        for copy in pending {
            if let Some(job) = jobs.get_mut(copy.job).and_then(Option::take) {
                self.requeue(job);
            }
        }
    }

    /// Gives the delivery back to the source's broker.
    fn requeue(&self, job: Job) {
        drop(job);
        self.stats.settled(self.lane, &[(Outcome::Requeued, 1)]);
        self.flow.settled(1);
    }

    /// Lets the delivery wait, unacked, for its next try; given back at once when draining.
    fn retry_in_memory(&self, job: Job, delay: Duration) {
        if let Some(delivery) = self.queue.retry(job.delivery, delay) {
            drop(delivery);
            // Counted first: whoever sees the flow idle may read the counts.
            self.stats.settled(self.lane, &[(Outcome::Requeued, 1)]);
            self.flow.settled(1);
        }
    }

    fn settle(&self, jobs: impl Iterator<Item = Job>) {
        let now = Instant::now();
        let (mut delivered, mut filtered, mut dead, mut deferred) = (0, 0, 0, 0);
        for Job { delivery, fate, delivered: published, .. } in jobs {
            self.stats.delivery_seconds.observe(now.duration_since(delivery.received), 1);
            let settlement = match fate {
                Fate::DeadLetter(_) => {
                    dead += 1;
                    // Without a target of ours the broker's own policy applies.
                    if self.dead_letters.is_some() { Settlement::Ack } else { Settlement::Reject }
                }
                // In its retry queue; it comes again from there.
                Fate::Retry { .. } => {
                    deferred += 1;
                    Settlement::Ack
                }
                Fate::Done => {
                    *(if published { &mut delivered } else { &mut filtered }) += 1;
                    Settlement::Ack
                }
            };
            delivery.ack.settle(settlement);
        }
        self.stats.settled(
            self.lane,
            &[
                (Outcome::Delivered, delivered),
                (Outcome::Filtered, filtered),
                (Outcome::DeadLettered, dead),
                (Outcome::Deferred, deferred),
            ],
        );
        self.flow.settled((delivered + filtered + dead + deferred) as usize);
    }
}

/// Waits; false when told to abandon meanwhile.
async fn pause(phase: watch::Receiver<Phase>, delay: Duration) -> bool {
    tokio::select! {
        () = tokio::time::sleep(delay) => true,
        () = abandoned(phase) => false,
    }
}

/// A closed channel means that the pipeline is gone: that is the end of both waits.
async fn abandoned(mut phase: watch::Receiver<Phase>) {
    let _ = phase.wait_for(|phase| *phase == Phase::Abandon).await;
}
