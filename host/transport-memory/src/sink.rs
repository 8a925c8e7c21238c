//! Sink: publishing blocks behind the transport's trait.

use std::time::Duration;

use async_trait::async_trait;
use lockgate_transport::declare::Declaring;
use lockgate_transport::{
    ConnectError, DelayQueue, Outgoing, PutError, RoutingKey, Sink, SinkConnector,
};
use tokio::time::Instant;

use crate::faults::PutFault;
use crate::queue::Origin;
use crate::settings::queue_options;
use crate::state::{Publication, Refusal, RouteMemo, State};
use crate::{Broker, RouteSettings};

/// Time a put may wait for memory or for a block to end, unless told otherwise.
const DEADLINE: Duration = Duration::from_secs(10);

/// Why a sink is dead.
const CUT: &str = "the connection was cut";

/// Makes sinks that publish to any exchange of a broker.
pub struct MemorySinkConnector {
    broker: Broker,
    routes: Vec<RouteSettings>,
    deadline: Duration,
    declaring: Declaring,
}

impl MemorySinkConnector {
    /// For the routes given, which are declared or verified at each connection.
    pub fn new(broker: &Broker, routes: Vec<RouteSettings>) -> Self {
        let declaring = Declaring::default();
        Self { broker: broker.clone(), routes, deadline: DEADLINE, declaring }
    }

    /// Lets it wait for what is missing while pipelines of this run still declare.
    #[must_use]
    pub fn beside(self, declaring: &Declaring) -> Self {
        Self { declaring: declaring.clone(), ..self }
    }

    /// Lets a put wait so long for memory or for a block to end; 10 s otherwise.
    pub fn with_deadline(mut self, deadline: Duration) -> Self {
        self.deadline = deadline;
        self
    }
}

#[async_trait]
impl SinkConnector for MemorySinkConnector {
    async fn declare(&self) -> Result<(), ConnectError> {
        for (n, route) in self.routes.iter().enumerate().filter(|(_, one)| one.declare.is_some()) {
            let refused = |error| ConnectError::FatalRoute(n, format!("{error}"));
            route.apply(&self.broker).map_err(refused)?;
        }
        Ok(())
    }

    /// Declares and verifies. What the broker refuses is fatal: nothing heals it here.
    async fn connect(&self, _lane: usize) -> Result<Box<dyn Sink>, ConnectError> {
        if let Some(error) = self.broker.with(|state| state.switches.connects.pop_front()) {
            return Err(error);
        }
        let declaring = self.declaring.any();
        for (n, route) in self.routes.iter().enumerate() {
            let refused = |error: crate::BrokerError| {
                let text = error.to_string();
                let may_come = error.may_come(declaring);
                if may_come { ConnectError::Retry(text) } else { ConnectError::FatalRoute(n, text) }
            };
            route.apply(&self.broker).map_err(refused)?;
        }
        let generation = self.broker.with(|state| state.generation);
        Ok(Box::new(MemorySink {
            broker: self.broker.clone(),
            deadline: self.deadline,
            generation,
            dead: false,
            memo: RouteMemo::default(),
        }))
    }

    fn describe(&self) -> String {
        "memory exchanges".to_owned()
    }
}

struct MemorySink {
    broker: Broker,
    deadline: Duration,
    generation: u64,
    /// After an unknown outcome.
    dead: bool,
    /// Kept for its memory; what it says is good within one section only.
    memo: RouteMemo,
}

type Results = Vec<Result<(), PutError>>;

/// How far an attempt at a block came.
enum Progress {
    Done,
    /// The rest waits for memory.
    Full,
    /// The rest waits until puts are let on.
    Blocked,
}

#[async_trait]
impl Sink for MemorySink {
    async fn put(&mut self, block: &[Outgoing]) -> Results {
        // A sink that never waits must still let other tasks run.
        tokio::task::consume_budget().await;
        let mut results = Vec::with_capacity(block.len());
        if self.dead {
            fill(&mut results, block.len(), &unknown(CUT));
            return results;
        }
        let fault = match block.is_empty() {
            true => None,
            false => self.broker.with(|state| state.switches.puts.pop_front()),
        };
        match fault {
            Some(PutFault::Refuse(error)) => fill(&mut results, block.len(), &error),
            Some(PutFault::LoseConfirm) => {
                self.store(block, &mut results).await;
                results.clear();
                fill(&mut results, block.len(), &unknown("the confirm was lost"));
            }
            None => self.store(block, &mut results).await,
        }
        self.dead = results.iter().any(|result| matches!(result, Err(PutError::Unknown(_))));
        results
    }

