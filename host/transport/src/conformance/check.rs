//! The words that cases are written in: connect, publish, take, put, compare.

use std::fmt::Debug;
use std::time::Duration;

use lockgate_message::{Delivery, Head, Message};

use super::{Check, Fixture, Topology};
use crate::{Outgoing, PutError, RoutingKey, Sink, Source, SourceError};

/// How long closing may take.
pub(super) const CLOSE: Duration = Duration::from_secs(10);

pub(super) fn ensure(holds: bool, otherwise: impl FnOnce() -> String) -> Check {
    if holds { Ok(()) } else { Err(otherwise()) }
}

pub(super) fn same<T: PartialEq + Debug>(what: &str, got: &T, expected: &T) -> Check {
    ensure(got == expected, || format!("{what}: got {got:?}, expected {expected:?}"))
}

pub(super) async fn source(
    fixture: &dyn Fixture,
    queue: &str,
    prefetch: u16,
) -> Result<Box<dyn Source>, String> {
    fixture.source(queue, prefetch).connect().await.map_err(|error| format!("source: {error}"))
}

pub(super) async fn sink(fixture: &dyn Fixture) -> Result<Box<dyn Sink>, String> {
    fixture.sink().connect(0).await.map_err(|error| format!("sink: {error}"))
}

/// A message whose body is a number.
pub(super) fn numbered(n: usize) -> Message {
    Message::new(Head::default(), n.to_string())
}

pub(super) fn number(message: &Message) -> Result<usize, String> {
    std::str::from_utf8(message.body())
        .ok()
        .and_then(|text| text.parse().ok())
        .ok_or_else(|| format!("a body that nobody published: {:?}", message.body()))
}

pub(super) fn numbers(deliveries: &[Delivery]) -> Result<Vec<usize>, String> {
    deliveries.iter().map(|delivery| number(&delivery.message)).collect()
}

/// Publishes the numbers of a range, past the transport under test.
pub(super) async fn publish(
    fixture: &dyn Fixture,
    to: &Topology,
    range: std::ops::Range<usize>,
) -> Check {
    for n in range {
        fixture.publish(&to.exchange, &to.key, numbered(n)).await?;
    }
    Ok(())
}

/// Takes exactly `count` deliveries, in as many calls as it needs.
pub(super) async fn take(source: &mut dyn Source, count: usize) -> Result<Vec<Delivery>, String> {
    let mut taken = Vec::new();
    while taken.len() < count {
        let (before, max) = (taken.len(), count - taken.len());
        source.next(max, &mut taken).await.map_err(|error| format!("next: {error}"))?;
        ensure(taken.len() > before, || "next returned without a delivery".into())?;
        ensure(taken.len() <= count, || format!("next({max}) gave more than that"))?;
    }
    Ok(taken)
}

pub(super) async fn take_one(source: &mut dyn Source) -> Result<Delivery, String> {
    take(source, 1).await?.pop().ok_or_else(|| "no delivery".into())
}

/// Waits for the error that ends the source, settling nothing of what still comes.
pub(super) async fn end(source: &mut dyn Source) -> (Vec<Delivery>, SourceError) {
    let mut rest = Vec::new();
    loop {
        if let Err(error) = source.next(16, &mut rest).await {
            return (rest, error);
        }
    }
}

pub(super) fn outgoing(to: &Topology, key: &str, message: Message) -> Outgoing {
    Outgoing {
        exchange: to.exchange.as_str().into(),
        routing_key: RoutingKey::Fixed(key.into()),
        message,
    }
}

/// Puts a block and checks that the sink answers once for each message.
pub(super) async fn put(
    sink: &mut dyn Sink,
    block: &[Outgoing],
) -> Result<Vec<Result<(), PutError>>, String> {
    let results = sink.put(block).await;
    same("results of a block", &results.len(), &block.len())?;
    Ok(results)
}

/// Puts one message that must be stored.
pub(super) async fn put_one(sink: &mut dyn Sink, message: Outgoing) -> Check {
    for result in put(sink, &[message]).await? {
        result.map_err(|error| format!("put: {error}"))?;
    }
    Ok(())
}
