//! Intake: takes deliveries from the source and gives them to lanes, never more than the
//! in-flight limit.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use lockgate_message::{Delivery, Outcome};
use lockgate_transport::{Source, SourceConnector, SourceError};
use tokio::sync::{Notify, watch};
use tokio::time::Instant;

use crate::condition::{Component, Conditions};
use crate::lane::LaneQueue;
use crate::life::Life;
use crate::retry;
use crate::settings::{Order, Settings};
use crate::stats::Stats;

/// Most deliveries taken from the source at once.
const TAKE: usize = 256;
/// Time a source gets for flushing its settlements and closing.
const CLOSE: Duration = Duration::from_secs(5);

/// How far the pipeline is on its way out.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Phase {
    Run,
    /// Take no more, finish what is in flight.
    Drain,
    /// Time is up: give back what is in flight.
    Abandon,
}

/// Counts what is taken and not settled.
pub(crate) struct Flow {
    in_flight: AtomicUsize,
    changed: Notify,
}

impl Flow {
    pub(crate) fn new() -> Self {
        Self { in_flight: AtomicUsize::new(0), changed: Notify::new() }
    }

    pub(crate) fn settled(&self, count: usize) {
        if count > 0 {
            self.in_flight.fetch_sub(count, Ordering::AcqRel);
            self.changed.notify_one();
        }
    }

    /// Waits until fewer than `limit` are in flight; says how many more may be taken.
    async fn room(&self, limit: usize) -> usize {
        loop {
            let room = limit.saturating_sub(self.in_flight.load(Ordering::Acquire));
            if room > 0 {
                return room;
            }
            self.changed.notified().await;
        }
    }

    async fn idle(&self) {
        while self.in_flight.load(Ordering::Acquire) > 0 {
            self.changed.notified().await;
        }
    }
}

pub(crate) struct Intake {
    pub(crate) connector: Arc<dyn SourceConnector>,
    pub(crate) lanes: Vec<Arc<LaneQueue>>,
    pub(crate) settings: Arc<Settings>,
    pub(crate) stats: Arc<Stats>,
    pub(crate) flow: Arc<Flow>,
    pub(crate) phase: watch::Receiver<Phase>,
    /// Told when no more is taken.
    pub(crate) drains: watch::Sender<bool>,
}

/// Why a source generation ended.
enum Ended {
    Lost(String),
    Drained,
}

impl Intake {
    /// Runs from `source` on until the pipeline is stopped and drained.
    pub(crate) async fn run(mut self, source: Box<dyn Source>) {
        let mut live = Some(source);
        let mut life = Life::new();
        while let Some(mut source) = live.take() {
            life.begins();
            match self.generation(&mut *source, life.trusted()).await {
                Ended::Drained => {
                    live = Some(source);
                    break;
                }
                Ended::Lost(why) => self.conditions().bad(Component::Source, 0, why),
            }
            self.stats.reconnects.fetch_add(1, Ordering::Relaxed);
            tokio::spawn(source.close(Duration::ZERO));
            self.given_back(|queue| queue.forget_dead());
            life.ends();
            live = self.connect_again(life).await;
        }
        self.drain(live).await;
    }

    fn conditions(&self) -> &Conditions {
        &self.stats.conditions
    }

    /// Settles what `take` takes out of each lane as given back.
    fn given_back(&self, take: impl Fn(&LaneQueue) -> Vec<Delivery>) {
        for (lane, queue) in self.lanes.iter().enumerate() {
            let count = take(queue).len();
            self.stats.settled(lane, &[(Outcome::Requeued, count as u64)]);
            self.flow.settled(count);
        }
    }

    /// `None` when stopped meanwhile.
    async fn connect_again(&self, life: Life) -> Option<Box<dyn Source>> {
        let mut stop = self.phase.clone();
        let failed = |error: &_| self.conditions().not_connected(Component::Source, 0, error);
        let connect = || self.connector.connect();
        tokio::select! {
            source = life.connect(self.settings.reconnect, connect, failed) => Some(source),
            _ = stop.wait_for(|phase| *phase != Phase::Run) => None,
        }
    }

