//! Executor: runs a batch of deliveries through the chain and leaves a job for each.

use std::borrow::Cow;
use std::collections::HashSet;
use std::sync::Arc;
use std::time::{Duration, Instant};

use lockgate_message::{
    Delivery, Emitted, Failure, Fault, FaultKind, Input, Message, Properties, Reason, Verdict,
};

use crate::chain::{OpenChain, OpenStage};
use crate::job::{Cause, Copy, Fate, Job};
use crate::route::{DEFAULT_ROUTE, Routes};
use crate::settings::KeySource;
use crate::stage::OnError;
use crate::stats::VERDICTS;

/// Most messages that one source message may become over the whole chain (delivery.md).
const MAX_EMITTED: usize = 1000;
/// Most body bytes of them together.
const MAX_EMITTED_BYTES: usize = 64 << 20;
/// Longest a stage with an open breaker holds a message before it is tried again.
const BREAKER_PAUSE: Duration = Duration::from_secs(1);

pub(crate) struct Executor {
    chain: OpenChain,
    routes: Arc<Routes>,
    /// What gives a message an id where it came without one.
    id: Option<KeySource>,
    verdicts: Vec<Verdict>,
}

/// A message still in the chain, and the job it belongs to.
struct Live {
    job: usize,
    message: Message,
}

impl Executor {
    pub(crate) fn new(chain: OpenChain, routes: Arc<Routes>, id: Option<KeySource>) -> Self {
        Self { chain, routes, id, verdicts: Vec::new() }
    }

    /// One job per delivery, in order.
    pub(crate) fn run(&mut self, deliveries: impl IntoIterator<Item = Delivery>) -> Vec<Job> {
        let mut jobs: Vec<Job> = deliveries.into_iter().map(Job::new).collect();
        let mut live = Vec::with_capacity(jobs.len());
        for (job, entry) in jobs.iter_mut().enumerate() {
            match &entry.delivery.quarantine {
                None => {
                    let mut message = entry.delivery.message.clone();
                    if let Some(key) = &self.id {
                        identify(&mut message, key);
                    }
                    live.push(Live { job, message });
                }
                Some(quarantine) => {
                    let text = "the message's head cannot be carried; kept raw";
                    entry.worsen(Fate::DeadLetter(Cause::after_chain(quarantine.reason, text)));
                }
            }
        }
        for stage in &mut self.chain.stages {
            if live.is_empty() {
                break;
            }
            judge(stage, &jobs, &live, &mut self.verdicts);
            for (at, staged) in stage.stage.staged() {
                if let Some(job) = live.get(at).and_then(|live| jobs.get_mut(live.job)) {
                    job.staged.push(staged);
                }
            }
            live = apply(stage, &self.routes, &mut jobs, live, &mut self.verdicts);
        }
        for Live { job, message } in live {
            if let Some(job) = jobs.get_mut(job) {
                leave(job, &self.routes, DEFAULT_ROUTE, message, &Arc::from(""), &Arc::from(""));
            }
        }
        for job in &mut jobs {
            // Nothing of a message that failed is published or remembered: a replay would double
            // it, or be taken for a double.
            if !matches!(job.fate, Fate::Done) {
                job.copies.clear();
                job.staged.clear();
            }
        }
        jobs
    }
}

/// Asks the stage; afterwards there is exactly one verdict per live message.
fn judge(stage: &mut OpenStage, jobs: &[Job], live: &[Live], verdicts: &mut Vec<Verdict>) {
    verdicts.clear();
    let inputs: Vec<Input<'_>> = live
        .iter()
        .map(|live| {
            let delivery = jobs.get(live.job).map(|job| &job.delivery);
            Input {
                message: &live.message,
                redelivered: delivery.is_some_and(|d| d.redelivered),
                attempt: delivery.map_or(1, |d| d.attempt),
            }
        })
        .collect();
    let start = Instant::now();
    stage.stage.process(&inputs, verdicts);
    let count = inputs.len() as u64;
    stage.stats.seconds.observe(start.elapsed() / inputs.len().max(1) as u32, count);
    verdicts.resize_with(inputs.len(), || {
        let text = "the stage gave no verdict on this message".to_owned();
        Verdict::Fault(Fault { kind: FaultKind::BadOutput, text })
    });
    let mut counts = [0; VERDICTS.len()];
    for verdict in verdicts.iter() {
        let at = VERDICTS.iter().position(|name| *name == verdict.name());
        if let Some(count) = at.and_then(|at| counts.get_mut(at)) {
            *count += 1;
        }
    }
    stage.stats.add_verdicts(&counts);
}

