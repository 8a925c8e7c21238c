//! Sink: one publish channel, owned by one lane.
//!
//! A block is published as one: all its futures polled together, then all its confirms awaited.
//! Only then are results made, so that every return of the block has been seen, on whichever
//! confirm the client reported it: it reports them on wrong ones, and each carries our id.
//! A block is small enough for a slow line, and given up only when nothing of it moves any more.

mod pending;
mod progress;

use std::collections::HashMap;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, MutexGuard, PoisonError, Weak};
use std::time::Duration;

use async_trait::async_trait;
use futures_util::future::join_all;
use lapin::options::{BasicPublishOptions, ConfirmSelectOptions};
use lapin::{Channel, Confirmation};
use lockgate_transport::declare::{Declaring, SettingsError};
use lockgate_transport::{ConnectError, DelayQueue, Outgoing, PutError, Sink, SinkConnector};
use tokio::sync::{Mutex, watch};

use crate::connection::{CONNECT, Link, PROGRESS, ok};
use crate::convert::{Duplicates, Limits, Publish, publish};
use crate::fault::{Refusal, refusal};
use crate::raw_names::RawNames;
use crate::settings::{Endpoint, Grant, RouteSettings, hands_on_later};
use crate::status::Status;
use crate::topology::{TargetExchange, Topology};

use pending::{Id, Pending};
use progress::Progress;

/// Most publishes without their confirms.
const WINDOW: usize = 256;

/// Most bytes of bodies in one window, which the client copies; a larger body goes alone. Enough
/// to keep a line of 100 MB/s busy while the broker takes 40 ms for its confirm.
const WINDOW_BYTES: usize = 4 << 20;

/// Counts the sinks of this process, so that an id names one publish.
static GENERATION: AtomicU64 = AtomicU64::new(1);

/// How to publish; routes that differ in it need sinks of their own.
#[derive(Clone, Debug, PartialEq, Eq)]
struct Manner {
    endpoint: Endpoint,
    mandatory: bool,
    persistent: bool,
    grants: Vec<Grant>,
    max_body: u64,
    confirm_timeout: Duration,
}

/// Publishes to the exchanges of one broker. Its sinks share one connection.
#[derive(Debug)]
pub struct AmqpSink {
    manner: Manner,
    exchanges: Vec<TargetExchange>,
    /// Held by the sinks alone: it closes with the last of them.
    link: Mutex<Weak<Link>>,
    worked: AtomicBool,
    status: Arc<Status>,
    duplicates: Arc<Duplicates>,
    names: Option<Arc<RawNames>>,
    /// Exchanges whose type the present connection has asked for, and whether they hand on later.
    asked: std::sync::Mutex<HashMap<String, bool>>,
    declaring: Declaring,
}

/// The sinks of several routes.
#[derive(Debug)]
pub struct Shared {
    pub sinks: Vec<AmqpSink>,
    /// For each route, which of `sinks`.
    pub of_route: Vec<usize>,
}

