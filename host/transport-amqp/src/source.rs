//! Source: one consumer, its deliveries and their settlement.

mod grow;
mod window;

use std::sync::{Arc, OnceLock};
use std::time::{Duration, Instant};

use async_trait::async_trait;
use futures_util::future::BoxFuture;
use futures_util::{FutureExt, StreamExt};
use lapin::Consumer;
use lapin::options::{BasicCancelOptions, BasicConsumeOptions};
use lapin::types::AMQPValue;
use lockgate_message::{AckHandle, Delivery, Settle};
use lockgate_transport::declare::{Declaring, SettingsError};
use lockgate_transport::{ConnectError, Source, SourceConnector, SourceError};

use crate::connection::{CONNECT, Link};
use crate::guard::{Budget, Inbox, Taken};
use crate::settings::{Endpoint, SourceSettings, field_table};
use crate::settle::Settler;
use crate::status::Status;
use crate::topology::{Nature, Topology};

use grow::Consuming;
use window::Window;

/// How long to wait before looking again whether there is memory for more.
const FULL: Duration = Duration::from_millis(500);

/// Time for the broker to answer a cancel, without a byte from it.
const CANCEL: Duration = Duration::from_secs(5);

/// Connects to one queue.
#[derive(Debug)]
pub struct AmqpSource {
    settings: SourceSettings,
    endpoint: Endpoint,
    status: Arc<Status>,
    /// Of all its connections: what one leaves behind counts against the next.
    budget: Arc<Budget>,
    /// The order of messages matters: a consumer is never replaced, for another host's could come
    /// between.
    ordered: bool,
    /// What its queue is, if it is a quorum queue; asked for once.
    nature: OnceLock<Option<Nature>>,
    declaring: Declaring,
}

impl AmqpSource {
    /// Checks the settings; connects nothing.
    ///
    /// # Errors
    /// All that is wrong with them.
    pub fn new(settings: SourceSettings) -> Result<Self, Vec<SettingsError>> {
        let errors = settings.validate();
        if !errors.is_empty() {
            return Err(errors);
        }
        let endpoint = settings.endpoint()?;
        let budget = Arc::new(Budget::new(usize::MAX));
        let (status, ordered, nature, declaring) = Default::default();
        Ok(Self { settings, endpoint, status, budget, ordered, nature, declaring })
    }

    /// Reads on from the broker only while the messages that were read and are still in memory take
    /// less than so many bytes. One message is always read, however large.
    #[must_use]
    pub fn bounded(self, in_flight_bytes: usize) -> Self {
        Self { budget: Arc::new(Budget::new(in_flight_bytes)), ..self }
    }

    /// Says whether the order of messages matters.
    #[must_use]
    pub fn ordered(self, ordered: bool) -> Self {
        Self { ordered, ..self }
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

    async fn open(&self) -> Result<LiveSource, ConnectError> {
        let last = !self.declaring.any();
        let SourceSettings { queue, prefetch, exclusive, .. } = &self.settings;
        let inbox = Arc::new(Inbox::new(*prefetch, self.budget.clone()));
        let purpose = format!("source {queue}");
        let link = Arc::new(Link::open(&self.endpoint, &purpose, Some(inbox.clone())).await?);
        let topology = Topology { endpoint: &self.endpoint, link: &link };
        topology.source(&self.settings, last).await?;
        let nature = self.nature(&topology).await?;
        let slow = nature.is_some() && !self.ordered && !exclusive;
        let window = Window::new(*prefetch, slow, Instant::now());
        let refused = |error| topology.refused("queue", queue, &error, true);
        let create = link.connection.create_channel();
        let channel = link.answer(CONNECT, create).await.map_err(refused)?;
        let mut arguments = field_table(&self.settings.arguments);
        // Said even where it is the default: streams know no priorities and so refuse the consumer,
        // to which they would send everything anew after each restart.
        if self.settings.priority.is_some() || !arguments.contains_key("x-priority") {
            let priority = self.settings.priority.unwrap_or_default();
            arguments.insert("x-priority".into(), AMQPValue::LongInt(priority));
        }
        let settler = Settler::start(channel.clone());
        let consuming = Consuming {
            queue: queue.clone(),
            options: BasicConsumeOptions { exclusive: *exclusive, ..Default::default() },
            arguments,
            full: *prefetch,
            link: link.clone(),
            channel,
            inbox: inbox.clone(),
            settler: settler.clone(),
        };
        let consumer = match consuming.consume(window.size()).await {
            Ok(Ok(consumer)) => consumer,
            Ok(Err(error)) => {
                settler.abandon();
                return Err(refused(error));
            }
            Err(error) => {
                settler.abandon();
                return Err(error);
            }
        };
        self.status.connected(&link);
        Ok(LiveSource {
            link,
            consuming,
            consumer,
            window,
            growing: None,
            inbox,
            settler,
            cancelled: false,
            ended: false,
        })
    }

    /// What the queue is, if it is a quorum queue and that can be known. The broker is asked the
    /// first time, and what may be lost there is said in the log then.
    async fn nature(&self, topology: &Topology<'_>) -> Result<Option<Nature>, ConnectError> {
        if let Some(known) = self.nature.get() {
            return Ok(*known);
        }
        let nature = match self.settings.declared() {
            Some(declared) => Nature::declared(&declared.arguments),
            None => topology.nature(&self.settings.queue).await?,
        };
        self.nature.get_or_init(|| nature);
        if let Some(risk) = self.found() {
            tracing::warn!(code = "LG0708", queue = self.settings.queue, "{risk}");
        }
        Ok(nature)
    }
}

#[async_trait]
impl SourceConnector for AmqpSource {
    async fn connect(&self) -> Result<Box<dyn Source>, ConnectError> {
        Ok(Box::new(self.open().await?))
    }

