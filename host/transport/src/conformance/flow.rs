//! What a source gives, in which order, and how much of it at once.

use std::collections::BTreeSet;
use std::future::Future;
use std::pin::pin;
use std::task::{Context, Poll, Waker};

use lockgate_message::{Delivery, Settlement};

use super::check::{CLOSE, end, ensure, number, numbers, publish, same, source, take, take_one};
use super::{Check, Fixture};
use crate::{Source, SourceError};

pub(super) async fn a_check_takes_nothing(fixture: &dyn Fixture) -> Check {
    let topology = fixture.fresh().await?;
    publish(fixture, &topology, 0..10).await?;
    let checked = fixture.source(&topology.queue, 10).check().await;
    checked.map_err(|error| error.to_string())?;
    same("ready", &fixture.depth(&topology.queue).await?, &10)?;
    let mut source = source(fixture, &topology.queue, 10).await?;
    for delivery in take(&mut *source, 10).await? {
        ensure(!delivery.redelivered, || "it was taken before".into())?;
        delivery.ack.settle(Settlement::Ack);
    }
    source.close(CLOSE).await;
    let missing = fixture.source("no.such.queue", 10).check().await;
    ensure(missing.is_err(), || "found a queue that is not there".into())
}

pub(super) async fn order_is_kept(fixture: &dyn Fixture) -> Check {
    const COUNT: usize = 500;
    let topology = fixture.fresh().await?;
    let mut source = source(fixture, &topology.queue, 40).await?;
    publish(fixture, &topology, 0..COUNT).await?;
    let mut expected = 0;
    while expected < COUNT {
        let mut taken = Vec::new();
        source.next(16, &mut taken).await.map_err(|error| error.to_string())?;
        ensure(taken.len() <= 16, || format!("next(16) gave {}", taken.len()))?;
        for delivery in taken {
            same("order", &number(&delivery.message)?, &expected)?;
            ensure(!delivery.redelivered, || format!("{expected} came as redelivered"))?;
            expected += 1;
            delivery.ack.settle(Settlement::Ack);
        }
    }
    source.close(CLOSE).await;
    fixture.until_depth(&topology.queue, 0).await
}

pub(super) async fn in_flight_is_prefetch(fixture: &dyn Fixture) -> Check {
    let topology = fixture.fresh().await?;
    publish(fixture, &topology, 0..100).await?;
    let mut source = source(fixture, &topology.queue, 10).await?;
    let mut held = take(&mut *source, 10).await?;
    fixture.until_depth(&topology.queue, 90).await?;
    // Each settled delivery makes room for one more, and only one.
    for settled in 0..5 {
        held.remove(0).ack.settle(Settlement::Ack);
        let next = take_one(&mut *source).await?;
        same("the next", &number(&next.message)?, &(10 + settled))?;
        held.push(next);
        fixture.until_depth(&topology.queue, 89 - settled).await?;
    }
    drop(held);
    source.close(CLOSE).await;
    fixture.until_depth(&topology.queue, 95).await
}

pub(super) async fn a_dropped_next_loses_nothing(fixture: &dyn Fixture) -> Check {
    let topology = fixture.fresh().await?;
    let mut source = source(fixture, &topology.queue, 10).await?;
    let mut taken: Vec<Delivery> = Vec::new();
    for n in 0..20 {
        // Polled once and dropped: before the publish it waits, after it it may take.
        poll_once(&mut *source, &mut taken)?;
        publish(fixture, &topology, n..n + 1).await?;
        poll_once(&mut *source, &mut taken)?;
        while taken.is_empty() {
            source.next(4, &mut taken).await.map_err(|error| error.to_string())?;
        }
        same("taken", &numbers(&taken)?, &vec![n])?;
        for delivery in taken.drain(..) {
            delivery.ack.settle(Settlement::Ack);
        }
    }
    source.close(CLOSE).await;
    Ok(())
}

fn poll_once(source: &mut dyn Source, into: &mut Vec<Delivery>) -> Check {
    let next = pin!(source.next(4, into));
    match next.poll(&mut Context::from_waker(Waker::noop())) {
        Poll::Ready(Err(error)) => Err(error.to_string()),
        Poll::Ready(Ok(())) | Poll::Pending => Ok(()),
    }
}

pub(super) async fn cancel_drains_then_ends(fixture: &dyn Fixture) -> Check {
    let topology = fixture.fresh().await?;
    publish(fixture, &topology, 0..50).await?;
    let mut consuming = source(fixture, &topology.queue, 20).await?;
    let mut taken = take(&mut *consuming, 5).await?;
    consuming.cancel().await;
    let (rest, error) = end(&mut *consuming).await;
    ensure(matches!(error, SourceError::End), || format!("ended with `{error}`"))?;
    let (_, again) = end(&mut *consuming).await;
    ensure(matches!(again, SourceError::End), || format!("a second end is `{again}`"))?;
    taken.extend(rest);
    ensure(taken.len() <= 20, || format!("{} came with a prefetch of 20", taken.len()))?;
    let count = taken.len();
    same("taken", &numbers(&taken)?, &(0..count).collect())?;
    for delivery in taken {
        delivery.ack.settle(Settlement::Ack);
    }
    // What was taken is acked and nothing else: a source after it gets the others.
    consuming.close(CLOSE).await;
    fixture.until_depth(&topology.queue, 50 - count).await?;
    let mut after = source(fixture, &topology.queue, 50).await?;
    let others = take(&mut *after, 50 - count).await?;
    same("the others", &numbers(&others)?, &(count..50).collect())
}

pub(super) async fn competing_consumers_get_each_message_once(fixture: &dyn Fixture) -> Check {
    const COUNT: usize = 500;
    let topology = fixture.fresh().await?;
    let mut one = source(fixture, &topology.queue, 10).await?;
    let mut two = source(fixture, &topology.queue, 10).await?;
    publish(fixture, &topology, 0..COUNT).await?;
    let (mut from_one, mut from_two) = (Vec::new(), Vec::new());
    while from_one.len() + from_two.len() < COUNT {
        let mut taken = Vec::new();
        let mut taken_two = Vec::new();
        tokio::select! {
            result = one.next(4, &mut taken) => result,
            result = two.next(4, &mut taken_two) => result,
        }
        .map_err(|error| error.to_string())?;
        from_one.extend(numbers(&taken)?);
        from_two.extend(numbers(&taken_two)?);
        for delivery in taken.into_iter().chain(taken_two) {
            delivery.ack.settle(Settlement::Ack);
        }
    }
    ensure(!from_one.is_empty() && !from_two.is_empty(), || "one of two got nothing".into())?;
    let union: BTreeSet<usize> = from_one.iter().chain(&from_two).copied().collect();
    same("distinct messages", &union.len(), &COUNT)?;
    for mut numbers in [from_one, from_two] {
        ensure(numbers.is_sorted(), || "a consumer's own order is broken".into())?;
        numbers.clear();
    }
    one.close(CLOSE).await;
    two.close(CLOSE).await;
    fixture.until_depth(&topology.queue, 0).await
}
