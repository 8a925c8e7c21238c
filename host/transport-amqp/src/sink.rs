//! Sink: one publish channel, owned by one lane.
//!
//! A block is published as one: all its futures polled together, then all its confirms awaited.
//! Only then are results made, so that every return of the block has been seen, on whichever
//! confirm the client reported it: it reports them on wrong ones, and each carries our id.

mod pending;

use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, Weak};
use std::time::Duration;

use async_trait::async_trait;
use futures_util::future::join_all;
use lapin::options::{BasicPublishOptions, ConfirmSelectOptions};
use lapin::{Channel, PublisherConfirm};
use lockgate_transport::declare::SettingsError;
use lockgate_transport::{ConnectError, DelayQueue, Outgoing, PutError, Sink, SinkConnector};
use tokio::sync::{Mutex, watch};

use crate::connection::{CONNECT, Link, ok};
use crate::convert::{Limits, Publish, publish};
use crate::fault::{Refusal, refusal};
use crate::settings::{Endpoint, Grant, RouteSettings};
use crate::status::Status;
use crate::topology::{TargetExchange, Topology};

use pending::{Id, Pending};

/// Most publishes without their confirms.
const WINDOW: usize = 256;

/// How often a waiting block looks whether the broker is blocked.
const LOOK: Duration = Duration::from_millis(500);

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
                }),
            }
        }
        if errors.is_empty() { Ok(Shared { sinks, of_route }) } else { Err(errors) }
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
        let mut link = Link::open(&self.manner.endpoint, "sink", None).await?;
        self.status.connected(&link);
        link.watch = Some(self.status.watch(&link, &self.manner.endpoint));
        let link = Arc::new(link);
        *shared = Arc::downgrade(&link);
        Ok(link)
    }

    async fn open(&self, lane: usize) -> Result<LiveSink, ConnectError> {
        let link = self.link().await?;
        let endpoint = &self.manner.endpoint;
        let topology = Topology { endpoint, link: &link };
        let first = !self.worked.load(Ordering::Relaxed);
        for (n, TargetExchange { name, declare }) in self.exchanges.iter().enumerate() {
            topology.target(name, declare.as_ref(), first).await.map_err(|e| e.of_route(n))?;
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
}

struct LiveSink {
    id: Id,
    endpoint: Endpoint,
    link: Arc<Link>,
    channel: Channel,
    limits: Limits,
    mandatory: bool,
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
        for window in block.chunks(WINDOW) {
            self.put_window(window, &mut results).await;
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
        let options = BasicPublishOptions { mandatory: self.mandatory, ..Default::default() };
        let sent = publishes.into_iter().map(async |(at, publish, outgoing)| {
            let Publish { exchange, routing_key, properties } = publish;
            let body = outgoing.message.body();
            let sent =
                self.channel.basic_publish(exchange, routing_key, options, body, properties).await;
            (at, sent)
        });
        let settled = async {
            let mut outcome = Ok(());
            for (at, sent) in join_all(sent).await {
                // After a failure too: others may have been confirmed before it.
                outcome = outcome.and(self.confirm(at, sent, first, pending).await);
            }
            outcome
        };
        self.in_time(settled).await
    }

    /// Awaits one confirm.
    async fn confirm(
        &self,
        at: usize,
        sent: lapin::Result<PublisherConfirm>,
        first: u64,
        pending: &mut Pending,
    ) -> Result<(), Broken> {
        let confirmation = match sent {
            Ok(confirm) => confirm.await,
            Err(error) => Err(error),
        };
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

    /// Runs `settled` within the confirm timeout; time in which the broker is blocked does not
    /// count, for it decides nothing then. A connection that was late is not used again.
    async fn in_time(
        &self,
        settled: impl Future<Output = Result<(), Broken>>,
    ) -> Result<(), Broken> {
        let mut settled = std::pin::pin!(settled);
        let mut waited = Duration::ZERO;
        while waited < self.confirm_timeout {
            let look = LOOK.min(self.confirm_timeout - waited);
            if let Ok(result) = tokio::time::timeout(look, &mut settled).await {
                return result;
            }
            if !self.link.connection.status().blocked() {
                waited += look;
            }
        }
        self.link.condemn();
        let why = format!("no confirm within {:?}", self.confirm_timeout);
        Err(Broken { why, by: By::Delay })
    }
}
