//! Dispatch: publishes what the chain left of a batch, waits for the confirms, settles.
//!
//! One task per lane; it owns the lane's sinks, so one publish channel has one user. A block is
//! carried out whole before the next one starts: what is refused for a while, or whose outcome is
//! unknown, is put again here, in order, while the lane's queue and then the source back up.

use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::{Duration, Instant};

use futures_util::future::join_all;
use lockgate_message::state::Staged;
use lockgate_message::{Outcome, Settlement};
use lockgate_transport::{Outgoing, PutError, Sink, SinkConnector, reconnect};
use tokio::sync::{mpsc, watch};

use crate::dead_letter::Writer;
use crate::intake::{Flow, Phase};
use crate::job::{Cause, Fate, Job};
use crate::lane::LaneQueue;
use crate::settings::Settings;
use crate::stats::Stats;

/// Most messages carried out as one block; a block's publishes are pipelined. A crash doubles at
/// most this many a lane, and blocks of 256 were measured to reach the broker's limit.
const BLOCK: usize = 256;
/// Time a sink gets for closing.
const CLOSE: Duration = Duration::from_secs(2);

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
}

/// A copy still to be confirmed.
struct Pending {
    job: usize,
    sink: usize,
    outgoing: Outgoing,
    refusals: u32,
    /// Of a dead letter: 1 as it is, 2 in an envelope. 0 for the copies of a route.
    letter: u8,
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
        let next = jobs.recv().await;
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
            job.fate = match std::mem::replace(&mut job.fate, Fate::Done) {
                Fate::Retry { after, counted, cause } => {
                    if !counted || job.delivery.attempt < self.settings.attempts {
                        self.retry_later(job, after, counted);
                        continue;
                    }
                    let text =
                        format!("gave up after {} attempts: {}", job.delivery.attempt, cause.text);
                    Fate::DeadLetter(Cause { text, ..cause })
                }
                fate => fate,
            };
            let at = jobs.len();
            match &job.fate {
                Fate::DeadLetter(cause) => pending.extend(self.letter(at, &job, cause, 1)),
                _ => pending.extend(job.copies.drain(..).map(|copy| Pending {
                    job: at,
                    sink: copy.sink,
                    outgoing: copy.outgoing,
                    refusals: 0,
                    letter: 0,
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
                self.stats.state.set_problem(Some(format!("state: {error}")));
                let delay = self.settings.reconnect.delay(failures, u64::from(failures) * 7919);
                if !pause(self.phase.clone(), delay).await {
                    return false;
                }
            }
        }
        if failures > 0 {
            self.stats.state.set_problem(None);
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
            pending = self.round(jobs, pending).await;
        }
        if rounds > 1 {
            self.stats.state.set_problem(None);
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
            // The first failed copy of a job writes its dead letter.
            if matches!(job.fate, Fate::DeadLetter(_)) && copy.letter == 0 {
                continue;
            }
            let letter = self.letter(copy.job, job, &cause, copy.letter + 1);
            again.extend(letter);
            job.fate = Fate::DeadLetter(cause);
        }
        again
    }

    /// What the result of a put means; `None` to put the copy again.
    fn judge(&mut self, copy: &mut Pending, result: Result<(), PutError>) -> Option<Verdict> {
        let (reason, text) = match result {
            Ok(()) => return Some(Verdict::Stored),
            Err(PutError::Unknown(_)) => return None,
            Err(PutError::Invalid(text)) if copy.letter < 2 => ("invalid", text),
            Err(PutError::Unroutable(text)) if copy.letter == 0 => ("unroutable", text),
            Err(PutError::Nacked(text)) if copy.letter == 0 => {
                copy.refusals += 1;
                if copy.refusals < self.settings.attempts {
                    return None;
                }
                ("nacked", text)
            }
            Err(error) => {
                // A dead letter that cannot be stored holds its lane: dropping it is not ours
                // to decide.
                let problem = format!("dead-letter target: {error}");
                if self.stats.state.problem().as_ref() != Some(&problem) {
                    tracing::error!(error = %problem, "cannot store a dead letter, waiting");
                    self.stats.state.set_problem(Some(problem));
                }
                return None;
            }
        };
        Some(Verdict::Failed(Cause::after_chain(reason, text)))
    }

    /// The dead letter of a job, or nothing where the pipeline has no target for them.
    fn letter(&self, at: usize, job: &Job, cause: &Cause, letter: u8) -> Option<Pending> {
        let writer = self.dead_letters.as_ref()?;
        let outgoing = writer.write(&job.delivery, cause, letter > 1);
        Some(Pending { job: at, sink: writer.target.sink, outgoing, refusals: 0, letter })
    }

    /// Puts the copies of each sink as one block, the sinks side by side.
    async fn put_once(&mut self, pending: &[Pending]) -> Vec<Result<(), PutError>> {
        let mut results: Vec<_> = pending
            .iter()
            .map(|_| Err(PutError::Unknown("the sink is not connected".into())))
            .collect();
        let puts = self.sinks.iter_mut().enumerate().filter_map(|(index, slot)| {
            let mut sink = slot.take()?;
            let (places, block): (Vec<_>, Vec<_>) = pending
                .iter()
                .enumerate()
                .filter(|(_, p)| p.sink == index)
                .map(|(place, p)| (place, p.outgoing.clone()))
                .unzip();
            Some(async move {
                let results = if block.is_empty() { Vec::new() } else { sink.put(&block).await };
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
            let dead = put.iter().any(|result| matches!(result, Err(PutError::Unknown(_))));
            for (place, result) in places.into_iter().zip(put) {
                if let Some(slot) = results.get_mut(place) {
                    *slot = result;
                }
            }
            if dead {
                self.stats.state.sinks_connected.fetch_sub(1, Ordering::AcqRel);
                self.stats.reconnects.fetch_add(1, Ordering::Relaxed);
                tokio::spawn(sink.close(CLOSE));
            } else if let Some(slot) = self.sinks.get_mut(index) {
                *slot = Some(sink);
            }
        }
        results
    }

    /// Connects the sinks that `pending` needs; false when told to abandon meanwhile.
    async fn connect_sinks(&mut self, pending: &[Pending]) -> bool {
        for index in 0..self.sinks.len() {
            let missing = self.sinks.get(index).is_some_and(Option::is_none);
            if !missing || !pending.iter().any(|p| p.sink == index) {
                continue;
            }
            let Some(connector) = self.connectors.get(index).cloned() else {
                continue;
            };
            let sink = loop {
                let what = connector.describe();
                let connecting =
                    reconnect(&what, self.settings.reconnect, || connector.connect(self.lane));
                let connected = tokio::select! {
                    connected = connecting => connected,
                    () = abandoned(self.phase.clone()) => return false,
                };
                match connected {
                    Ok(sink) => break sink,
                    Err(error) => {
                        // Refused for good at start-up this ends the pipeline; in service it may
                        // be mended on the broker, and the messages in hand wait for it.
                        tracing::error!(target = what, %error, "cannot connect the target, waiting");
                        self.stats.state.set_problem(Some(format!("{what}: {error}")));
                        if !pause(self.phase.clone(), self.settings.reconnect.max).await {
                            return false;
                        }
                    }
                }
            };
            if let Some(slot) = self.sinks.get_mut(index) {
                *slot = Some(sink);
                self.stats.state.sinks_connected.fetch_add(1, Ordering::AcqRel);
            }
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

    /// Holds the delivery, unacked, until its next try; given back at once when draining.
    fn retry_later(&self, job: Job, after: Option<Duration>, counted: bool) {
        let mut delivery = job.delivery;
        let random = delivery.received.elapsed().as_nanos() as u64;
        let after = after.unwrap_or_else(|| self.settings.retry.delay(delivery.attempt, random));
        delivery.attempt += u32::from(counted);
        let (queue, flow, stats) = (self.queue.clone(), self.flow.clone(), self.stats.clone());
        let (lane, phase) = (self.lane, self.phase.clone());
        tokio::spawn(async move {
            let late = tokio::select! {
                () = tokio::time::sleep(after) => queue.push([delivery]),
                () = draining(phase) => vec![delivery],
            };
            if !late.is_empty() {
                // Counted first: whoever sees the flow idle may read the counts.
                stats.settled(lane, &[(Outcome::Requeued, late.len() as u64)]);
                flow.settled(late.len());
            }
        });
    }

    fn settle(&self, jobs: impl Iterator<Item = Job>) {
        let now = Instant::now();
        let (mut delivered, mut filtered, mut dead) = (0, 0, 0);
        for Job { delivery, fate, delivered: published, .. } in jobs {
            self.stats.delivery_seconds.observe(now.duration_since(delivery.received), 1);
            let settlement = match fate {
                Fate::DeadLetter(_) => {
                    dead += 1;
                    // Without a target of ours the broker's own policy applies.
                    if self.dead_letters.is_some() { Settlement::Ack } else { Settlement::Reject }
                }
                _ => {
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
            ],
        );
        self.flow.settled((delivered + filtered + dead) as usize);
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

async fn draining(mut phase: watch::Receiver<Phase>) {
    let _ = phase.wait_for(|phase| *phase != Phase::Run).await;
}