impl AmqpSink {
    /// One sink for each group of routes that can share it. Routes without a URL publish to
    /// `default`.
    ///
    /// # Errors
    /// All that is wrong, with the number of its route.
    pub fn for_routes<'a>(
        default: Option<&Endpoint>,
        routes: impl IntoIterator<Item = &'a RouteSettings>,
    ) -> Result<Shared, Vec<(usize, SettingsError)>> {
        let mut sinks: Vec<Self> = Vec::new();
        let (mut of_route, mut errors) = (Vec::new(), Vec::new());
        for (n, route) in routes.into_iter().enumerate() {
            let manner = match Manner::new(default, route) {
                Ok(manner) => manner,
                Err(wrong) => {
                    errors.extend(wrong.into_iter().map(|error| (n, error)));
                    continue;
                }
            };
            let place = sinks.iter().position(|sink| sink.manner == manner);
            of_route.push(place.unwrap_or(sinks.len()));
            match place.and_then(|place| sinks.get_mut(place)) {
                Some(sink) => sink.exchanges.push(route.into()),
                None => sinks.push(Self {
                    manner,
                    exchanges: vec![route.into()],
                    link: Mutex::default(),
                    worked: AtomicBool::new(false),
                    status: Arc::default(),
                    duplicates: Arc::default(),
                    names: None,
                    asked: Default::default(),
                    declaring: Declaring::default(),
                }),
            }
        }
        if errors.is_empty() { Ok(Shared { sinks, of_route }) } else { Err(errors) }
    }

    /// Lets it publish with names that have a stand-in there.
    #[must_use]
    pub fn with_raw_names(self, names: Arc<RawNames>) -> Self {
        Self { names: Some(names), ..self }
    }

    /// Lets it wait for what is missing while pipelines of this run still declare.
    #[must_use]
    pub fn beside(self, declaring: &Declaring) -> Self {
        Self { declaring: declaring.clone(), ..self }
    }

    /// How its connection is, now and in later generations.
    pub fn status(&self) -> Arc<Status> {
        self.status.clone()
    }

    /// The shared connection, made anew where it is gone.
    async fn link(&self) -> Result<Arc<Link>, ConnectError> {
        let mut shared = self.link.lock().await;
        if let Some(link) = shared.upgrade().filter(|link| link.is_live()) {
            return Ok(link);
        }
        let endpoint = &self.manner.endpoint;
        let mut link = Link::open_with(endpoint, "sink", None, self.names.clone()).await?;
        self.status.connected(&link);
        link.watch = Some(self.status.watch(&link, &self.manner.endpoint));
        let link = Arc::new(link);
        *shared = Arc::downgrade(&link);
        self.asked().clear();
        Ok(link)
    }

    fn asked(&self) -> MutexGuard<'_, HashMap<String, bool>> {
        self.asked.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Whether an exchange, which is there, keeps messages and hands them on later. One whose type
    /// the broker does not tell is taken not to.
    async fn hands_on_later(
        &self,
        topology: &Topology<'_>,
        exchange: &TargetExchange,
    ) -> Result<bool, ConnectError> {
        let TargetExchange { name, declare } = exchange;
        if let Some(declare) = declare {
            return Ok(hands_on_later(&declare.kind));
        }
        // Those of the broker itself are of types that do not.
        if name.is_empty() || name.starts_with("amq.") {
            return Ok(false);
        }
        if let Some(known) = self.asked().get(name) {
            return Ok(*known);
        }
        let later = topology.kind(name).await?.is_some_and(|kind| hands_on_later(&kind));
        self.asked().insert(name.clone(), later);
        Ok(later)
    }

    async fn open(&self, lane: usize) -> Result<LiveSink, ConnectError> {
        let first = !self.declaring.any() && !self.worked.load(Ordering::Relaxed);
        let link = self.link().await?;
        let endpoint = &self.manner.endpoint;
        let topology = Topology { endpoint, link: &link };
        let mut later = Vec::new();
        for (n, exchange) in self.exchanges.iter().enumerate() {
            let TargetExchange { name, declare } = exchange;
            topology.target(name, declare.as_ref(), first).await.map_err(|e| e.of_route(n))?;
            if self.manner.mandatory && self.hands_on_later(&topology, exchange).await? {
                later.push(name.clone());
            }
        }
        let retry = |error| ConnectError::Retry(format!("{endpoint}: {}", link.explain(&error)));
        let create = link.connection.create_channel();
        let channel = link.answer(CONNECT, create).await.map_err(retry)?;
        let select = channel.confirm_select(ConfirmSelectOptions::default());
        link.answer(CONNECT, select).await.map_err(retry)?;
        self.worked.store(true, Ordering::Relaxed);
        let Manner { mandatory, persistent, max_body, confirm_timeout, .. } = self.manner;
        let limits = Limits {
            persistent,
            grants: self.manner.grants.clone(),
            max_body,
            frame_max: link.frame_max(),
            duplicates: self.duplicates.clone(),
        };
        let generation = GENERATION.fetch_add(1, Ordering::Relaxed);
        let bell = link.bell().subscribe();
        Ok(LiveSink {
            id: Id::new(generation, lane),
            endpoint: endpoint.clone(),
            link,
            channel,
            limits,
            mandatory,
            later,
            confirm_timeout,
            dead: None,
            bell,
        })
    }
}

impl Manner {
    fn new(default: Option<&Endpoint>, route: &RouteSettings) -> Result<Self, Vec<SettingsError>> {
        let errors = route.validate();
        if !errors.is_empty() {
            return Err(errors);
        }
        let Some(endpoint) = route.endpoint()?.or_else(|| default.cloned()) else {
            let message = "needed, for the source is no AMQP broker that could stand for it";
            return Err(vec![SettingsError::new("url", message)]);
        };
        Ok(Self {
            endpoint,
            mandatory: route.mandatory,
            persistent: route.persistent,
            grants: route.grants.clone(),
            max_body: route.max_body,
            confirm_timeout: Duration::from_secs(route.confirm_timeout.into()),
        })
    }
}

#[async_trait]
impl SinkConnector for AmqpSink {
    async fn connect(&self, lane: usize) -> Result<Box<dyn Sink>, ConnectError> {
        Ok(Box::new(self.open(lane).await?))
    }

    async fn declare(&self) -> Result<(), ConnectError> {
        if self.exchanges.iter().all(|exchange| exchange.declare.is_none()) {
            return Ok(());
        }
        let link = Link::open(&self.manner.endpoint, "declare", None).await?;
        let topology = Topology { endpoint: &self.manner.endpoint, link: &link };
        for (n, TargetExchange { name, declare }) in self.exchanges.iter().enumerate() {
            if declare.is_some() {
                let declared = topology.target(name, declare.as_ref(), true).await;
                declared.map_err(|error| error.of_route(n))?;
            }
        }
        link.close(CONNECT).await;
        Ok(())
    }