    /// Feeds the lanes from one source generation, which is taken to work from `trusted` on.
    async fn generation(&self, source: &mut dyn Source, trusted: Instant) -> Ended {
        let limit = self.settings.in_flight;
        let mut taken = Vec::with_capacity(TAKE);
        let (mut stopping, mut works) = (false, false);
        let (mut stop, mut abandon) = (self.phase.clone(), self.phase.clone());
        loop {
            let next = async {
                let room = tokio::select! {
                    biased;
                    room = self.flow.room(limit) => room,
                    lost = source.lost() => return Err(lost),
                };
                source.next(room.min(TAKE), &mut taken).await
            };
            let step = tokio::select! {
                result = next => Some(result),
                () = tokio::time::sleep_until(trusted), if !works => {
                    works = true;
                    self.conditions().good(Component::Source, 0);
                    continue;
                }
                _ = stop.wait_for(|phase| *phase != Phase::Run), if !stopping => None,
                _ = abandon.wait_for(|phase| *phase == Phase::Abandon), if stopping => {
                    return Ended::Drained;
                }
            };
            let Some(result) = step else {
                if self.settings.order != Order::None {
                    // What the broker has sent and nobody has taken goes back with the rest.
                    source.return_in_order();
                    self.drains.send_replace(true);
                    self.given_back(LaneQueue::drain);
                    return Ended::Drained;
                }
                stopping = true;
                self.drains.send_replace(true);
                tokio::select! {
                    // The answer is behind all that a slow line still carries.
                    () = source.cancel() => {}
                    _ = abandon.wait_for(|phase| *phase == Phase::Abandon) => {
                        return Ended::Drained;
                    }
                }
                self.given_back(LaneQueue::drain);
                continue;
            };
            self.feed(&mut taken);
            match result {
                Ok(()) => {}
                Err(SourceError::End) => return Ended::Drained,
                Err(SourceError::Lost(error)) => return Ended::Lost(error),
            }
        }
    }

    /// Gives what was taken to lanes.
    fn feed(&self, taken: &mut Vec<Delivery>) {
        taken.iter_mut().for_each(retry::come_back);
        match &self.settings.order {
            Order::Key(key) if self.lanes.len() > 1 => {
                let mut shares: Vec<Vec<Delivery>> =
                    self.lanes.iter().map(|_| Vec::new()).collect();
                for delivery in taken.drain(..) {
                    let lane = key.lane(&delivery.message, self.lanes.len());
                    if let Some(share) = shares.get_mut(lane) {
                        share.push(delivery);
                    }
                }
                for (lane, share) in shares.into_iter().enumerate() {
                    self.give(lane, share);
                }
            }
            _ => {
                while !taken.is_empty() {
                    let (lane, room) = self.roomy();
                    let rest = taken.split_off(taken.len().min(room));
                    self.give(lane, std::mem::replace(taken, rest));
                }
            }
        }
    }

    /// The first lane that fills a batch, and what is missing to it: few messages are not spread
    /// thin. When all are at work, the one with the least waiting and a batch for it.
    fn roomy(&self) -> (usize, usize) {
        let loads = self.lanes.iter().map(|lane| lane.load()).enumerate();
        let filling = loads.clone().find(|(_, (_, room))| *room > 0);
        if let Some((lane, (_, room))) = filling {
            return (lane, room);
        }
        let least = loads.min_by_key(|(_, (waiting, _))| *waiting).map_or(0, |(lane, _)| lane);
        (least, self.settings.batch_max.max(1))
    }

    fn give(&self, lane: usize, share: Vec<Delivery>) {
        let Some(queue) = self.lanes.get(lane) else {
            return;
        };
        if share.is_empty() {
            return;
        }
        self.flow.in_flight.fetch_add(share.len(), Ordering::AcqRel);
        self.stats.received(lane, share.len() as u64);
        let late = queue.push(share).len();
        self.stats.settled(lane, &[(Outcome::Requeued, late as u64)]);
        self.flow.settled(late);
    }

    /// Waits until what is in flight is settled or time is up, then closes.
    async fn drain(&mut self, source: Option<Box<dyn Source>>) {
        self.drains.send_replace(true);
        self.given_back(LaneQueue::drain);
        tokio::select! {
            () = self.flow.idle() => {}
            _ = self.phase.wait_for(|phase| *phase == Phase::Abandon) => {
                // The lanes and dispatchers see it too and give everything back.
            }
        }
        self.given_back(LaneQueue::close);
        self.conditions().not_yet(Component::Source, 0);
        if let Some(source) = source {
            let given_back = tokio::time::timeout(CLOSE, self.flow.idle()).await;
            if given_back.is_err() {
                tracing::warn!("a plugin call outlives the drain deadline; its messages come back");
            }
            source.close(CLOSE).await;
        }
    }
}
