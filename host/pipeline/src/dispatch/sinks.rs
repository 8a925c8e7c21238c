//! Sinks: the connections of one lane's dispatcher, each replaced whole when it does not answer.

use std::collections::HashSet;
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Duration;

use futures_util::FutureExt;
use futures_util::future::{join_all, pending, select_all};
use lockgate_transport::{
    Backoff, ConnectError, DelayQueue, PutError, Sink, SinkConnector, reconnect,
};
use tokio::sync::watch;

use super::{Kind, Pending};
use crate::condition::Component;
use crate::intake::Phase;
use crate::stats::Stats;

/// Time a sink gets for closing.
const CLOSE: Duration = Duration::from_secs(2);

pub(crate) struct Sinks {
    lane: usize,
    connectors: Arc<[Arc<dyn SinkConnector>]>,
    /// By connector; `None` while not connected.
    live: Vec<Option<Box<dyn Sink>>>,
    /// Those that were lost and have not stored anything since.
    troubled: HashSet<usize>,
    /// Those whose target refuses what is put there, again.
    refusing: HashSet<usize>,
    reconnect: Backoff,
    stats: Arc<Stats>,
    phase: watch::Receiver<Phase>,
}

impl Sinks {
    /// Connected once, by connector.
    pub(crate) fn new(
        lane: usize,
        connectors: Arc<[Arc<dyn SinkConnector>]>,
        live: Vec<Option<Box<dyn Sink>>>,
        reconnect: Backoff,
        stats: Arc<Stats>,
        phase: watch::Receiver<Phase>,
    ) -> Self {
        let (troubled, refusing) = Default::default();
        Self { lane, connectors, live, troubled, refusing, reconnect, stats, phase }
    }

    /// Connects what is not connected, or else waits until something is lost; to be called again,
    /// while there is nothing to put. Cancel-safe.
    pub(super) async fn keep(&mut self) {
        let unconnected = self.live.iter().position(Option::is_none);
        if let Some(index) = unconnected {
            match self.connect(index).await {
                // With nothing to put that would prove it, a connection is proof enough.
                true => return self.works(index),
                // Told to abandon.
                false => return pending().await,
            }
        }
        let live = self.live.iter_mut().enumerate();
        let waits = live.filter_map(|(index, slot)| {
            let sink = slot.as_mut()?;
            Some(async move { (index, sink.lost().await) }.boxed())
        });
        let waits: Vec<_> = waits.collect();
        if waits.is_empty() {
            return pending().await;
        }
        let ((index, why), ..) = select_all(waits).await;
        if let Some(sink) = self.live.get_mut(index).and_then(Option::take) {
            self.dead(index, sink, &why);
        }
    }

    /// Closes them.
    pub(super) async fn close(&mut self) {
        for sink in self.live.drain(..).flatten() {
            sink.close(CLOSE).await;
        }
    }