/// Carries the verdicts out; returns the messages that go on.
fn apply(
    stage: &OpenStage,
    routes: &Routes,
    jobs: &mut [Job],
    live: Vec<Live>,
    verdicts: &mut Vec<Verdict>,
) -> Vec<Live> {
    let mut next = Vec::with_capacity(live.len());
    let rivals = rivals(&live, verdicts);
    for (mut live, verdict) in live.into_iter().zip(verdicts.drain(..)) {
        let Some(job) = jobs.get_mut(live.job) else {
            continue;
        };
        match verdict {
            Verdict::Pass => next.push(live),
            Verdict::Modify(delta) => {
                delta.apply(&mut live.message);
                next.push(live);
            }
            Verdict::Route { routes: mut names, delta } => {
                delta.apply(&mut live.message);
                let mut seen = HashSet::new();
                names.retain(|name| seen.insert(name.clone()));
                for name in names {
                    leave(job, routes, &name, live.message.clone(), &stage.name, &stage.plugin);
                }
            }
            Verdict::Emit(children) => emit(stage, routes, job, &live, children, &mut next),
            Verdict::Drop { reason } => count_reason(stage, reason.as_ref()),
            Verdict::Wait { after, text, away: false } if rivals.contains(&live.job) => {
                again(stage, job, Some(after), cause(stage, "retry".into(), text));
            }
            verdict => fail(stage, job, live, verdict, &mut next),
        }
    }
    next
}

/// Jobs of which one message got past the stage while another waits: perhaps for that one, and they
/// would wait for ever, were no attempt counted.
fn rivals(live: &[Live], verdicts: &[Verdict]) -> HashSet<usize> {
    let of = |which: fn(&Verdict) -> bool| {
        let these = live.iter().zip(verdicts).filter(move |(_, verdict)| which(verdict));
        these.map(|(live, _)| live.job)
    };
    let waiting: HashSet<usize> = of(|verdict| matches!(verdict, Verdict::Wait { .. })).collect();
    if waiting.is_empty() {
        return waiting;
    }
    of(Verdict::is_done).filter(|job| waiting.contains(job)).collect()
}

/// Carries out the verdicts by which a message ends badly, or is tried again.
fn fail(stage: &OpenStage, job: &mut Job, live: Live, verdict: Verdict, next: &mut Vec<Live>) {
    match verdict {
        Verdict::Reject { reason, text } => {
            count_reason(stage, reason.as_ref());
            let reason = reason.unwrap_or_else(|| "rejected".into());
            job.worsen(Fate::DeadLetter(cause(stage, reason, text)));
        }
        Verdict::Retry { after, text } => {
            again(stage, job, after, cause(stage, "retry".into(), text));
        }
        Verdict::Wait { after, .. } => job.worsen(Fate::Retry { delay: after, counted: false }),
        Verdict::Fail { failure: Failure::Dependency, text } => {
            again(stage, job, None, cause(stage, "dependency".into(), text));
        }
        Verdict::Fail { failure, text } => {
            let word = match failure {
                Failure::BadMessage => "bad_message",
                _ => "internal",
            };
            failed(stage, job, live, cause(stage, word.into(), text), next);
        }
        Verdict::Fault(Fault { kind: FaultKind::BreakerOpen, .. }) => {
            // Nothing is known about the message: it waits, and no attempt is counted.
            job.worsen(Fate::Retry { delay: BREAKER_PAUSE, counted: false });
        }
        Verdict::Fault(fault) => {
            let cause = cause(stage, fault.kind.name().into(), fault.text);
            failed(stage, job, live, cause, next);
        }
        Verdict::Pass
        | Verdict::Modify(_)
        | Verdict::Route { .. }
        | Verdict::Emit(_)
        | Verdict::Drop { .. } => {}
    }
}

