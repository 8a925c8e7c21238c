//! Assembles a pipeline from its parts, starts it, stops it.

use std::sync::Arc;
use std::time::Duration;

use lockgate_message::{Delivery, Outcome};
use lockgate_transport::{ConnectError, SinkConnector, Source, SourceConnector, reconnect};
use tokio::sync::{mpsc, oneshot, watch};
use tokio::task::JoinHandle;
use tokio::time::{Instant, timeout_at};

use crate::chain::Chain;
use crate::condition::Component;
use crate::dead_letter::Writer;
use crate::dispatch::{Dispatcher, Finish, Sinks};
use crate::executor::Executor;
use crate::intake::{Flow, Intake, Phase};
use crate::job::{Fate, Job};
use crate::lane::LaneQueue;
use crate::retry;
use crate::route::{Routes, Target};
use crate::settings::{Order, Settings};
use crate::stats::{StageStats, Stats};

/// Batches that may wait between a lane's thread and its dispatcher.
const LANE_AHEAD: usize = 4;

/// How much of the drain deadline is kept for giving back and closing: as much as a source that does
/// not answer takes.
const CLOSING: Duration = Duration::from_secs(5);
/// Time for giving back and closing where the settings leave none.
const SHORTEST: Duration = Duration::from_secs(1);

/// What a pipeline is made of.
pub struct Parts {
    pub name: String,
    pub source: Arc<dyn SourceConnector>,
    pub chain: Chain,
    /// One per distinct target connection; [`Target::sink`] points into it.
    pub sinks: Vec<Arc<dyn SinkConnector>>,
    pub routes: Routes,
    pub dead_letter: Option<Target>,
    pub settings: Settings,
}

/// Why a pipeline did not start, or ended.
#[derive(Debug, thiserror::Error)]
pub enum PipelineError {
    /// A stage could not be opened.
    #[error("{0}")]
    Stage(String),
    /// The machine has no thread for a lane.
    #[error("cannot start a thread: {0}")]
    Thread(std::io::Error),
    /// The source or a target refuses for good: mend the configuration or the broker.
    #[error("{error}")]
    Refused {
        /// Which of [`Parts::sinks`]; the source for `None`.
        sink: Option<usize>,
        error: ConnectError,
    },
}

/// A pipeline at work.
pub struct Running {
    pub name: String,
    pub generation: u64,
    pub stats: Arc<Stats>,
    phase: watch::Sender<Phase>,
    /// Turns true when intake takes no more.
    draining: watch::Receiver<bool>,
    task: JoinHandle<()>,
    settings: Arc<Settings>,
}

/// A pipeline that is not connected to anything yet.
pub struct Prepared {
    parts: Parts,
    stats: Arc<Stats>,
}

/// Gives a pipeline its counters, before anything can be counted.
pub fn prepare(mut parts: Parts) -> Prepared {
    let Parts { name, chain, sinks, settings, .. } = &mut parts;
    settings.lanes = if settings.order == Order::Strict { 1 } else { settings.lanes.max(1) };
    settings.hold &= settings.order != Order::None;
    let stages = chain.stages.iter().map(|stage| Arc::new(StageStats::new(stage.name())));
    let stats = Stats::new(name, settings.lanes, stages.collect());
    stats.conditions.not_yet(Component::Source, 0);
    for sink in 0..settings.lanes * sinks.len() {
        stats.conditions.not_yet(Component::Target, sink);
    }
    Prepared { stats: Arc::new(stats), parts }
}

/// [`prepare`] and [`Prepared::start`].
///
/// # Errors
/// As `Prepared::start`.
pub async fn start(parts: Parts, running: watch::Receiver<bool>) -> Result<Running, PipelineError> {
    prepare(parts).start(running).await
}

impl Prepared {
    /// What it is made of.
    pub fn parts(&self) -> &Parts {
        &self.parts
    }

    /// Its counters, and what is in its way.
    pub fn stats(&self) -> Arc<Stats> {
        self.stats.clone()
    }

    /// Makes what the targets and the source declare, so that [`Prepared::start`] of this and other
    /// pipelines finds it. Waits, with back-off, for brokers that are away, until `running` turns
    /// false.
    ///
    /// # Errors
    /// What cannot heal by waiting.
    pub async fn declare(&self, running: watch::Receiver<bool>) -> Result<(), PipelineError> {
        let Parts { sinks, source, settings, .. } = &self.parts;
        let conditions = &self.stats.conditions;
        for (index, sink) in sinks.iter().enumerate() {
            let failed = |error: &_| conditions.bad(Component::Target, index, error);
            let declaring = reconnect(settings.reconnect, || sink.declare(), failed);
            let declared = unless_stopped(declaring, running.clone()).await;
            declared.map_err(|error| PipelineError::Refused { sink: Some(index), error })?;
        }
        let failed = |error: &_| conditions.bad(Component::Source, 0, error);
        let declaring = reconnect(settings.reconnect, || source.declare(), failed);
        let declared = unless_stopped(declaring, running).await;
        declared.map_err(|error| PipelineError::Refused { sink: None, error })
    }

