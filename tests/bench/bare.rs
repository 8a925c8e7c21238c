//! The baseline: the best bare loop over the AMQP client alone, in a process of its own. Blocks of
//! up to 256 publishes in flight, their confirms awaited, one ack for the block; on two
//! connections, persistent, mandatory, with one header added, as the daemon does it.

use std::collections::BTreeMap;

use anyhow::{Context, Result, ensure};
use futures_util::future::join_all;
use futures_util::{FutureExt, StreamExt};
use lapin::message::Delivery;
use lapin::options::{
    BasicAckOptions, BasicConsumeOptions, BasicPublishOptions, BasicQosOptions,
    ConfirmSelectOptions,
};
use lapin::types::{AMQPValue, FieldTable, ShortString};
use lapin::{Channel, Confirmation, Connection, ConnectionProperties, Consumer};

/// Most publishes in flight.
pub(crate) const BLOCK: usize = 256;
pub(crate) const PREFETCH: u16 = 1000;

/// Forwards until it is killed.
#[tokio::main]
pub(crate) async fn run(url: &str, from: &str, to: &str) -> Result<()> {
    let (consuming, publishing) = (connect(url).await?, connect(url).await?);
    let source = consuming.create_channel().await?;
    source.basic_qos(PREFETCH, BasicQosOptions::default()).await?;
    let options = BasicConsumeOptions::default();
    let mut consumer =
        source.basic_consume(from.into(), "".into(), options, FieldTable::default()).await?;
    let target = publishing.create_channel().await?;
    target.confirm_select(ConfirmSelectOptions::default()).await?;
    let mut done = 0;
    loop {
        let block = take(&mut consumer).await?;
        put(&target, to, done, &block).await?;
        done += block.len();
        if let Some(last) = block.last() {
            source.basic_ack(last.delivery_tag, BasicAckOptions { multiple: true }).await?;
        }
    }
}

/// lapin takes a trailing `/` for a virtual host without a name.
pub(crate) async fn connect(url: &str) -> Result<Connection> {
    let url = url.trim_end_matches('/');
    Ok(Connection::connect(url, ConnectionProperties::default()).await?)
}

async fn take(consumer: &mut Consumer) -> Result<Vec<Delivery>> {
    let mut block = vec![consumer.next().await.context("cancelled")??];
    while block.len() < BLOCK
        && let Some(next) = consumer.next().now_or_never()
    {
        block.push(next.context("cancelled")??);
    }
    Ok(block)
}

async fn put(channel: &Channel, to: &str, done: usize, block: &[Delivery]) -> Result<()> {
    let options = BasicPublishOptions { mandatory: true, ..BasicPublishOptions::default() };
    let publishes = block.iter().enumerate().map(|(n, delivery)| {
        let headers = delivery.properties.headers().as_ref();
        let mut headers: BTreeMap<ShortString, AMQPValue> =
            headers.map(|headers| headers.inner().clone()).unwrap_or_default();
        let id = format!("1-0-{}", done + n);
        headers.insert("lockgate-id".into(), AMQPValue::LongString(id.into()));
        let properties = delivery.properties.clone().with_delivery_mode(2);
        let properties = properties.with_headers(headers.into());
        channel.basic_publish("".into(), to.into(), options, &delivery.data, properties)
    });
    for published in join_all(publishes).await {
        ensure!(published?.await? == Confirmation::Ack(None), "not confirmed");
    }
    Ok(())
}
