//! Sinks: the connections of one lane's dispatcher, each replaced whole when it does not answer.

use std::collections::{HashMap, HashSet};
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Duration;

use futures_util::FutureExt;
use futures_util::future::{join_all, pending, select_all};
use lockgate_transport::{Backoff, ConnectError, DelayQueue, PutError, Sink, SinkConnector};
use tokio::sync::watch;
use tokio::task::{JoinError, JoinSet};
use tokio::time::Instant;

use super::{Kind, Pending};
use crate::condition::Component;
use crate::intake::Phase;
use crate::life::Life;
use crate::stats::Stats;

/// Time a sink gets for closing.
const CLOSE: Duration = Duration::from_secs(2);
/// A target that refused something twice is in the way until it has refused nothing for so long: no
/// more than a few lines of the log a minute, however it goes up and down.
const QUIET: Duration = Duration::from_secs(10);

pub(crate) struct Sinks {
    lane: usize,
    connectors: Arc<[Arc<dyn SinkConnector>]>,
    /// By connector; `None` while not connected.
    live: Vec<Option<Box<dyn Sink>>>,
    /// Those that are being connected, each on a task: neither a block nor another sink ends that.
    connecting: JoinSet<(usize, Box<dyn Sink>)>,
    /// By connector.
    lives: Vec<Life>,
    /// Those that were lost and have not proved since that they work.
    troubled: HashSet<usize>,
    /// Those whose target refuses what is put there again, and when it did last.
    refusing: HashMap<usize, Instant>,
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
        let lives = vec![Life::new(); live.len()];
        let (troubled, refusing, connecting) = Default::default();
        Self {
            lane,
            connectors,
            live,
            connecting,
            lives,
            troubled,
            refusing,
            reconnect,
            stats,
            phase,
        }
    }

    /// Waits for the next thing to happen to a sink and sees to it; to be called again, for as long
    /// as there is nothing to put. Cancel-safe.
    pub(super) async fn keep(&mut self) {
        self.forgive();
        // With nothing to put that would prove it, a connection is proof enough.
        for index in 0..self.live.len() {
            if self.trusted(index).is_some_and(|at| at <= Instant::now()) {
                self.works(index);
            }
        }
        let trusted = self.troubled.iter().filter_map(|index| self.trusted(*index));
        let next = trusted.chain(self.refusing.values().map(|at| *at + QUIET)).min();
        let Self { live, connecting, .. } = self;
        let waits = live.iter_mut().enumerate().filter_map(|(index, slot)| {
            let sink = slot.as_mut()?;
            Some(async move { (index, sink.lost().await) }.boxed())
        });
        let waits: Vec<_> = waits.collect();
        let lost = async {
            match waits.is_empty() {
                true => pending().await,
                false => select_all(waits).await.0,
            }
        };
        let happened = tokio::select! {
            connected = connected(connecting) => Ok(connected),
            (index, why) = lost => Err((index, why)),
            () = until(next) => return,
        };
        match happened {
            Ok(connected) => self.is_connected(connected),
            Err((index, why)) => {
                if let Some(sink) = self.live.get_mut(index).and_then(Option::take) {
                    self.dead(index, sink, &why);
                }
            }
        }
    }

    /// Closes them.
    pub(super) async fn close(&mut self) {
        self.connecting.abort_all();
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
        self.forgive();
        results
    }

    /// Throws a sink away that does not answer any more, and has it connected anew.
    fn dead(&mut self, index: usize, sink: Box<dyn Sink>, why: &str) {
        self.stats.conditions.bad(Component::Target, self.holder(index), why);
        self.stats.reconnects.fetch_add(1, Ordering::Relaxed);
        self.troubled.insert(index);
        tokio::spawn(sink.close(CLOSE));
        if let Some(life) = self.lives.get_mut(index) {
            life.ends();
        }
        self.connect(index);
    }

    /// Begins to connect a sink.
    fn connect(&mut self, index: usize) {
        let (Some(connector), Some(life)) = (self.connectors.get(index), self.lives.get(index))
        else {
            return;
        };
        let (connector, life, backoff) = (connector.clone(), *life, self.reconnect);
        let (stats, by, lane) = (self.stats.clone(), self.holder(index), self.lane);
        self.connecting.spawn(async move {
            let failed = |error: &_| stats.conditions.not_connected(Component::Target, by, error);
            (index, life.connect(backoff, || connector.connect(lane), failed).await)
        });
    }

    fn is_connected(&mut self, connected: Result<(usize, Box<dyn Sink>), JoinError>) {
        match connected {
            Ok((index, sink)) => {
                if let (Some(slot), Some(life)) =
                    (self.live.get_mut(index), self.lives.get_mut(index))
                {
                    *slot = Some(sink);
                    life.begins();
                }
            }
            // Nobody knows which one it was.
            Err(error) => {
                tracing::error!(%error, "connecting failed, beginning anew");
                self.connecting = JoinSet::new();
                let missing = self.live.iter().enumerate().filter(|(_, slot)| slot.is_none());
                for index in missing.map(|(index, _)| index).collect::<Vec<_>>() {
                    self.connect(index);
                }
            }
        }
    }

    /// A sink has stored a block: only that proves that it works, for a broker may accept a
    /// connection and nothing else.
    fn works(&mut self, index: usize) {
        if self.troubled.remove(&index) {
            self.good(index);
        }
    }

    /// When a sink that is connected is taken to work.
    fn trusted(&self, index: usize) -> Option<Instant> {
        self.live.get(index)?.as_ref()?;
        self.lives.get(index).map(Life::trusted)
    }

    fn good(&self, index: usize) {
        if !self.troubled.contains(&index) && !self.refusing.contains_key(&index) {
            self.stats.conditions.good(Component::Target, self.holder(index));
        }
    }

    /// A target that refuses a copy twice is in the way, as a full queue is.
    fn look_for_refusals<'a>(
        &mut self,
        index: usize,
        block: impl Iterator<Item = &'a Pending>,
        results: &[Result<(), PutError>],
    ) {
        let refused = block.zip(results).find_map(|(copy, result)| match result {
            Err(PutError::Nacked(why)) if copy.kind == Kind::Copy && copy.refusals > 0 => {
                Some((copy, why))
            }
            _ => None,
        });
        if let Some((Pending { outgoing, .. }, why)) = refused {
            let (exchange, key) = (&outgoing.exchange, outgoing.routing_key());
            let why = format!("messages to `{exchange}` with key `{key}` are refused: {why}");
            self.stats.conditions.bad(Component::Target, self.holder(index), why);
            self.refusing.insert(index, Instant::now());
        }
    }

    /// Targets that have refused nothing for a while are not in the way any more.
    fn forgive(&mut self) {
        let quiet = self.refusing.extract_if(|_, at| at.elapsed() >= QUIET);
        for index in quiet.map(|(index, _)| index).collect::<Vec<_>>() {
            self.good(index);
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

    /// Waits until the sinks that `pending` needs are connected; false when told to abandon
    /// meanwhile.
    pub(super) async fn connect_for(&mut self, pending: &[Pending]) -> bool {
        while pending.iter().any(|p| self.live.get(p.sink).is_some_and(Option::is_none)) {
            let connected = tokio::select! {
                connected = connected(&mut self.connecting) => connected,
                () = abandoned(self.phase.clone()) => return false,
            };
            self.is_connected(connected);
        }
        true
    }
}

/// The next sink that is connected; never when none is being connected.
async fn connected(
    connecting: &mut JoinSet<(usize, Box<dyn Sink>)>,
) -> Result<(usize, Box<dyn Sink>), JoinError> {
    match connecting.join_next().await {
        Some(connected) => connected,
        None => pending().await,
    }
}

/// Waits until a time, for ever without one.
async fn until(time: Option<Instant>) {
    match time {
        Some(time) => tokio::time::sleep_until(time).await,
        None => pending().await,
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

#[cfg(test)]
mod tests {
    use std::sync::atomic::AtomicUsize;

    use async_trait::async_trait;
    use lockgate_transport::Outgoing;
    use tokio::sync::Notify;

    use super::*;

    /// Connects after a word each time; its sinks die at once while there are deaths left.
    #[derive(Default)]
    struct Mortal {
        slow: bool,
        word: Notify,
        connects: AtomicUsize,
        deaths: AtomicUsize,
    }

    struct Body(Arc<Mortal>);

    #[async_trait]
    impl SinkConnector for Body {
        async fn connect(&self, _: usize) -> Result<Box<dyn Sink>, ConnectError> {
            self.0.connects.fetch_add(1, Ordering::Relaxed);
            if self.0.slow {
                self.0.word.notified().await;
            }
            Ok(Box::new(Body(self.0.clone())))
        }

        fn describe(&self) -> String {
            String::new()
        }
    }

    #[async_trait]
    impl Sink for Body {
        async fn put(&mut self, block: &[Outgoing]) -> Vec<Result<(), PutError>> {
            vec![Ok(()); block.len()]
        }

        async fn declare(&mut self, _: &DelayQueue) -> Result<(), ConnectError> {
            Ok(())
        }

        async fn lost(&mut self) -> String {
            let less = |left: usize| left.checked_sub(1);
            match self.0.deaths.fetch_update(Ordering::Relaxed, Ordering::Relaxed, less) {
                Ok(_) => "hung up".to_owned(),
                Err(_) => pending().await,
            }
        }

        async fn close(self: Box<Self>, _: Duration) {}
    }

    fn sinks(mortal: Mortal) -> (Sinks, Arc<Mortal>, watch::Sender<Phase>) {
        let mortal = Arc::new(mortal);
        let connectors: Arc<[Arc<dyn SinkConnector>]> = Arc::new([Arc::new(Body(mortal.clone()))]);
        let live: Vec<Option<Box<dyn Sink>>> = vec![Some(Box::new(Body(mortal.clone())))];
        let stats = Arc::new(Stats::new("p", 1, Vec::new()));
        let (running, phase) = watch::channel(Phase::Run);
        (Sinks::new(0, connectors, live, Backoff::default(), stats, phase), mortal, running)
    }

    /// Messages for other sinks come and go meanwhile.
    #[tokio::test]
    async fn what_is_put_elsewhere_does_not_end_an_attempt_to_connect() {
        let mortal = Mortal { slow: true, deaths: AtomicUsize::new(1), ..Mortal::default() };
        let (mut sinks, mortal, _running) = sinks(mortal);
        sinks.keep().await;
        assert!(!sinks.stats.conditions.is_good());
        for _ in 0..100 {
            assert!(sinks.keep().now_or_never().is_none());
            tokio::task::yield_now().await;
        }
        mortal.word.notify_one();
        // Connected, and then taken to work.
        while !sinks.stats.conditions.is_good() {
            let _ = sinks.keep().now_or_never();
            tokio::task::yield_now().await;
        }
        assert_eq!(mortal.connects.load(Ordering::Relaxed), 1);
    }

    /// A broker that accepts and hangs up at once is not asked without a pause, and not said to work.
    #[tokio::test(start_paused = true)]
    async fn sinks_that_die_at_birth_are_connected_with_pauses() {
        let mortal = Mortal { deaths: AtomicUsize::new(8), ..Mortal::default() };
        let (mut sinks, mortal, _running) = sinks(mortal);
        let start = Instant::now();
        let mut seen_good = 0;
        while mortal.deaths.load(Ordering::Relaxed) > 0 || !sinks.stats.conditions.is_good() {
            // In the end nothing happens any more.
            let _ = tokio::time::timeout(Duration::from_secs(5), sinks.keep()).await;
            seen_good += u32::from(sinks.stats.conditions.is_good());
        }
        assert_eq!((mortal.connects.load(Ordering::Relaxed), seen_good), (8, 1));
        // Eight pauses that double from 50 ms to 1 s, half of each at least, and a life that lasts.
        assert!(start.elapsed() > Duration::from_millis(2_275 + 1_000), "{:?}", start.elapsed());
    }
}