    async fn declare(&self) -> Result<(), ConnectError> {
        let Some(declare) = &self.settings.declare else { return Ok(()) };
        let link = Link::open(&self.endpoint, "declare", None).await?;
        let topology = Topology { endpoint: &self.endpoint, link: &link };
        topology.declare_source(&self.settings.queue, declare).await?;
        link.close(CANCEL).await;
        Ok(())
    }

    async fn check(&self) -> Result<(), ConnectError> {
        let link = Link::open(&self.endpoint, "check", None).await?;
        let topology = Topology { endpoint: &self.endpoint, link: &link };
        topology.source(&self.settings, true).await?;
        topology.no_stream(&self.settings.queue).await?;
        self.nature(&topology).await?;
        link.close(CANCEL).await;
        Ok(())
    }

    fn found(&self) -> Option<String> {
        // What the file declares is judged without a broker.
        let undeclared = self.settings.declared().is_none();
        self.nature.get().copied().flatten().filter(|_| undeclared)?.risk()
    }

    fn describe(&self) -> String {
        format!("queue {} at {}", self.settings.queue, self.endpoint)
    }
}

/// Moves at most `max` deliveries out of the inbox, to be settled by `settler`; says how many.
pub(crate) fn hand_out(
    inbox: &Inbox,
    settler: &Arc<Settler>,
    max: usize,
    into: &mut Vec<Delivery>,
) -> usize {
    let mut first = None;
    let count = inbox.take(max, |taken| {
        let Taken { tag, redelivered, message, quarantine } = taken;
        first.get_or_insert(tag);
        let ack = AckHandle::new(settler.clone(), tag);
        let delivery = Delivery::new(message, redelivered, ack);
        into.push(Delivery { quarantine, ..delivery });
    });
    if let Some(first) = first {
        settler.handed(first..first + count as u64);
    }
    count
}

async fn at(time: Option<Instant>) {
    match time {
        Some(time) => tokio::time::sleep_until(time.into()).await,
        None => std::future::pending().await,
    }
}

struct LiveSource {
    link: Arc<Link>,
    consuming: Consuming,
    /// Yields no deliveries, for the guard takes them out before; only its end.
    consumer: Consumer,
    window: Window,
    /// The consumer is being replaced; its end means nothing then.
    growing: Option<BoxFuture<'static, Result<(Consumer, u16), String>>>,
    inbox: Arc<Inbox>,
    settler: Arc<Settler>,
    cancelled: bool,
    /// The consumer is cancelled and everything it sent stands in the inbox.
    ended: bool,
}

impl LiveSource {
    /// Why the settler ended. The consumer knows better what befell the connection.
    fn cause(&mut self) -> String {
        match self.consumer.next().now_or_never() {
            Some(Some(Err(error))) => self.link.explain(&error),
            _ => self.settler.failure().unwrap_or("connection gone").to_owned(),
        }
    }

    fn abandoned(&self, error: impl Into<String>) -> SourceError {
        self.settler.abandon();
        SourceError::Lost(error.into())
    }