    async fn check(&self) -> Vec<ConnectError> {
        let link = match self.link().await {
            Ok(link) => link,
            Err(error) => return vec![error],
        };
        let topology = Topology { endpoint: &self.manner.endpoint, link: &link };
        let mut wrong = Vec::new();
        for (n, TargetExchange { name, declare }) in self.exchanges.iter().enumerate() {
            match topology.target(name, declare.as_ref(), true).await {
                Ok(()) => {}
                // The connection has gone: the others would say the same.
                Err(error @ ConnectError::Retry(_)) => {
                    wrong.push(error);
                    break;
                }
                Err(error) => wrong.push(error.of_route(n)),
            }
        }
        if let Some(link) = Arc::into_inner(link) {
            link.close(CONNECT).await;
        }
        wrong
    }

    fn describe(&self) -> String {
        let names: Vec<_> = self.exchanges.iter().map(|exchange| &*exchange.name).collect();
        format!("exchanges {} at {}", names.join(", "), self.manner.endpoint)
    }

    fn trouble(&self) -> Option<String> {
        let blocked = self.status.is_blocked();
        blocked.then(|| format!("{} blocks publishes (memory or disk alarm)", self.manner.endpoint))
    }

    fn duplicate_headers(&self) -> u64 {
        self.duplicates.count()
    }
}

struct LiveSink {
    id: Id,
    endpoint: Endpoint,
    link: Arc<Link>,
    channel: Channel,
    limits: Limits,
    mandatory: bool,
    /// Exchanges at which it is not asked for: they answer that no queue takes a message which they
    /// hand on later.
    later: Vec<String>,
    confirm_timeout: Duration,
    /// Why nothing can be published any more.
    dead: Option<String>,
    /// Of the link.
    bell: watch::Receiver<()>,
}

/// Why a channel is of no use any more.
struct Broken {
    why: String,
    by: By,
}

enum By {
    /// By something that a message holds, as another's user-id, a size above the broker's limit, or
    /// a routing key that the user may not publish with.
    Content,
    /// The confirms did not come in time.
    Delay,
    Other,
}

#[async_trait]
impl Sink for LiveSink {
    async fn put(&mut self, block: &[Outgoing]) -> Vec<Result<(), PutError>> {
        let mut results = Vec::with_capacity(block.len());
        let mut rest = block;
        while !rest.is_empty() {
            let (window, behind) = rest.split_at_checked(window(rest)).unwrap_or((rest, &[]));
            self.put_window(window, &mut results).await;
            rest = behind;
        }
        results
    }

    async fn declare(&mut self, queue: &DelayQueue) -> Result<(), ConnectError> {
        Topology { endpoint: &self.endpoint, link: &self.link }.delay_queue(queue).await
    }

    async fn lost(&mut self) -> String {
        // What a put found says more than what is left of the channel.
        while self.dead.is_none() && self.channel.status().connected() && self.link.is_live() {
            // Ends at once when it rang since the last look.
            let _ = self.bell.changed().await;
        }
        self.dead.clone().unwrap_or_else(|| "the connection was closed".to_owned())
    }

    async fn close(self: Box<Self>, deadline: Duration) {
        let Self { channel, link, .. } = *self;
        let goodbye = async {
            // A channel that is closed already is as good.
            let _ = channel.close(200, ok()).await;
            if let Some(link) = Arc::into_inner(link) {
                link.close(deadline).await;
            }
        };
        if tokio::time::timeout(deadline, goodbye).await.is_err() {
            tracing::debug!("sink dropped without a goodbye");
        }
    }
}

/// How many at the start of `block` go together: as many as its limits allow, and always one.
fn window(block: &[Outgoing]) -> usize {
    let mut bytes = 0;
    let fits = |one: &&Outgoing| {
        bytes += one.message.body().len();
        bytes <= WINDOW_BYTES
    };
    block.iter().take(WINDOW).take_while(fits).count().max(1)
}

