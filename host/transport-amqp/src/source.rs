//! Source: one consumer, its deliveries and their settlement.

use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;
use futures_util::{FutureExt, StreamExt};
use lapin::options::{
    BasicCancelOptions, BasicConsumeOptions, BasicQosOptions, QueueDeclareOptions,
};
use lapin::types::{AMQPValue, FieldTable};
use lapin::{Channel, Consumer};
use lockgate_message::{AckHandle, Delivery, Settle};
use lockgate_transport::declare::{Declaring, SettingsError};
use lockgate_transport::{ConnectError, Source, SourceConnector, SourceError};

use crate::connection::{CONNECT, Link};
use crate::guard::{Inbox, Taken};
use crate::settings::{Endpoint, SourceSettings, field_table};
use crate::settle::Settler;
use crate::status::Status;
use crate::topology::{Topology, short};

/// Time for the broker to answer a cancel.
const CANCEL: Duration = Duration::from_secs(5);

/// Connects to one queue.
#[derive(Debug)]
pub struct AmqpSource {
    settings: SourceSettings,
    endpoint: Endpoint,
    status: Arc<Status>,
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
        let (status, declaring) = Default::default();
        Ok(Self { settings, endpoint, status, declaring })
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
        let inbox = Arc::new(Inbox::new(*prefetch));
        let purpose = format!("source {queue}");
        let link = Link::open(&self.endpoint, &purpose, Some(inbox.clone())).await?;
        let topology = Topology { endpoint: &self.endpoint, link: &link };
        topology.source(&self.settings, last).await?;
        let refused = |error| topology.refused("queue", queue, &error, true);
        let create = link.connection.create_channel();
        let channel = link.answer(CONNECT, create).await.map_err(refused)?;
        let qos = channel.basic_qos(*prefetch, BasicQosOptions::default());
        link.answer(CONNECT, qos).await.map_err(refused)?;
        let mut arguments = field_table(&self.settings.arguments);
        // Said even where it is the default: streams know no priorities and so refuse the consumer,
        // to which they would send everything anew after each restart.
        if self.settings.priority.is_some() || !arguments.contains_key("x-priority") {
            let priority = self.settings.priority.unwrap_or_default();
            arguments.insert("x-priority".into(), AMQPValue::LongInt(priority));
        }
        let options = BasicConsumeOptions { exclusive: *exclusive, ..Default::default() };
        let consume = channel.basic_consume(short(queue)?, short("")?, options, arguments);
        let consumer = link.answer(CONNECT, consume).await.map_err(refused)?;
        self.status.connected(&link);
        let settler = Settler::start(channel.clone());
        Ok(LiveSource {
            queue: queue.clone(),
            link,
            channel,
            consumer,
            inbox,
            settler,
            cancelled: false,
            ended: false,
        })
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
        link.close(CANCEL).await;
        Ok(())
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

struct LiveSource {
    queue: String,
    link: Link,
    channel: Channel,
    /// Yields no deliveries, for the guard takes them out before; only its end.
    consumer: Consumer,
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

    /// Waits until the broker has taken the settlements: a quorum queue may hear of the end of a
    /// connection before it hears of acks that came just before, and delivers those again. This asks
    /// the queue itself, on the same channel, and so is answered after them.
    async fn arrived(&self) {
        let options = QueueDeclareOptions { passive: true, ..Default::default() };
        let Ok(queue) = short(&self.queue) else { return };
        let ask = self.channel.queue_declare(queue, options, FieldTable::default());
        // Whatever the answer, it came after them.
        let _ = self.link.answer(CANCEL, ask).await;
    }

    fn abandoned(&self, error: impl Into<String>) -> SourceError {
        self.settler.abandon();
        SourceError::Lost(error.into())
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
            if max == 0 || hand_out(&self.inbox, &self.settler, max, into) > 0 {
                return Ok(());
            }
            if self.ended {
                return Err(SourceError::End);
            }
            let item = tokio::select! {
                () = self.inbox.arrived() => continue,
                () = self.settler.ended() => continue,
                item = self.consumer.next() => item,
            };
            self.consumer_ended(item)?;
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
            let item = tokio::select! {
                () = self.settler.ended() => continue,
                item = self.consumer.next() => item,
            };
            if let Err(lost) = self.consumer_ended(item) {
                return lost;
            }
        }
    }

    async fn cancel(&mut self) {
        if std::mem::replace(&mut self.cancelled, true) {
            return;
        }
        let options = BasicCancelOptions::default();
        let cancel = self.channel.basic_cancel(self.consumer.tag(), options);
        if !matches!(tokio::time::timeout(CANCEL, cancel).await, Ok(Ok(()))) {
            // The broker redelivers what is not settled; nothing to wait for any more.
            self.settler.abandon();
        }
    }

    fn return_in_order(&mut self) {
        self.settler.return_in_order();
    }

    async fn close(mut self: Box<Self>, deadline: Duration) {
        let goodbye = async {
            if !self.settler.returns_in_order() {
                // Or the broker sends again what is given back here.
                self.cancel().await;
            }
            self.settler.close().await;
            self.arrived().await;
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