    /// Begins to replace the consumer by one with a larger window, if it is time for that. Says
    /// when to look again.
    fn grow(&mut self) -> Option<Instant> {
        let later = self.window.look_again().filter(|_| !self.cancelled)?;
        if self.growing.is_some() {
            return None;
        }
        let (settled, open, now) = (self.settler.settled(), self.consuming.open(), Instant::now());
        match self.window.grown(settled, open, now) {
            // Its answers would not be read.
            Some(_) if self.inbox.is_held() => Some(now + FULL),
            Some(size) => {
                let growing = self.consuming.clone().grow(self.consumer.tag(), size);
                self.growing = Some(growing.boxed());
                None
            }
            None => Some(later).filter(|later| *later > now),
        }
    }

    /// Waits for what becomes of the consumer. Cancel-safe.
    async fn watch(&mut self) -> Result<(), SourceError> {
        let Some(growing) = &mut self.growing else {
            let item = self.consumer.next().await;
            return self.consumer_ended(item);
        };
        let grown = growing.await;
        self.growing = None;
        match grown {
            Ok((consumer, size)) => {
                self.consumer = consumer;
                self.window.set(size, self.settler.settled(), Instant::now());
                Ok(())
            }
            Err(why) => Err(self.abandoned(why)),
        }
    }

    /// What the end of the consumer's stream means.
    fn consumer_ended(
        &mut self,
        item: Option<lapin::Result<lapin::message::Delivery>>,
    ) -> Result<(), SourceError> {
        match item {
            None if self.cancelled => {
                self.ended = true;
                Ok(())
            }
            None => Err(self.abandoned("the broker cancelled the consumer; is the queue gone?")),
            Some(Err(error)) => Err(self.abandoned(self.link.explain(&error))),
            Some(Ok(_)) => Err(self.abandoned("a delivery passed the guard")),
        }
    }
}

#[async_trait]
impl Source for LiveSource {
    async fn next(&mut self, max: usize, into: &mut Vec<Delivery>) -> Result<(), SourceError> {
        loop {
            if !self.settler.is_live() {
                let cause = self.cause();
                return Err(self.abandoned(cause));
            }
            let again = self.grow();
            if max == 0 || hand_out(&self.inbox, &self.settler, max, into) > 0 {
                return Ok(());
            }
            if self.ended {
                return Err(SourceError::End);
            }
            let (inbox, settler) = (self.inbox.clone(), self.settler.clone());
            tokio::select! {
                () = inbox.arrived() => {}
                () = settler.ended() => {}
                () = at(again) => {}
                watched = self.watch() => watched?,
            }
        }
    }

    async fn lost(&mut self) -> SourceError {
        loop {
            if !self.settler.is_live() {
                let cause = self.cause();
                return self.abandoned(cause);
            }
            if self.ended {
                self.settler.ended().await;
                continue;
            }
            let settler = self.settler.clone();
            let watched = tokio::select! {
                () = settler.ended() => continue,
                watched = self.watch() => watched,
            };
            if let Err(lost) = watched {
                return lost;
            }
        }
    }

    async fn cancel(&mut self) {
        if std::mem::replace(&mut self.cancelled, true) {
            return;
        }
        self.inbox.end();
        if self.growing.is_some() && self.watch().await.is_err() {
            return;
        }
        let options = BasicCancelOptions::default();
        let cancel = self.consuming.channel.basic_cancel(self.consumer.tag(), options);
        if self.link.answer(CANCEL, cancel).await.is_err() {
            // The broker redelivers what is not settled; nothing to wait for any more.
            self.settler.abandon();
        }
    }

    fn return_in_order(&mut self) {
        self.settler.return_in_order();
    }

    async fn close(mut self: Box<Self>, deadline: Duration) {
        // The broker's answers are behind what it has sent.
        self.inbox.end();
        let goodbye = async {
            if !self.settler.returns_in_order() {
                // Or the broker sends again what is given back here.
                self.cancel().await;
            }
            self.settler.close().await;
            self.consuming.arrived().await;
            self.link.close(deadline).await;
        };
        if tokio::time::timeout(deadline, goodbye).await.is_err() {
            tracing::warn!("source dropped before all was settled; the broker delivers it again");
        }
    }
}

impl Drop for LiveSource {
    fn drop(&mut self) {
        self.settler.abandon();
    }
}
