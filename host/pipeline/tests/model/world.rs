//! The scripted source and sink, and the log of all that happens at them.

use std::collections::{BTreeMap, VecDeque};
use std::sync::{Arc, Mutex, MutexGuard, Weak};
use std::time::Duration;

use async_trait::async_trait;
use lockgate_message::{AckHandle, Delivery, Head, Message, Settle, Settlement, Value};
use lockgate_transport::{
    ConnectError, DelayQueue, Outgoing, PutError, Sink, SinkConnector, Source, SourceConnector,
    SourceError,
};
use tokio::sync::watch;

use crate::script::{Answer, Script};

/// The exchange of dead letters.
pub(crate) const DEAD: &str = "dead";

/// Deliveries that the source gives without a settlement.
const PREFETCH: usize = 32;

#[derive(Clone, Debug)]
pub(crate) enum Event {
    Handed {
        tag: u64,
        id: usize,
    },
    /// A copy was put; `error` is what the pipeline was told.
    Put {
        id: usize,
        copy: String,
        to: String,
        error: Option<PutError>,
    },
    Settled {
        tag: u64,
        settlement: Settlement,
        live: bool,
    },
    Lost,
}

pub(crate) struct World {
    state: Mutex<State>,
    /// Counts the events, for those who wait.
    count: watch::Sender<usize>,
}

struct State {
    events: Vec<Event>,
    keys: Vec<usize>,
    ready: VecDeque<usize>,
    /// Handed out by the live source, by tag.
    open: BTreeMap<u64, usize>,
    answers: VecDeque<Answer>,
    losses: Vec<usize>,
    calls: usize,
    tags: u64,
    /// Of the live source; one that is older is gone.
    generation: u64,
}

impl World {
    pub(crate) fn new(script: &Script) -> Arc<Self> {
        let state = State {
            events: Vec::new(),
            keys: script.plans.iter().map(|plan| plan.key).collect(),
            ready: (0..script.plans.len()).collect(),
            open: BTreeMap::new(),
            answers: script.answers.iter().copied().collect(),
            losses: script.losses.clone(),
            calls: 0,
            tags: 0,
            generation: 1,
        };
        Arc::new(Self { state: Mutex::new(state), count: watch::Sender::new(0) })
    }

    pub(crate) fn source(self: &Arc<Self>) -> Arc<dyn SourceConnector> {
        Arc::new(End(self.clone()))
    }

    pub(crate) fn sink(self: &Arc<Self>) -> Arc<dyn SinkConnector> {
        Arc::new(End(self.clone()))
    }

    pub(crate) fn events(&self) -> Vec<Event> {
        self.lock().events.clone()
    }

    /// Ids that wait in the source's queue.
    pub(crate) fn ready(&self) -> Vec<usize> {
        self.lock().ready.iter().copied().collect()
    }

    /// Whether the settlement at this place in the log had an effect.
    pub(crate) fn was_live(&self, of: u64, at: usize) -> bool {
        matches!(self.lock().events[at], Event::Settled { tag, live: true, .. } if tag == of)
    }

    pub(crate) async fn until_settled(&self) {
        self.until(|state| state.ready.is_empty() && state.open.is_empty()).await;
    }

    pub(crate) async fn until_events(&self, count: usize) {
        self.until(|state| {
            state.events.len() >= count || (state.ready.is_empty() && state.open.is_empty())
        })
        .await;
    }

    async fn until(&self, reached: impl Fn(&State) -> bool) {
        let mut count = self.count.subscribe();
        while !reached(&self.lock()) {
            count.changed().await.unwrap();
        }
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap()
    }

    fn log(&self, mut state: MutexGuard<'_, State>, event: Event) {
        state.events.push(event);
        let count = state.events.len();
        drop(state);
        self.count.send_replace(count);
    }

    /// The source is gone: what it gave out and nobody settled is ready again, in its old order.
    fn abandon(&self, generation: u64) {
        let mut state = self.lock();
        if state.generation != generation {
            return;
        }
        let open = std::mem::take(&mut state.open);
        let mut ready: Vec<usize> = open.into_values().chain(state.ready.drain(..)).collect();
        ready.sort_unstable();
        state.ready = ready.into();
        state.generation += 1;
        self.log(state, Event::Lost);
    }
}

/// Settles at the world while it lives.
struct Settler {
    world: Weak<World>,
    generation: u64,
}

impl Settle for Settler {
    fn settle(&self, tag: u64, settlement: Settlement) {
        let Some(world) = self.world.upgrade() else { return };
        let mut state = world.lock();
        let live = self.generation == state.generation;
        if live {
            let id = state.open.remove(&tag).expect("settled once");
            if matches!(settlement, Settlement::Requeue | Settlement::RetryAfter(_)) {
                state.ready.push_front(id);
            }
        }
        world.log(state, Event::Settled { tag, settlement, live });
    }

