//! What a sink says about a block, and what is stored then.

use std::time::{Duration, Instant};

use lockgate_message::{Settlement, Value};

use super::check::{
    CLOSE, ensure, number, numbered, numbers, outgoing, put, same, sink, source, take, take_one,
};
use super::{Check, Fixture};
use crate::{DelayQueue, Outgoing, PutError, RoutingKey};

pub(super) async fn a_block_of_256_is_stored_in_order(fixture: &dyn Fixture) -> Check {
    let topology = fixture.fresh().await?;
    let mut sink = sink(fixture).await?;
    let block: Vec<_> = (0..256).map(|n| outgoing(&topology, &topology.key, numbered(n))).collect();
    for (n, result) in put(&mut *sink, &block).await?.into_iter().enumerate() {
        ensure(result.is_ok(), || format!("message {n}: {result:?}"))?;
    }
    // Said to be stored means stored: no waiting.
    same("depth", &fixture.depth(&topology.queue).await?, &256)?;
    let mut source = source(fixture, &topology.queue, 300).await?;
    let taken = take(&mut *source, 256).await?;
    same("order", &numbers(&taken)?, &(0..256).collect())?;
    for delivery in taken {
        delivery.ack.settle(Settlement::Ack);
    }
    source.close(CLOSE).await;
    sink.close(CLOSE).await;
    Ok(())
}

pub(super) async fn unroutable_is_reported_on_the_right_messages(fixture: &dyn Fixture) -> Check {
    const COUNT: usize = 5000;
    let topology = fixture.fresh().await?;
    let mut sink = sink(fixture).await?;
    // One in ten, scattered: runs of them, gaps, and blocks with none.
    let lost = |n: usize| n.wrapping_mul(2_654_435_761) >> 7 & 0x3ff < 102;
    let all: Vec<_> = (0..COUNT)
        .map(|n| {
            let key = if lost(n) { "nowhere" } else { topology.key.as_str() };
            outgoing(&topology, key, numbered(n))
        })
        .collect();
    let mut n = 0;
    for block in all.chunks(250) {
        for result in put(&mut *sink, block).await? {
            match (&result, lost(n)) {
                (Ok(()), false) | (Err(PutError::Unroutable(_)), true) => n += 1,
                (_, lost) => return Err(format!("message {n} (unroutable: {lost}): {result:?}")),
            }
        }
    }
    let expected: Vec<_> = (0..COUNT).filter(|n| !lost(*n)).collect();
    same("depth", &fixture.depth(&topology.queue).await?, &expected.len())?;
    let mut source = source(fixture, &topology.queue, 300).await?;
    let mut stored = Vec::new();
    while stored.len() < expected.len() {
        let taken = take(&mut *source, 100.min(expected.len() - stored.len())).await?;
        stored.extend(numbers(&taken)?);
        for delivery in taken {
            delivery.ack.settle(Settlement::Ack);
        }
    }
    ensure(stored == expected, || "what is stored is not what was said to be".into())?;
    source.close(CLOSE).await;
    sink.close(CLOSE).await;
    Ok(())
}

pub(super) async fn a_delay_queue_hands_on_after_the_expiration(fixture: &dyn Fixture) -> Check {
    const WAIT: Duration = Duration::from_millis(300);
    let topology = fixture.fresh().await?;
    let mut sink = sink(fixture).await?;
    let name = format!("{}.retry.400ms", topology.queue);
    let longest = Duration::from_millis(400);
    let queue = DelayQueue { name: name.clone(), back_to: topology.queue.clone(), longest };
    // A second time it is there already.
    for _ in 0..2 {
        sink.declare(&queue).await.map_err(|error| format!("declare: {error}"))?;
    }
    let mut message = numbered(1);
    message.head_mut().headers.set("mine", Value::I32(7));
    message.head_mut().properties.expiration = Some(WAIT.as_millis().to_string());
    let outgoing = Outgoing {
        exchange: "".into(),
        routing_key: RoutingKey::Fixed(name.as_str().into()),
        message,
    };
    let mut source = source(fixture, &topology.queue, 10).await?;
    let start = Instant::now();
    for result in put(&mut *sink, &[outgoing]).await? {
        ensure(result.is_ok(), || format!("put: {result:?}"))?;
    }
    let back = take_one(&mut *source).await?;
    ensure(start.elapsed() >= WAIT, || format!("it came after {:?}", start.elapsed()))?;
    same("body", &number(&back.message)?, &1)?;
    let head = back.message.head();
    same("header", &head.headers.get("mine"), &Some(&Value::I32(7)))?;
    same("exchange", &head.exchange.as_str(), &"")?;
    same("expiration", &head.properties.expiration, &None)?;
    back.ack.settle(Settlement::Ack);
    source.close(CLOSE).await;
    sink.close(CLOSE).await;
    same("left", &fixture.depth(&name).await?, &0)
}

pub(super) async fn an_empty_block_is_no_error(fixture: &dyn Fixture) -> Check {
    let mut sink = sink(fixture).await?;
    put(&mut *sink, &[]).await?;
    sink.close(CLOSE).await;
    Ok(())
}
