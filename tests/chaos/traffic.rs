//! Traffic: one publisher and a consumer for each outlet, which live through all that happens to
//! the broker. For speed they use the client library that the host uses, and nothing else of it;
//! the tests in `e2e/` judge the same promises by other clients.

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use anyhow::{Context, Result, bail};
use futures_util::future::join_all;
use futures_util::{FutureExt, StreamExt};
use lapin::options::{
    BasicAckOptions, BasicConsumeOptions, BasicGetOptions, BasicPublishOptions, BasicQosOptions,
    ConfirmSelectOptions,
};
use lapin::types::{AMQPValue, FieldTable, ShortString};
use lapin::{BasicProperties, Channel, Connection, ConnectionProperties};
use tokio::sync::watch;
use tokio::time::{Instant, sleep, sleep_until, timeout};

use crate::ledger::Ledger;
use crate::message::{self, Kind};

/// Messages published at once; what a fault makes unknown.
const BLOCK: u64 = 64;
/// Most deliveries that one ack covers.
const ACKED: usize = 256;
const PREFETCH: u16 = 1000;
/// A broker that does not answer for so long is given up.
const PATIENCE: Duration = Duration::from_secs(20);
/// The time between two attempts to connect.
const AGAIN: Duration = Duration::from_millis(20);

/// What publisher and consumers share.
#[derive(Clone)]
pub(crate) struct Traffic {
    pub(crate) url: String,
    pub(crate) run: Arc<str>,
    pub(crate) ledger: Arc<Mutex<Ledger>>,
}

impl Traffic {
    pub(crate) fn ledger(&self) -> MutexGuard<'_, Ledger> {
        self.ledger.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// The name of a queue or exchange of this run.
    pub(crate) fn named(&self, what: &str) -> String {
        format!("{}.{what}", self.run)
    }

    /// Publishes at most `rate` messages a second until as many as `goal` says are sent.
    pub(crate) async fn publish(self, rate: u64, mut goal: watch::Receiver<u64>) {
        let pace = Duration::from_secs(BLOCK) / u32::try_from(rate).unwrap_or(u32::MAX);
        let mut due = Instant::now();
        loop {
            let (_connection, channel) = self.channel().await;
            let selecting = channel.confirm_select(ConfirmSelectOptions::default());
            if !matches!(timeout(PATIENCE, selecting).await, Ok(Ok(()))) {
                continue;
            }
            loop {
                let more = |goal: &u64| *goal > self.ledger().sent();
                let Ok(goal) = goal.wait_for(more).await.map(|goal| *goal) else { return };
                let count = BLOCK.min(goal.saturating_sub(self.ledger().sent()));
                if self.block(&channel, count).await.is_err() {
                    break;
                }
                // What an outage has cost is not made up for.
                due = (due + pace).max(Instant::now());
                sleep_until(due).await;
            }
        }
    }

    /// Publishes the next `count` messages; an error when the channel is of no use any more.
    async fn block(&self, channel: &Channel, count: u64) -> Result<()> {
        let seqs: Vec<u64> = {
            let mut ledger = self.ledger();
            (0..count).map(|_| ledger.send()).collect()
        };
        let publishes = seqs.iter().map(|seq| async move {
            let (body, properties) = (message::body(&self.run, *seq), self.properties(*seq));
            let queue = if Kind::of(*seq) == Kind::Keyed { "keys-in" } else { "in" };
            let queue = ShortString::from(self.named(queue));
            let options = BasicPublishOptions::default();
            channel.basic_publish("".into(), queue, options, &body, properties).await
        });
        let answers = async {
            let mut all = Ok(());
            // The others may have been answered before one that was not.
            for (seq, sent) in seqs.iter().zip(join_all(publishes).await) {
                let answer = match sent {
                    Ok(confirm) => confirm.await,
                    Err(error) => Err(error),
                };
                match answer {
                    Ok(answer) => self.ledger().answered(*seq, answer.is_ack()),
                    Err(error) => all = Err(error.into()),
                }
            }
            all
        };
        timeout(PATIENCE, answers).await?
    }

    fn properties(&self, seq: u64) -> BasicProperties {
        let mut headers = FieldTable::default();
        let key = message::key(seq).to_string();
        headers.insert("x-key".into(), AMQPValue::LongString(key.into()));
        BasicProperties::default()
            .with_delivery_mode(2)
            .with_content_type("application/json".into())
            .with_message_id(format!("{}-{seq}", self.run).into())
            .with_headers(headers)
    }

    /// Takes what comes to `outlet` into the ledger, for ever.
    pub(crate) async fn consume(self, outlet: &'static str) {
        loop {
            // Whatever it is, the broker is away or on its way back.
            drop(self.consume_once(outlet).await);
            sleep(AGAIN).await;
        }
    }

    async fn consume_once(&self, outlet: &'static str) -> Result<()> {
        let (_connection, channel) = self.channel().await;
        channel.basic_qos(PREFETCH, BasicQosOptions::default()).await?;
        let queue = ShortString::from(self.named(outlet));
        let options = BasicConsumeOptions::default();
        let consuming = channel.basic_consume(queue, "".into(), options, FieldTable::default());
        let mut consumer = timeout(PATIENCE, consuming).await??;
        loop {
            let mut next = Some(consumer.next().await);
            let mut last = None;
            for _ in 0..ACKED {
                let Some(delivery) = next else { break };
                let delivery = delivery.context("cancelled")??;
                self.ledger().came(outlet, &delivery.data, delivery.redelivered);
                last = Some(delivery.delivery_tag);
                next = consumer.next().now_or_never();
            }
            if let Some(last) = last {
                let ack = channel.basic_ack(last, BasicAckOptions { multiple: true });
                timeout(PATIENCE, ack).await??;
            }
        }
    }

    /// Eats one message of `outlet`, as a lossy consumer would; its number.
    pub(crate) async fn steal(&self, outlet: &str) -> Result<u64> {
        let (_connection, channel) = self.channel().await;
        let queue = ShortString::from(self.named(outlet));
        let options = BasicGetOptions { no_ack: true };
        let Some(message) = channel.basic_get(queue, options).await? else { bail!("no message") };
        message::number(&self.run, &message.delivery.data)
    }

    /// A new connection and a channel of it, however long that takes.
    async fn channel(&self) -> (Connection, Channel) {
        // lapin takes a trailing `/` for a virtual host without a name.
        let url = format!("{}?heartbeat=5", self.url.trim_end_matches('/'));
        loop {
            let open = async {
                let connection = Connection::connect(&url, ConnectionProperties::default()).await?;
                let channel = connection.create_channel().await?;
                lapin::Result::Ok((connection, channel))
            };
            match timeout(PATIENCE, open).await {
                Ok(Ok(open)) => return open,
                Ok(Err(_)) | Err(_) => sleep(AGAIN).await,
            }
        }
    }
}