/// A failure without a verdict of its own: the stage's `on_error` decides.
fn failed(stage: &OpenStage, job: &mut Job, live: Live, cause: Cause, next: &mut Vec<Live>) {
    match stage.on_error {
        OnError::DeadLetter => job.worsen(Fate::DeadLetter(cause)),
        OnError::Retry => again(stage, job, None, cause),
        OnError::Drop => stage.stats.add_reason(&"on_error_drop".into()),
        OnError::Pass => next.push(live),
    }
}

/// Another try, or the dead letter when there were enough.
fn again(stage: &OpenStage, job: &mut Job, after: Option<Duration>, cause: Cause) {
    let (attempt, policy) = (job.delivery.attempt, stage.retry);
    if attempt >= policy.attempts {
        let text = format!("gave up after {attempt} attempts: {}", cause.text);
        return job.worsen(Fate::DeadLetter(Cause { text, ..cause }));
    }
    let random = job.delivery.received.elapsed().as_nanos() as u64;
    let delay = after.unwrap_or_else(|| policy.backoff.delay(attempt, random));
    job.worsen(Fate::Retry { delay, counted: true });
}

fn emit(
    stage: &OpenStage,
    routes: &Routes,
    job: &mut Job,
    live: &Live,
    children: Vec<Emitted>,
    next: &mut Vec<Live>,
) {
    let several = children.len() > 1;
    for (index, child) in children.into_iter().enumerate() {
        let mut message = live.message.clone();
        if several {
            number_child(&mut message, index);
        }
        child.delta.apply(&mut message);
        job.emitted += 1;
        job.emitted_bytes = job.emitted_bytes.saturating_add(message.body().len());
        if job.emitted > MAX_EMITTED || job.emitted_bytes > MAX_EMITTED_BYTES {
            let text = format!(
                "one message became more than {MAX_EMITTED}, or than {MAX_EMITTED_BYTES} bytes"
            );
            let reason = FaultKind::OutputTooLarge.name().into();
            return job.worsen(Fate::DeadLetter(cause(stage, reason, text)));
        }
        match child.route {
            None => next.push(Live { job: live.job, message }),
            Some(route) => leave(job, routes, &route, message, &stage.name, &stage.plugin),
        }
    }
}

/// Gives a message without an id the one that `key` derives, so that a consumer can tell doubles.
fn identify(message: &mut Message, key: &KeySource) {
    if message.head().properties.message_id.is_some() {
        return;
    }
    if let Some(id) = key.text(message).map(Cow::into_owned).filter(|id| id.len() <= 255) {
        message.head_mut().properties.message_id = Some(id);
    }
}

/// Children of a split carry the parent's id with `/n`, so that a consumer can tell them apart.
fn number_child(message: &mut Message, index: usize) {
    if let Properties { message_id: Some(id), .. } = &message.head().properties {
        let id = format!("{id}/{index}");
        message.head_mut().properties.message_id = Some(id);
    }
}

/// Sends a message out by a named route.
fn leave(
    job: &mut Job,
    routes: &Routes,
    name: &str,
    message: Message,
    stage: &Arc<str>,
    plugin: &Arc<str>,
) {
    match routes.get(name) {
        Some(target) => {
            job.copies.push(Copy { sink: target.sink, outgoing: target.outgoing(message) });
        }
        None => {
            let text = format!("the pipeline has no route `{}`", name.escape_debug());
            let reason = "unknown_route".into();
            let (stage, plugin) = (stage.clone(), plugin.clone());
            job.worsen(Fate::DeadLetter(Cause { stage, plugin, reason, text }));
        }
    }
}

fn cause(stage: &OpenStage, reason: Reason, text: String) -> Cause {
    Cause { stage: stage.name.clone(), plugin: stage.plugin.clone(), reason, text }
}

fn count_reason(stage: &OpenStage, reason: Option<&Reason>) {
    if let Some(reason) = reason {
        stage.stats.add_reason(reason);
    }
}
