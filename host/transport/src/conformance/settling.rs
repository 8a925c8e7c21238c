//! What becomes of a delivery by how it is settled.

use std::time::{Duration, Instant};

use lockgate_message::Settlement;

use super::check::{CLOSE, ensure, number, numbers, publish, same, source, take, take_one};
use super::{Check, Fixture};

pub(super) async fn ack_removes(fixture: &dyn Fixture) -> Check {
    let topology = fixture.fresh().await?;
    publish(fixture, &topology, 0..10).await?;
    let mut first = source(fixture, &topology.queue, 10).await?;
    // Out of order, and not all of them.
    for delivery in take(&mut *first, 10).await?.into_iter().rev() {
        if number(&delivery.message)? % 2 == 0 {
            delivery.ack.settle(Settlement::Ack);
        } else {
            std::mem::forget(delivery.ack);
        }
    }
    first.close(CLOSE).await;
    let mut second = source(fixture, &topology.queue, 10).await?;
    let rest = take(&mut *second, 5).await?;
    same("unacked", &numbers(&rest)?, &vec![1, 3, 5, 7, 9])?;
    ensure(rest.iter().all(|delivery| delivery.redelivered), || "flag missing".into())?;
    for delivery in rest {
        delivery.ack.settle(Settlement::Ack);
    }
    second.close(CLOSE).await;
    fixture.until_depth(&topology.queue, 0).await
}

pub(super) async fn requeue_redelivers_with_flag(fixture: &dyn Fixture) -> Check {
    redelivers(fixture, Settlement::Requeue).await
}

pub(super) async fn retry_comes_back_after_its_delay(fixture: &dyn Fixture) -> Check {
    let delay = Duration::from_millis(60);
    let before = Instant::now();
    redelivers(fixture, Settlement::RetryAfter(delay)).await?;
    ensure(before.elapsed() >= delay, || "came back too early".into())
}

async fn redelivers(fixture: &dyn Fixture, settlement: Settlement) -> Check {
    let topology = fixture.fresh().await?;
    publish(fixture, &topology, 0..1).await?;
    let mut source = source(fixture, &topology.queue, 10).await?;
    let first = take_one(&mut *source).await?;
    ensure(!first.redelivered, || "the first delivery is flagged".into())?;
    first.ack.settle(settlement);
    let second = take_one(&mut *source).await?;
    same("message", &number(&second.message)?, &0)?;
    ensure(second.redelivered, || "the second delivery is not flagged".into())?;
    second.ack.settle(Settlement::Ack);
    source.close(CLOSE).await;
    fixture.until_depth(&topology.queue, 0).await
}

pub(super) async fn a_dropped_handle_redelivers(fixture: &dyn Fixture) -> Check {
    let topology = fixture.fresh().await?;
    publish(fixture, &topology, 0..3).await?;
    let mut source = source(fixture, &topology.queue, 10).await?;
    drop(take(&mut *source, 3).await?);
    let again = take(&mut *source, 3).await?;
    let mut came = numbers(&again)?;
    came.sort_unstable();
    same("messages", &came, &vec![0, 1, 2])?;
    ensure(again.iter().all(|delivery| delivery.redelivered), || "flag missing".into())
}

pub(super) async fn a_dropped_source_redelivers(fixture: &dyn Fixture) -> Check {
    let topology = fixture.fresh().await?;
    publish(fixture, &topology, 0..10).await?;
    let mut first = source(fixture, &topology.queue, 10).await?;
    let held = take(&mut *first, 4).await?;
    drop(first);
    let mut second = source(fixture, &topology.queue, 10).await?;
    let again = take(&mut *second, 10).await?;
    let mut came = numbers(&again)?;
    came.sort_unstable();
    same("messages", &came, &(0..10).collect())?;
    // The first source's handles are worth nothing now, whatever is done with them.
    for (n, delivery) in held.into_iter().enumerate() {
        match n % 2 {
            0 => delivery.ack.settle(Settlement::Ack),
            _ => drop(delivery),
        }
    }
    for delivery in again {
        delivery.ack.settle(Settlement::Ack);
    }
    second.close(CLOSE).await;
    fixture.until_depth(&topology.queue, 0).await
}

pub(super) async fn reject_dead_letters(fixture: &dyn Fixture) -> Check {
    let topology = fixture.fresh().await?;
    publish(fixture, &topology, 0..3).await?;
    let mut consuming = source(fixture, &topology.queue, 10).await?;
    for delivery in take(&mut *consuming, 3).await? {
        let settlement =
            if number(&delivery.message)? == 1 { Settlement::Reject } else { Settlement::Ack };
        delivery.ack.settle(settlement);
    }
    let mut dead = source(fixture, &topology.dead, 10).await?;
    let letter = take_one(&mut *dead).await?;
    same("dead letter", &number(&letter.message)?, &1)?;
    letter.ack.settle(Settlement::Ack);
    consuming.close(CLOSE).await;
    dead.close(CLOSE).await;
    fixture.until_depth(&topology.queue, 0).await?;
    fixture.until_depth(&topology.dead, 0).await
}

pub(super) async fn what_is_returned_in_order_keeps_it(fixture: &dyn Fixture) -> Check {
    const COUNT: usize = 200;
    const TAKEN: usize = 120;
    let topology = fixture.fresh().await?;
    publish(fixture, &topology, 0..COUNT).await?;
    let mut first = source(fixture, &topology.queue, 150).await?;
    let taken = take(&mut *first, TAKEN).await?;
    first.return_in_order();
    for (n, delivery) in taken.into_iter().enumerate() {
        // What is given back stands before what is settled, and after it.
        if n % 3 == 0 {
            delivery.ack.settle(Settlement::Ack);
        }
    }
    first.close(CLOSE).await;
    let mut second = source(fixture, &topology.queue, 150).await?;
    let expected: Vec<usize> = (0..COUNT).filter(|n| *n >= TAKEN || n % 3 != 0).collect();
    let is_due = |n: &usize| *n >= TAKEN || n % 3 != 0;
    let mut came = Vec::new();
    while came.iter().filter(|n| is_due(n)).count() < expected.len() {
        let delivery = take_one(&mut *second).await?;
        came.push(number(&delivery.message)?);
        delivery.ack.settle(Settlement::Ack);
    }
    // A quorum queue may not have taken the last acks, and then delivers those messages again, in
    // their places.
    same("sorted", &came.is_sorted(), &true)?;
    came.retain(is_due);
    same("order", &came, &expected)?;
    second.close(CLOSE).await;
    fixture.until_depth(&topology.queue, 0).await
}