    /// Puts the copies of each sink as one block, the sinks side by side.
    pub(super) async fn put(&mut self, pending: &[Pending]) -> Vec<Result<(), PutError>> {
        let mut results: Vec<_> = pending
            .iter()
            .map(|_| Err(PutError::Unknown("the sink is not connected".into())))
            .collect();
        let puts = self.live.iter_mut().enumerate().filter_map(|(index, slot)| {
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
            self.look_for_refusals(index, places.iter().filter_map(|at| pending.get(*at)), &put);
            for (place, result) in places.into_iter().zip(put) {
                if let Some(slot) = results.get_mut(place) {
                    *slot = result;
                }
            }
            match dead {
                Some(why) => self.dead(index, sink, &why),
                None => {
                    self.works(index);
                    if let Some(slot) = self.live.get_mut(index) {
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
        if self.troubled.remove(&index) && !self.refusing.contains(&index) {
            self.stats.conditions.good(Component::Target, self.holder(index));
        }
    }

    /// A target that refuses a copy twice is in the way, as a full queue is, until it stores some
    /// and refuses none. Dead letters prove nothing about it.
    fn look_for_refusals<'a>(
        &mut self,
        index: usize,
        block: impl Iterator<Item = &'a Pending>,
        results: &[Result<(), PutError>],
    ) {
        let (mut stored, mut refused) = (false, None);
        for (copy, result) in block.zip(results).filter(|(copy, _)| copy.kind == Kind::Copy) {
            match result {
                Ok(()) => stored = true,
                Err(PutError::Nacked(why)) => refused = Some((copy, why)),
                Err(_) => {}
            }
        }
        match refused {
            Some((copy, why)) if copy.refusals > 0 => {
                let why = format!("exchange {} refuses messages: {why}", copy.outgoing.exchange);
                self.stats.conditions.bad(Component::Target, self.holder(index), why);
                self.refusing.insert(index);
            }
            None if stored => self.accepts(index),
            _ => {}
        }
    }

    fn accepts(&mut self, index: usize) {
        if self.refusing.remove(&index) && !self.troubled.contains(&index) {
            self.stats.conditions.good(Component::Target, self.holder(index));
        }
    }

    /// There is nothing left that a target could refuse.
    pub(super) fn nothing_refused(&mut self) {
        for index in 0..self.live.len() {
            self.accepts(index);
        }
    }

    /// The lane's sink as a number among those of all lanes.
    fn holder(&self, index: usize) -> usize {
        self.lane * self.connectors.len() + index
    }

    /// Makes a delay queue; a sink that does not answer is thrown away.
    pub(super) async fn declare(
        &mut self,
        index: usize,
        queue: &DelayQueue,
    ) -> Result<(), ConnectError> {
        let Some(sink) = self.live.get_mut(index).and_then(Option::as_mut) else {
            return Err(ConnectError::Retry("the sink is not connected".to_owned()));
        };
        let declared = tokio::select! {
            declared = sink.declare(queue) => declared,
            () = abandoned(self.phase.clone()) => Err(ConnectError::Retry("stopped".to_owned())),
        };
        if let Err(ConnectError::Retry(why)) = &declared
            && let Some(sink) = self.live.get_mut(index).and_then(Option::take)
        {
            self.dead(index, sink, why);
        }
        declared
    }

    /// Connects the sinks that `pending` needs; false when told to abandon meanwhile.
    pub(super) async fn connect_for(&mut self, pending: &[Pending]) -> bool {
        for index in 0..self.live.len() {
            let missing = self.live.get(index).is_some_and(Option::is_none);
            if missing && pending.iter().any(|p| p.sink == index) && !self.connect(index).await {
                return false;
            }
        }
        true
    }

    /// Connects one sink, however long it takes; false when told to abandon meanwhile.
    pub(super) async fn connect(&mut self, index: usize) -> bool {
        let Some(connector) = self.connectors.get(index).cloned() else {
            return false;
        };
        let by = self.holder(index);
        let failed = |error: &_| self.stats.conditions.bad(Component::Target, by, error);
        let sink = loop {
            let connecting = reconnect(self.reconnect, || connector.connect(self.lane), failed);
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
                    if !pause(self.phase.clone(), self.reconnect.max).await {
                        return false;
                    }
                }
            }
        };
        if let Some(slot) = self.live.get_mut(index) {
            *slot = Some(sink);
        }
        true
    }
}

/// Waits; false when told to abandon meanwhile.
pub(super) async fn pause(phase: watch::Receiver<Phase>, delay: Duration) -> bool {
    tokio::select! {
        () = tokio::time::sleep(delay) => true,
        () = abandoned(phase) => false,
    }
}

/// A closed channel means that the pipeline is gone: that is the end of both waits.
pub(super) async fn abandoned(mut phase: watch::Receiver<Phase>) {
    let _ = phase.wait_for(|phase| *phase == Phase::Abandon).await;
}
