//! Connections that are cut: told, survived, and nothing lost.

use std::collections::BTreeSet;

use lockgate_message::{Delivery, Settlement};

use super::check::{
    CLOSE, end, ensure, number, numbered, numbers, outgoing, publish, put, same, sink, source, take,
};
use super::{Check, Fixture, Topology};
use crate::{Backoff, ConnectError, PutError, Sink, Source, SourceError, reconnect};

pub(super) async fn a_cut_is_told_to_both_ends(fixture: &dyn Fixture) -> Check {
    let topology = fixture.fresh().await?;
    let mut source = source(fixture, &topology.queue, 10).await?;
    let mut sink = sink(fixture).await?;
    publish(fixture, &topology, 0..1).await?;
    let held = take(&mut *source, 1).await?;
    if !fixture.cut().await? {
        return Ok(());
    }
    let (_, error) = end(&mut *source).await;
    ensure(matches!(error, SourceError::Lost(_)), || format!("the source said `{error}`"))?;
    ensure(held.iter().all(|delivery| !delivery.ack.is_live()), || "a handle still lives".into())?;
    // The sink may learn of it by trying; from then on it is dead.
    for n in 0..2 {
        let block = [outgoing(&topology, &topology.key, numbered(n))];
        for result in put(&mut *sink, &block).await? {
            ensure(matches!(result, Err(PutError::Unknown(_))), || format!("put: {result:?}"))?;
        }
    }
    source.close(CLOSE).await;
    sink.close(CLOSE).await;
    Ok(())
}

pub(super) async fn a_stale_settlement_changes_nothing(fixture: &dyn Fixture) -> Check {
    let topology = fixture.fresh().await?;
    publish(fixture, &topology, 0..5).await?;
    let mut first = source(fixture, &topology.queue, 10).await?;
    let stale = take(&mut *first, 5).await?;
    if !fixture.cut().await? {
        return Ok(());
    }
    let (more, _) = end(&mut *first).await;
    drop(first);
    let mut second = source(fixture, &topology.queue, 10).await?;
    let again = take(&mut *second, 5).await?;
    ensure(again.iter().all(|delivery| delivery.redelivered), || "flag missing".into())?;
    for (n, delivery) in stale.into_iter().chain(more).enumerate() {
        match n % 4 {
            0 => delivery.ack.settle(Settlement::Ack),
            1 => delivery.ack.settle(Settlement::Reject),
            2 => delivery.ack.settle(Settlement::Requeue),
            _ => drop(delivery),
        }
    }
    // Unsettled still, every one of them: a third source gets all five.
    second.close(CLOSE).await;
    drop(again);
    fixture.until_depth(&topology.queue, 5).await?;
    let mut third = source(fixture, &topology.queue, 10).await?;
    let all = take(&mut *third, 5).await?;
    same("messages", &numbers(&all)?, &(0..5).collect())?;
    same("dead letters", &fixture.depth(&topology.dead).await?, &0)
}

pub(super) async fn cuts_lose_nothing(fixture: &dyn Fixture) -> Check {
    const COUNT: usize = 600;
    let (from, to) = (fixture.fresh().await?, fixture.fresh().await?);
    publish(fixture, &from, 0..COUNT).await?;
    let mut moved = 0;
    let mut settled = BTreeSet::new();
    let mut cuts = 0;
    while settled.len() < COUNT {
        let mut ends = connect(fixture, &from.queue).await?;
        while settled.len() < COUNT {
            let Ok(batch) = step(&mut ends, &to).await else { break };
            moved += batch.len();
            settled.extend(batch);
            // Three cuts on the way, each with deliveries in flight.
            if cuts < 3 && moved > (cuts + 1) * 150 {
                cuts += 1;
                if !fixture.cut().await? {
                    return Ok(());
                }
            }
        }
        ends.source.close(CLOSE).await;
        ends.sink.close(CLOSE).await;
    }
    // An ack that the cut overtook brings its message again: doubled, never lost.
    let mut target = source(fixture, &to.queue, 50).await?;
    let mut arrived = BTreeSet::new();
    while arrived.len() < COUNT {
        for delivery in take(&mut *target, 1).await? {
            arrived.insert(number(&delivery.message)?);
            delivery.ack.settle(Settlement::Ack);
        }
    }
    same("arrived", &arrived, &(0..COUNT).collect())
}

struct Ends {
    source: Box<dyn Source>,
    sink: Box<dyn Sink>,
}

async fn connect(fixture: &dyn Fixture, queue: &str) -> Result<Ends, String> {
    let sources = fixture.source(queue, 30);
    let sinks = fixture.sink();
    let text = |error: ConnectError| error.to_string();
    let backoff = Backoff::default();
    let source = reconnect(backoff, || sources.connect(), |_| {}).await.map_err(text)?;
    let sink = reconnect(backoff, || sinks.connect(0), |_| {}).await.map_err(text)?;
    Ok(Ends { source, sink })
}

/// Moves a few messages on and acks those confirmed; says which. Fails when either end is dead.
async fn step(ends: &mut Ends, to: &Topology) -> Result<Vec<usize>, String> {
    let mut taken: Vec<Delivery> = Vec::new();
    ends.source.next(8, &mut taken).await.map_err(|error| error.to_string())?;
    let block: Vec<_> =
        taken.iter().map(|one| outgoing(to, &to.key, one.message.clone())).collect();
    let results = put(&mut *ends.sink, &block).await?;
    let mut confirmed = Vec::new();
    for (delivery, result) in taken.into_iter().zip(results) {
        match result {
            Ok(()) => {
                confirmed.push(number(&delivery.message)?);
                delivery.ack.settle(Settlement::Ack);
            }
            Err(PutError::Unknown(error)) => return Err(error),
            Err(error) => return Err(format!("a cut is no reason for `{error}`")),
        }
    }
    Ok(confirmed)
}