    /// Opens the stages, connects the targets and the source, and runs.
    ///
    /// Waits, with back-off, for brokers that are away, until `running` turns false.
    ///
    /// # Errors
    /// What cannot heal by waiting.
    pub async fn start(self, running: watch::Receiver<bool>) -> Result<Running, PipelineError> {
        connect(self.parts, self.stats, running).await
    }
}

async fn connect(
    parts: Parts,
    stats: Arc<Stats>,
    running: watch::Receiver<bool>,
) -> Result<Running, PipelineError> {
    let Parts { name, source: connector, chain, sinks, routes, dead_letter, settings } = parts;
    let (settings, chain) = (Arc::new(settings), Arc::new(chain));
    let (phase, phase_seen) = watch::channel(Phase::Run);
    let generation = chain.generation;
    let mut lanes = Lanes {
        queues: Vec::new(),
        dispatchers: Vec::new(),
        chain,
        connectors: sinks.into(),
        routes: Arc::new(routes),
        dead_letters: dead_letter
            .map(|target| Arc::new(Writer { pipeline: name.clone(), generation, target })),
        settings: settings.clone(),
        stats,
        flow: Arc::new(Flow::new()),
        phase: phase_seen,
    };
    let source = match lanes.start_all(&name, &*connector, running).await {
        Ok(source) => source,
        Err(error) => {
            lanes.queues.iter().for_each(|queue| drop(queue.close()));
            return Err(error);
        }
    };
    let stats = lanes.stats.clone();
    let (drains, draining) = watch::channel(false);
    let task = tokio::spawn(lanes.run(connector, source, drains));
    Ok(Running { name, generation, stats, phase, draining, task, settings })
}

impl Running {
    /// Waits until the pipeline ends by itself, which it does only when it dies.
    pub async fn ended(&mut self) -> String {
        match (&mut self.task).await {
            Ok(()) => "its source ended".to_owned(),
            Err(error) => error.to_string(),
        }
    }

    /// Takes no more, finishes what is in flight, gives the rest back, closes: all of it within the
    /// drain deadline, of which the last part, [`CLOSING`] at most, is for giving back and closing.
    /// True when nothing had to be given back for lack of time.
    ///
    /// What cannot even be given back by then (a plugin call that goes on, a broker that answers
    /// nothing) is left: the broker delivers it again once this process has gone.
    pub async fn stop(mut self) -> bool {
        let drain = self.settings.drain.max(SHORTEST);
        let end = Instant::now() + drain;
        self.phase.send_replace(Phase::Drain);
        // However little time there is: before anything is given back, the source must know how. It
        // fails only when intake has ended.
        let _ = timeout_at(end, self.draining.wait_for(|draining| *draining)).await;
        let in_time = timeout_at(end - CLOSING.min(drain / 4), &mut self.task).await.is_ok();
        if !in_time {
            self.phase.send_replace(Phase::Abandon);
            if timeout_at(end, &mut self.task).await.is_err() {
                tracing::warn!(
                    pipeline = self.name,
                    "not all was given back within the drain deadline; the broker delivers it again"
                );
                self.task.abort();
            }
        }
        in_time
    }
}

struct Lanes {
    queues: Vec<Arc<LaneQueue>>,
    dispatchers: Vec<JoinHandle<()>>,
    chain: Arc<Chain>,
    connectors: Arc<[Arc<dyn SinkConnector>]>,
    routes: Arc<Routes>,
    dead_letters: Option<Arc<Writer>>,
    settings: Arc<Settings>,
    stats: Arc<Stats>,
    flow: Arc<Flow>,
    phase: watch::Receiver<Phase>,
}

impl Lanes {
    /// Starts every lane, then connects the source: nothing is taken before it can go on.
    async fn start_all(
        &mut self,
        pipeline: &str,
        connector: &dyn SourceConnector,
        running: watch::Receiver<bool>,
    ) -> Result<Box<dyn Source>, PipelineError> {
        for lane in 0..self.settings.lanes {
            self.start(pipeline, lane, running.clone()).await?;
        }
        let failed = |error: &_| self.stats.conditions.bad(Component::Source, 0, error);
        let connecting = reconnect(self.settings.reconnect, || connector.connect(), failed);
        let connected = unless_stopped(connecting, running).await;
        connected.map_err(|error| PipelineError::Refused { sink: None, error })
    }

    /// Runs from the first delivery to the last settlement.
    async fn run(
        self,
        connector: Arc<dyn SourceConnector>,
        source: Box<dyn Source>,
        drains: watch::Sender<bool>,
    ) {
        let letters = self.stats.letters.clone();
        let intake = Intake {
            connector,
            lanes: self.queues,
            settings: self.settings,
            stats: self.stats,
            flow: self.flow,
            phase: self.phase,
            drains,
        };
        intake.run(source).await;
        for dispatcher in self.dispatchers {
            if let Err(error) = dispatcher.await {
                tracing::error!(%error, "a dispatcher died; its messages come back");
            }
        }
        letters.flush();
    }