    async fn declare(&mut self, queue: &DelayQueue) -> Result<(), ConnectError> {
        let declared = self.broker.declare_queue(&queue.name, queue_options(&queue.declaration()));
        declared.map_err(|error| ConnectError::Fatal(error.to_string()))
    }

    async fn lost(&mut self) -> String {
        loop {
            // Made before the look, so that no word is missed in between.
            let word = self.broker.shared.room.notified();
            if self.dead || self.broker.with(|state| state.generation != self.generation) {
                return CUT.to_owned();
            }
            word.await;
        }
    }

    async fn close(self: Box<Self>, _deadline: Duration) {}
}

impl MemorySink {
    /// Stores a block, waiting where it must, up to the deadline.
    async fn store(&mut self, block: &[Outgoing], results: &mut Results) {
        let broker = self.broker.clone();
        let mut deadline = None;
        let mut late = false;
        loop {
            // Made before the attempt, so that no word is missed in between.
            let room = broker.shared.room.notified();
            let progress = self.attempt(block, results);
            if matches!(progress, Progress::Done) {
                return;
            }
            let _waiting = Waiting(&broker);
            if late {
                let rest = block.len() - results.len();
                let error = match progress {
                    Progress::Blocked => unknown("the broker takes no publishes"),
                    _ => broker.with(|state| state.refuse_for_memory(rest)),
                };
                return fill(results, block.len(), &error);
            }
            let until = *deadline.get_or_insert_with(|| Instant::now() + self.deadline);
            // One more attempt when time is up: less room than is worth a word may do.
            late = tokio::time::timeout_at(until, room).await.is_err();
        }
    }

    /// Stores what can be stored now, in one section.
    fn attempt(&mut self, block: &[Outgoing], results: &mut Results) -> Progress {
        let (broker, memo, generation) = (&self.broker, &mut self.memo, self.generation);
        memo.forget();
        broker.with(|state| {
            if state.generation != generation {
                fill(results, block.len(), &unknown(CUT));
                return Progress::Done;
            }
            let progress = match state.switches.blocked {
                true => Progress::Blocked,
                false => store_rest(state, block, results, memo),
            };
            // Counted in the same section that found no room, out again by `Waiting`.
            state.waiting += usize::from(!matches!(progress, Progress::Done));
            progress
        })
    }
}

fn store_rest(
    state: &mut State,
    block: &[Outgoing],
    results: &mut Results,
    memo: &mut RouteMemo,
) -> Progress {
    for outgoing in block.iter().skip(results.len()) {
        let publication = Publication {
            exchange: &outgoing.exchange,
            key: outgoing.routing_key(),
            message: &outgoing.message,
            origin: origin(outgoing),
        };
        match state.publish(publication, memo) {
            Ok(_) => results.push(Ok(())),
            Err(Refusal::Error(error)) => results.push(Err(error)),
            Err(Refusal::Full) => return Progress::Full,
        }
    }
    Progress::Done
}

/// What the head does not say already.
fn origin(outgoing: &Outgoing) -> Option<Origin> {
    let head = outgoing.message.head();
    let key = match &outgoing.routing_key {
        RoutingKey::Fixed(key) if **key != *head.routing_key => Some(key.clone()),
        RoutingKey::Fixed(_) | RoutingKey::Same => None,
    };
    match key.is_none() && *outgoing.exchange == *head.exchange {
        true => None,
        false => Some(Origin { exchange: outgoing.exchange.clone(), key }),
    }
}

fn unknown(text: &str) -> PutError {
    PutError::Unknown(text.to_owned())
}

/// One result for each message that has none yet.
fn fill(results: &mut Results, count: usize, error: &PutError) {
    results.resize(count, Err(error.clone()));
}

/// A publisher that waits, until it is dropped.
struct Waiting<'a>(&'a Broker);

impl Drop for Waiting<'_> {
    fn drop(&mut self) {
        self.0.with(|state| state.waiting -= 1);
    }
}

#[cfg(test)]
mod tests;