impl LiveSink {
    async fn put_window(&mut self, window: &[Outgoing], results: &mut Vec<Result<(), PutError>>) {
        if let Some(why) = &self.dead {
            results.extend(window.iter().map(|_| Err(PutError::Unknown(why.clone()))));
            return;
        }
        let first = self.id.reserve(window.len());
        let mut pending = Pending::new(window.len());
        let mut publishes = Vec::with_capacity(window.len());
        for (at, outgoing) in window.iter().enumerate() {
            match publish(outgoing, self.id.text(first + at as u64), &self.limits) {
                Ok(checked) => publishes.push((at, checked, outgoing)),
                Err(error) => pending.refuse(at, error),
            }
        }
        if !publishes.is_empty() {
            let only = publishes.len() == 1;
            // Holds if this future is dropped on the way: late returns would find no owner.
            self.dead = Some("a block was abandoned".to_owned());
            let broken = self.deliver(publishes, first, &mut pending).await.err();
            match &broken {
                Some(Broken { why, by: By::Content }) if only => pending.fail(why),
                // A return may ride on a confirm that nobody looked at.
                Some(Broken { by: By::Delay, .. }) => pending.distrust(),
                _ => {}
            }
            self.dead = broken.map(|broken| broken.why);
        }
        results.extend(pending.into_results(self.dead.as_deref()));
    }

    /// Publishes and awaits every confirm, noting in `pending` what became of each.
    async fn deliver(
        &self,
        publishes: Vec<(usize, Publish, &Outgoing)>,
        first: u64,
        pending: &mut Pending,
    ) -> Result<(), Broken> {
        let progress = Progress::new(publishes.len());
        let sent = publishes.into_iter().map(async |(at, publish, outgoing)| {
            let Publish { exchange, routing_key, properties } = publish;
            let body = outgoing.message.body();
            let later = self.later.iter().any(|later| *later == *outgoing.exchange);
            let mandatory = self.mandatory && !later;
            let options = BasicPublishOptions { mandatory, ..Default::default() };
            let handed =
                self.channel.basic_publish(exchange, routing_key, options, body, properties).await;
            progress.handed();
            let confirmed = match handed {
                Ok(confirm) => confirm.await,
                Err(error) => Err(error),
            };
            progress.confirmed();
            (at, confirmed)
        });
        let settled = async {
            let mut outcome = Ok(());
            for (at, confirmed) in join_all(sent).await {
                // After a failure too: others may have been confirmed before it.
                outcome = outcome.and(self.confirm(at, confirmed, first, pending));
            }
            outcome
        };
        self.in_time(settled, &progress).await
    }

    /// Notes one confirm.
    fn confirm(
        &self,
        at: usize,
        confirmation: lapin::Result<Confirmation>,
        first: u64,
        pending: &mut Pending,
    ) -> Result<(), Broken> {
        match confirmation {
            Ok(confirmation) => {
                let confirmed = pending.confirmed(at, confirmation, &self.id, first);
                confirmed.map_err(|why| Broken { why, by: By::Other })
            }
            Err(error) => {
                let by = match refusal(&error) {
                    Refusal::Different | Refusal::Key => By::Content,
                    _ => By::Other,
                };
                Err(Broken { why: self.link.explain(&error), by })
            }
        }
    }

    /// Runs `settled` until nothing of its block has moved for the confirm timeout: no bytes of it
    /// to the broker, and no confirm back. Time in which the broker is blocked does not count, for
    /// it decides nothing then. A connection that was late is not used again.
    async fn in_time(
        &self,
        settled: impl Future<Output = Result<(), Broken>>,
        progress: &Progress,
    ) -> Result<(), Broken> {
        let mut settled = std::pin::pin!(settled);
        let mut waited = Duration::ZERO;
        while waited < self.confirm_timeout {
            let look = PROGRESS.min(self.confirm_timeout - waited);
            if let Ok(result) = tokio::time::timeout(look, &mut settled).await {
                return result;
            }
            if progress.made(self.link.moved(), self.link.between()) {
                waited = Duration::ZERO;
            } else if !self.link.connection.status().blocked() {
                waited += look;
            }
        }
        self.link.condemn();
        let why = format!("no confirm within {:?}, {progress}", self.confirm_timeout);
        Err(Broken { why, by: By::Delay })
    }
}

#[cfg(test)]
mod tests {
    use lockgate_message::Message;
    use lockgate_transport::RoutingKey;

    use super::*;

    #[test]
    fn a_window_is_bounded_by_bytes_and_count_but_holds_one() {
        const MIB: usize = 1 << 20;
        let windows = |bodies: &[usize]| {
            let outgoing = |size: &usize| Outgoing {
                message: Message::new(Default::default(), vec![0; *size]),
                exchange: "".into(),
                routing_key: RoutingKey::Same,
            };
            let block: Vec<_> = bodies.iter().map(outgoing).collect();
            let (mut rest, mut sizes) = (&block[..], Vec::new());
            while !rest.is_empty() {
                sizes.push(window(rest));
                rest = &rest[window(rest)..];
            }
            sizes
        };
        assert_eq!(windows(&[1; 600]), [256, 256, 88]);
        assert_eq!(windows(&[MIB, 3 * MIB, 1, 9 * MIB, 9 * MIB, 4 * MIB]), [2, 1, 1, 1, 1]);
    }
}