    /// Starts a lane's thread, opens its stages there, connects its sinks.
    async fn start(
        &mut self,
        pipeline: &str,
        lane: usize,
        running: watch::Receiver<bool>,
    ) -> Result<(), PipelineError> {
        let queue =
            Arc::new(LaneQueue::new(self.settings.batch_max.max(1), self.settings.order.clone()));
        self.queues.push(queue.clone());
        let (jobs, jobs_taken) = mpsc::channel(LANE_AHEAD);
        let (opened, open) = oneshot::channel();
        let worker = Worker {
            lane,
            queue: queue.clone(),
            jobs,
            settings: self.settings.clone(),
            stats: self.stats.clone(),
            flow: self.flow.clone(),
        };
        let (chain, routes) = (self.chain.clone(), self.routes.clone());
        let stage_stats = self.stats.stages.clone();
        std::thread::Builder::new()
            .name(format!("{pipeline}/{lane}"))
            .stack_size(self.settings.lane_stack)
            .spawn(move || match chain.open(lane, worker.settings.retry, &stage_stats) {
                Ok(chain) => {
                    if opened.send(Ok(())).is_ok() {
                        let id = worker.settings.id.clone();
                        worker.run(Executor::new(chain, routes, id));
                    }
                }
                Err(error) => drop(opened.send(Err(error))),
            })
            .map_err(PipelineError::Thread)?;
        open.await
            .map_err(|_| PipelineError::Stage("a lane's thread died".to_owned()))?
            .map_err(PipelineError::Stage)?;
        let mut sinks = Vec::new();
        for (index, connector) in self.connectors.iter().enumerate() {
            let by = lane * self.connectors.len() + index;
            let failed = |error: &_| self.stats.conditions.bad(Component::Target, by, error);
            let connecting = reconnect(self.settings.reconnect, || connector.connect(lane), failed);
            match unless_stopped(connecting, running.clone()).await {
                Ok(sink) => sinks.push(Some(sink)),
                Err(error) => return Err(PipelineError::Refused { sink: Some(index), error }),
            }
            self.stats.conditions.good(Component::Target, by);
        }
        let finish = Finish {
            lane,
            dead_letters: self.dead_letters.is_some(),
            settings: self.settings.clone(),
            stats: self.stats.clone(),
            flow: self.flow.clone(),
            phase: self.phase.clone(),
        };
        let sinks = Sinks::new(
            lane,
            self.connectors.clone(),
            sinks,
            self.settings.reconnect,
            self.stats.clone(),
            self.phase.clone(),
        );
        let dispatcher = Dispatcher::new(sinks, self.dead_letters.clone(), queue, finish);
        self.dispatchers.push(tokio::spawn(dispatcher.run(jobs_taken)));
        Ok(())
    }
}

/// A lane's thread.
struct Worker {
    lane: usize,
    queue: Arc<LaneQueue>,
    jobs: mpsc::Sender<Vec<Job>>,
    settings: Arc<Settings>,
    stats: Arc<Stats>,
    flow: Arc<Flow>,
}

impl Worker {
    fn run(self, mut executor: Executor) {
        let mut batch = Vec::with_capacity(self.settings.batch_max);
        let mut back = Vec::new();
        while self.queue.take(self.settings.batch_bytes, &mut batch, &mut back) {
            // What the broker delivers again anyway is not worth the work, nor the double.
            back.extend(batch.extract_if(.., |delivery: &mut Delivery| !delivery.ack.is_live()));
            let mut jobs = executor.run(batch.drain(..));
            if self.settings.hold {
                jobs = self.hold(jobs, &mut back);
            }
            self.given_back(back.drain(..).count());
            if jobs.is_empty() {
                continue;
            }
            if let Err(unsent) = self.jobs.blocking_send(jobs) {
                self.given_back(unsent.0.len());
            }
        }
    }

    /// Takes out what is to be tried again, and what must stay behind it.
    fn hold(&self, jobs: Vec<Job>, back: &mut Vec<Delivery>) -> Vec<Job> {
        let mut go_on = Vec::with_capacity(jobs.len());
        for mut job in jobs {
            let Some(delivery) = self.queue.follow(job.delivery, back) else { continue };
            job.delivery = delivery;
            match job.fate {
                Fate::Retry { delay, counted } => {
                    if counted {
                        retry::count(&mut job.delivery);
                    }
                    back.extend(self.queue.hold(job.delivery, delay));
                }
                Fate::Done | Fate::DeadLetter(_) => go_on.push(job),
            }
        }
        go_on
    }

    fn given_back(&self, count: usize) {
        self.stats.settled(self.lane, &[(Outcome::Requeued, count as u64)]);
        self.flow.settled(count);
    }
}

/// Gives up waiting when `running` turns false.
async fn unless_stopped<T>(
    connecting: impl Future<Output = Result<T, ConnectError>>,
    mut running: watch::Receiver<bool>,
) -> Result<T, ConnectError> {
    tokio::select! {
        connected = connecting => connected,
        _ = running.wait_for(|running| !running) => {
            Err(ConnectError::Retry("stopped before it was connected".into()))
        }
    }
}
