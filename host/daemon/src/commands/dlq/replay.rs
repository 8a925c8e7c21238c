//! `lockgate dlq replay`: publishes dead letters again, and acks each after its confirm.

use std::process::ExitCode;
use std::sync::Arc;

use lockgate_config::Code;
use lockgate_message::Settlement;
use lockgate_transport::{Outgoing, PutError};
use lockgate_transport_amqp::RawNames;
use lockgate_transport_amqp::settings::Endpoint;
use tokio::time::Instant;

use super::Refused;
use super::arguments::ReplayArguments;
use super::as_text::{self, count};
use super::letter::Letter;
use super::place::{self, Place};
use super::plan::To;
use super::progress::{BLOCK, Pace, Progress};
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
    names: Arc<RawNames>,
}

pub(super) async fn run(arguments: ReplayArguments) -> anyhow::Result<ExitCode> {
    let mut walk = Walk::open(&arguments.place).await?;
    let (broker, to) = target(&arguments, &walk.place)?;
    let mut sinks = Sinks::new(broker, walk.place.max_body);
    let pace = Pace(arguments.rate.filter(|_| !arguments.dry_run));
    let limit = arguments.limit.unwrap_or(u64::MAX);
    let mut progress = Progress::new(walk.ready().min(limit));
    let mut replay = Replay { names: sinks.names.clone(), ..Replay::default() };
    let start = Instant::now();
    while replay.broken.is_none() {
        let room = limit.saturating_sub(replay.tried());
        let mut letters = match walk.next(room.min(pace.page())).await {
            Ok(Some(letters)) => letters,
            Ok(None) => break,
            Err(error) => {
                replay.broken = Some(said(&error));
                break;
            }
        };
        if arguments.dry_run {
            replay.pretend(letters, &to, &mut sinks, &mut walk).await;
            continue;
        }
        while !letters.is_empty() {
            let rest = letters.split_off(letters.len().min(BLOCK));
            let block = std::mem::replace(&mut letters, rest);
            let at = start + pace.due(replay.tried());
            if replay.broken.is_some() || walk.stopped() || !wait(at, &walk).await {
                block.into_iter().for_each(|letter| walk.keep(letter));
                continue;
            }
            replay.block(block, &to, &mut sinks, &mut walk).await;
            let done = if arguments.limit.is_some() { replay.tried() } else { walk.looked() };
            progress.show(done, &replay.counts());
        }
    }
    progress.end();
    sinks.close().await;
    let stopped = walk.stopped();
    let place = walk.place.describe();
    let more = walk.has_more() && replay.tried() < limit;
    let closed = walk.finish().await;
    replay.tell(&place, arguments.dry_run);
    if let Some(why) = &replay.broken {
        report::note(format!("stopped: {why}"));
        if !arguments.dry_run {
            report::note("what was published last may be in the queue too, and come twice");
        }
    }
    closed?;
    let to_the_end = replay.broken.is_none() && !stopped && !more;
    let all = arguments.dry_run || replay.stayed.total() == 0;
    Ok(if all && to_the_end { exit::OK } else { exit::failed() })
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
            let results = match self.broken {
                Some(_) => Vec::new(),
                None => sinks.put(&exchange, &block).await.unwrap_or_else(|error| {
                    self.broken = Some(said(&error));
                    Vec::new()
                }),
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
    async fn pretend(&mut self, letters: Vec<Letter>, to: &To, sinks: &mut Sinks, walk: &mut Walk) {
        for (exchange, letters, block) in self.planned(letters, to, walk) {
            let missing = match sinks.sink(&exchange).await {
                Ok(sink) => sink.as_ref().err().cloned(),
                Err(error) => {
                    let why = said(&error);
                    self.broken = Some(why.clone());
                    Some(why)
                }
            };
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
            match to.plan(&letter, &self.names) {
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
        let name = |text: &str| self.names.bytes(text.as_bytes()).into_owned();
        let (exchange, key) = (name(&outgoing.exchange), name(outgoing.routing_key()));
        let target = as_text::place(&exchange, &key);
        self.replayed.add(vec![letter.reason().to_owned(), target], letter.failed_at(), "");
    }

    fn stay(&mut self, letter: Letter, why: &str, walk: &mut Walk) {
        let key = vec![letter.reason().to_owned(), why.to_owned()];
        self.stayed.add(key, letter.failed_at(), "");
        walk.keep(letter);
    }

    /// Says what was done, or would be.
    fn tell(&self, place: &str, dry_run: bool) {
        let (replayed, stayed) = match dry_run {
            true => ("would replay", "would stay:"),
            false => ("replayed", "stayed:"),
        };
        let total = as_text::letters(self.replayed.total());
        report::line(format!("{replayed} {total} from {place}"));
        if self.replayed.total() > 0 {
            self.replayed.table(&["reason", "to"], false).iter().for_each(report::line);
        }
        if self.stayed.total() > 0 {
            report::line(format!("{stayed} {}", count(self.stayed.total())));
            self.stayed.table(&["reason", "why"], false).iter().for_each(report::line);
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
async fn wait(due: Instant, walk: &Walk) -> bool {
    tokio::select! {
        () = tokio::time::sleep_until(due) => true,
        () = walk.signal() => false,
    }
}
