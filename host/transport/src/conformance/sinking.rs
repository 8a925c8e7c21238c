//! What a sink says about a block, and what is stored then.

use lockgate_message::Settlement;

use super::check::{CLOSE, ensure, numbered, numbers, outgoing, put, same, sink, source, take};
use super::{Check, Fixture};
use crate::PutError;

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

pub(super) async fn an_empty_block_is_no_error(fixture: &dyn Fixture) -> Check {
    let mut sink = sink(fixture).await?;
    put(&mut *sink, &[]).await?;
    sink.close(CLOSE).await;
    Ok(())
}
