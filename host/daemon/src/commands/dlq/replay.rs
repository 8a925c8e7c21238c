//! `lockgate dlq replay`: publishes dead letters again, and acks each after its confirm.

use std::process::ExitCode;
use std::sync::Arc;

use lockgate_config::Code;
use lockgate_message::Settlement;
use lockgate_transport::{Outgoing, PutError};
use lockgate_transport_amqp::settings::Endpoint;
use tokio::signal::unix::{SignalKind, signal};
use tokio::sync::watch;
use tokio::time::Instant;

use super::Refused;
use super::arguments::ReplayArguments;
use super::as_text::{self, count};
use super::letter::Letter;
use super::place::{self, Place};
use super::plan::To;
use super::progress::{Pace, Progress};
use super::sinks::Sinks;
use super::tally::Tally;
use super::walk::Walk;
use crate::{exit, report};

/// What became of the letters so far.
#[derive(Default)]
struct Replay {
    /// By reason and target.
    replayed: Tally,
    /// By reason and why.
    stayed: Tally,
    /// Why it cannot go on.
    broken: Option<String>,
}

pub(super) async fn run(arguments: ReplayArguments) -> anyhow::Result<ExitCode> {
    let stop = stop_on_signal()?;
    let mut walk = Walk::open(&arguments.place).await?;
    let (broker, to) = target(&arguments, &walk.place)?;
    let mut sinks = Sinks::new(broker, walk.place.max_body);
    let pace = Pace(arguments.rate.filter(|_| !arguments.dry_run));
    let limit = arguments.limit.unwrap_or(u64::MAX);
    let mut progress = Progress::new(walk.ready().min(limit));
    let mut replay = Replay::default();
    let start = Instant::now();
    while replay.broken.is_none() && !*stop.borrow() {
        let room = limit.saturating_sub(replay.tried());
        let Some(letters) = walk.next(room.min(pace.block())).await? else { break };
        if arguments.dry_run {
            replay.pretend(letters, &to, &mut sinks, &mut walk).await?;
            continue;
        }
        if !wait(start + pace.due(replay.tried()), &stop).await {
            letters.into_iter().for_each(|letter| walk.keep(letter));
            break;
        }
        replay.block(letters, &to, &mut sinks, &mut walk).await;
        let done = if arguments.limit.is_some() { replay.tried() } else { walk.looked() };
        progress.show(done, &replay.counts());
    }
    progress.end();
    sinks.close().await;
    let stopped = *stop.borrow();
    let place = walk.place.describe();
    let more = walk.has_more() && replay.tried() < limit;
    let closed = walk.finish().await;
    replay.tell(&place, arguments.dry_run);
    if let Some(why) = &replay.broken {
        report::note(format!(
            "stopped: {why}\nwhat was being published is in the queue too: it may come twice"
        ));
    }
    if stopped {
        report::note("interrupted; the rest is in the queue");
    }
    closed?;
    let all = replay.stayed.total() == 0 && replay.broken.is_none() && !stopped && !more;
    Ok(if all || arguments.dry_run { exit::OK } else { exit::failed() })
}

/// The broker to publish to, and where on it.
fn target(arguments: &ReplayArguments, place: &Place) -> Result<(Endpoint, To), Refused> {
    let (broker, to) = if let Some(path) = &arguments.to {
        let (endpoint, queue) = place::source(path)?;
        (endpoint, To::Exchange(String::new(), Some(queue)))
    } else if let Some(queue) = &arguments.to_queue {
        (place.endpoint.clone(), To::Exchange(String::new(), Some(queue.clone())))
    } else if let Some(exchange) = &arguments.to_exchange {
        let key = arguments.routing_key.clone();
        (place.endpoint.clone(), To::Exchange(exchange.clone(), key))
    } else {
        let Some(origin) = place.origin.clone() else {
            return Err(Refused::one(
                Code::NoReplayTarget,
                "the source of this pipeline is no RabbitMQ, so the origin cannot be published to",
                "name another target: `--to`, `--to-queue` or `--to-exchange`",
            ));
        };
        (origin, To::Origin)
    };
    match &to {
        To::Exchange(exchange, Some(key))
            if exchange.is_empty() && *key == place.queue && broker == place.endpoint =>
        {
            Err(Refused::one(
                Code::NoReplayTarget,
                format!("`{key}` is the queue that the dead letters are in"),
                "name another target",
            ))
        }
        _ => Ok((broker, to)),
    }
}

impl Replay {
    /// Letters that were published, or could not be.
    fn tried(&self) -> u64 {
        self.replayed.total() + self.stayed.total()
    }

    fn counts(&self) -> String {
        format!("replayed {}, stayed {}", count(self.replayed.total()), count(self.stayed.total()))
    }

