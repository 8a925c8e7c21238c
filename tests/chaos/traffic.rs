//! Traffic: a publisher and a consumer for each outlet, which live through all that happens to the
//! broker. For speed most of it goes by the client library that the host uses, and nothing else of
//! it; an eighth of the messages is published, and two outlets are consumed, by pika.

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use anyhow::{Context, Result, bail};
use futures_util::future::join_all;
use futures_util::{FutureExt, StreamExt};
use lapin::options::{
    BasicAckOptions, BasicConsumeOptions, BasicGetOptions, BasicPublishOptions, BasicQosOptions,
    ConfirmSelectOptions,
};
use lapin::types::{FieldTable, ShortString};
use lapin::{Channel, Connection, ConnectionProperties};
use tokio::sync::watch;
use tokio::time::{Instant, sleep, sleep_until, timeout};

use crate::content::{self, Arrival};
use crate::ledger::Ledger;
use crate::message::{self, Kind};
use crate::pika::Publisher;

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

    /// The queue that a message is published to.
    pub(crate) fn source_of(&self, seq: u64) -> String {
        self.named(if Kind::of(seq) == Kind::Keyed { "keys-in" } else { "in" })
    }

    /// Publishes at most `rate` messages a second until as many as `goal` says are sent.
    pub(crate) async fn publish(self, pika: Publisher, rate: u64, mut goal: watch::Receiver<u64>) {
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
                if self.block(&channel, &pika, count).await.is_err() {
                    break;
                }
                // What an outage has cost is not made up for.
                due = (due + pace).max(Instant::now());
                sleep_until(due).await;
            }
        }
    }

    /// Publishes the next `count` messages; an error when the channel is of no use any more.
    async fn block(&self, channel: &Channel, pika: &Publisher, count: u64) -> Result<()> {
        let seqs: Vec<u64> = {
            let mut ledger = self.ledger();
            (0..count).map(|_| ledger.send()).collect()
        };
        let (theirs, ours): (Vec<u64>, Vec<u64>) =
            seqs.into_iter().partition(|seq| message::by_pika(*seq));
        let (ours, ()) = tokio::join!(self.by_lapin(channel, &ours), self.by_pika(pika, theirs));
        ours
    }

    async fn by_pika(&self, pika: &Publisher, seqs: Vec<u64>) {
        if seqs.is_empty() {
            return;
        }
        let (traffic, pika) = (self.clone(), pika.clone());
        let publishing = tokio::task::spawn_blocking(move || {
            match pika.publish(&traffic, &seqs) {
                Ok(true) => seqs.iter().for_each(|seq| traffic.ledger().answered(*seq, true)),
                // As after any lost connection.
                Ok(false) => {}
                Err(error) => traffic.ledger().complain(format!("{error:#}")),
            }
        });
        // It does not panic.
        let _ = publishing.await;
    }

    async fn by_lapin(&self, channel: &Channel, seqs: &[u64]) -> Result<()> {
        let publishes = seqs.iter().map(|seq| async move {
            let (body, properties) =
                (message::body(&self.run, *seq), content::for_lapin(&self.run, *seq));
            let queue = ShortString::from(self.source_of(*seq));
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
                self.ledger().came(outlet, &Arrival::by_lapin(&delivery));
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