    fn is_live(&self) -> bool {
        self.world.upgrade().is_some_and(|world| world.lock().generation == self.generation)
    }
}

/// Either connector.
struct End(Arc<World>);

#[async_trait]
impl SourceConnector for End {
    async fn connect(&self) -> Result<Box<dyn Source>, ConnectError> {
        let generation = self.0.lock().generation;
        Ok(Box::new(Scripted { world: self.0.clone(), generation, cancelled: false }))
    }

    async fn check(&self) -> Result<(), ConnectError> {
        Ok(())
    }

    fn describe(&self) -> String {
        "script".into()
    }
}

struct Scripted {
    world: Arc<World>,
    generation: u64,
    cancelled: bool,
}

impl Drop for Scripted {
    fn drop(&mut self) {
        self.world.abandon(self.generation);
    }
}

#[async_trait]
impl Source for Scripted {
    async fn next(&mut self, max: usize, into: &mut Vec<Delivery>) -> Result<(), SourceError> {
        loop {
            if self.cancelled {
                return Err(SourceError::End);
            }
            let mut changes = self.world.count.subscribe();
            if self.give(max, into)? {
                return Ok(());
            }
            changes.changed().await.unwrap();
        }
    }

    async fn cancel(&mut self) {
        self.cancelled = true;
    }

    async fn close(self: Box<Self>, _: Duration) {}
}

impl Scripted {
    /// Hands out what is ready; whether there was something.
    fn give(&self, max: usize, into: &mut Vec<Delivery>) -> Result<bool, SourceError> {
        let mut state = self.world.lock();
        let count = max.min(state.ready.len()).min(PREFETCH.saturating_sub(state.open.len()));
        if count == 0 {
            return Ok(false);
        }
        state.calls += 1;
        let calls = state.calls;
        if state.losses.contains(&calls) {
            drop(state);
            self.world.abandon(self.generation);
            return Err(SourceError::Lost("as the script says".into()));
        }
        for _ in 0..count {
            let id = state.ready.pop_front().unwrap();
            state.tags += 1;
            let tag = state.tags;
            state.open.insert(tag, id);
            let mut head = Head::default();
            head.properties.message_id = Some(id.to_string());
            head.headers.set("key", Value::text(state.keys[id].to_string()));
            let world = Arc::downgrade(&self.world);
            let settler = Settler { world, generation: self.generation };
            let ack = AckHandle::new(Arc::new(settler), tag);
            into.push(Delivery::new(Message::new(head, id.to_string()), false, ack));
            state.events.push(Event::Handed { tag, id });
        }
        let count = state.events.len();
        drop(state);
        self.world.count.send_replace(count);
        Ok(true)
    }
}

#[async_trait]
impl SinkConnector for End {
    async fn connect(&self, _: usize) -> Result<Box<dyn Sink>, ConnectError> {
        Ok(Box::new(Target { world: self.0.clone(), dead: false }))
    }

    fn describe(&self) -> String {
        "script".into()
    }
}

struct Target {
    world: Arc<World>,
    dead: bool,
}

#[async_trait]
impl Sink for Target {
    async fn put(&mut self, block: &[Outgoing]) -> Vec<Result<(), PutError>> {
        tokio::task::yield_now().await;
        block.iter().map(|outgoing| self.put_one(outgoing)).collect()
    }

    async fn declare(&mut self, _: &DelayQueue) -> Result<(), ConnectError> {
        Err(ConnectError::Fatal("the script has none".into()))
    }

    async fn close(self: Box<Self>, _: Duration) {}
}

impl Target {
    fn put_one(&mut self, outgoing: &Outgoing) -> Result<(), PutError> {
        let mut state = self.world.lock();
        let answer = match self.dead {
            true => Answer::Unknown,
            false => state.answers.pop_front().unwrap_or(Answer::Stored),
        };
        let result = match answer {
            Answer::Stored => Ok(()),
            Answer::Unroutable => Err(PutError::Unroutable("scripted".into())),
            Answer::Invalid => Err(PutError::Invalid("scripted".into())),
            Answer::Nacked => Err(PutError::Nacked("scripted".into())),
            Answer::Unknown => {
                self.dead = true;
                Err(PutError::Unknown("scripted".into()))
            }
        };
        let copy = outgoing.message.head().properties.message_id.clone().unwrap();
        let id = copy.split('/').next().unwrap().parse().unwrap();
        let error = result.clone().err();
        let event = Event::Put { id, copy, to: outgoing.exchange.to_string(), error };
        self.world.log(state, event);
        result
    }
}