    /// Publishes letters, exchange by exchange, and settles them.
    async fn block(&mut self, letters: Vec<Letter>, to: &To, sinks: &mut Sinks, walk: &mut Walk) {
        for (exchange, letters, block) in self.planned(letters, to, walk) {
            let results = match sinks.put(&exchange, &block).await {
                Ok(results) if self.broken.is_none() => results,
                Ok(_) => Vec::new(),
                Err(error) => {
                    self.broken = Some(said(&error));
                    Vec::new()
                }
            };
            let mut results = results.into_iter();
            for (letter, outgoing) in letters.into_iter().zip(block) {
                match results.next() {
                    Some(Ok(())) => {
                        self.count_replayed(&letter, &outgoing);
                        letter.delivery.ack.settle(Settlement::Ack);
                    }
                    Some(Err(error)) => {
                        if let PutError::Unknown(why) = &error {
                            self.broken.get_or_insert(why.clone());
                        }
                        self.stay(letter, &error.to_string(), walk);
                    }
                    None => self.stay(letter, "not published", walk),
                }
            }
        }
    }

    /// As [`Replay::block`], without publishing and settling anything.
    async fn pretend(
        &mut self,
        letters: Vec<Letter>,
        to: &To,
        sinks: &mut Sinks,
        walk: &mut Walk,
    ) -> anyhow::Result<()> {
        for (exchange, letters, block) in self.planned(letters, to, walk) {
            let missing = sinks.sink(&exchange).await?.as_ref().err().cloned();
            for (letter, outgoing) in letters.into_iter().zip(block) {
                match &missing {
                    Some(why) => self.stay(letter, why, walk),
                    None => {
                        self.count_replayed(&letter, &outgoing);
                        walk.keep(letter);
                    }
                }
            }
        }
        Ok(())
    }

    /// What goes to each exchange, in the order of the letters; what cannot go stays.
    fn planned(
        &mut self,
        letters: Vec<Letter>,
        to: &To,
        walk: &mut Walk,
    ) -> Vec<(Arc<str>, Vec<Letter>, Vec<Outgoing>)> {
        let mut planned: Vec<(Arc<str>, Vec<Letter>, Vec<Outgoing>)> = Vec::new();
        for letter in letters {
            match to.plan(&letter) {
                Err(why) => self.stay(letter, &why, walk),
                Ok(out) => match planned.iter_mut().find(|(name, ..)| *name == out.exchange) {
                    Some((_, letters, block)) => {
                        letters.push(letter);
                        block.push(out);
                    }
                    None => planned.push((out.exchange.clone(), vec![letter], vec![out])),
                },
            }
        }
        planned
    }

    fn count_replayed(&mut self, letter: &Letter, outgoing: &Outgoing) {
        let target = as_text::place(&outgoing.exchange, outgoing.routing_key());
        self.replayed.add(vec![letter.reason().to_owned(), target], letter.failed_at(), "");
    }

    fn stay(&mut self, letter: Letter, why: &str, walk: &mut Walk) {
        self.stayed.add(vec![letter.reason().to_owned()], letter.failed_at(), why);
        walk.keep(letter);
    }

    /// Says what was done, or would be.
    fn tell(&self, place: &str, dry_run: bool) {
        let (replayed, stayed) = match dry_run {
            true => ("would replay", "would stay:"),
            false => ("replayed", "stayed:"),
        };
        let total = count(self.replayed.total());
        report::line(format!("{replayed} {total} dead letters from {place}"));
        if self.replayed.total() > 0 {
            self.replayed.table(&["reason", "to"], false).iter().for_each(report::line);
        }
        if self.stayed.total() > 0 {
            report::line(format!("{stayed} {}", count(self.stayed.total())));
            self.stayed.table(&["reason"], false).iter().for_each(report::line);
        }
    }
}

/// An error for people, with what it is made of.
fn said(error: &anyhow::Error) -> String {
    match error.downcast_ref::<Refused>() {
        Some(refused) => {
            refused.0.iter().map(|one| one.message.as_str()).collect::<Vec<_>>().join("; ")
        }
        None => format!("{error:#}"),
    }
}

/// Waits until `due`; false when a signal comes first.
async fn wait(due: Instant, stop: &watch::Receiver<bool>) -> bool {
    let mut stop = stop.clone();
    tokio::select! {
        () = tokio::time::sleep_until(due) => true,
        _ = stop.wait_for(|stop| *stop) => false,
    }
}

/// Turns true with the first SIGINT or SIGTERM: what is being published is finished.
fn stop_on_signal() -> anyhow::Result<watch::Receiver<bool>> {
    let (mut interrupt, mut terminate) =
        (signal(SignalKind::interrupt())?, signal(SignalKind::terminate())?);
    let (stop, stopped) = watch::channel(false);
    tokio::spawn(async move {
        tokio::select! {
            _ = interrupt.recv() => {}
            _ = terminate.recv() => {}
        }
        stop.send_replace(true);
        // Kept: a dropped sender would look like a signal.
        std::future::pending::<()>().await;
    });
    Ok(stopped)
}
