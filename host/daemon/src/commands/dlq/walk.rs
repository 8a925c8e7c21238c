//! Walk: through the dead letters that stood in the queue at the start, each once.

use std::time::Duration;

use anyhow::{Context, bail};
use lockgate_message::AckHandle;
use lockgate_transport_amqp::Browser;
use tokio::signal::unix::{SignalKind, signal};
use tokio::sync::watch;

use super::Refused;
use super::arguments::PlaceArguments;
use super::as_text::count;
use super::letter::Letter;
use super::place::{self, Place};
use super::select::{Answer, Predicate};
use super::tally::Tally;
use crate::report;

/// Letters that are kept unacked at most; the broker and we remember each.
const HELD_MAX: usize = 1_000_000;

/// Deliveries of a message after which a quorum queue drops it, if nothing else is set
/// (RabbitMQ 4.0), and from how many on people are warned.
const DELIVERY_LIMIT: i64 = 20;
const DELIVERIES_NEAR: i64 = DELIVERY_LIMIT - 5;

/// Time for giving back and saying goodbye.
const CLOSE: Duration = Duration::from_secs(120);

/// The letters of one queue, one after the other.
pub(super) struct Walk {
    pub(super) place: Place,
    browser: Browser,
    stop: watch::Receiver<bool>,
    predicate: Option<Predicate>,
    /// To be given back at the end, and not before: the broker would send them again.
    held: Vec<AckHandle>,
    looked: u64,
    /// Letters for which the predicate has no answer, by why.
    unanswered: Tally,
    deliveries: i64,
}

impl Walk {
    /// Finds the place, compiles the predicate, connects.
    pub(super) async fn open(arguments: &PlaceArguments) -> anyhow::Result<Self> {
        let stop = stop_on_signal()?;
        let place = place::find(arguments)?;
        let predicate = arguments.predicate.as_deref().map(Predicate::new).transpose()?;
        let browser = Browser::open(&place.endpoint, &place.queue).await.map_err(Refused::from)?;
        Ok(Self {
            place,
            browser,
            stop,
            predicate,
            held: Vec::new(),
            looked: 0,
            unanswered: Tally::default(),
            deliveries: 0,
        })
    }

    /// Letters that stood in the queue at the start.
    pub(super) fn ready(&self) -> u64 {
        self.browser.ready()
    }

    /// Letters looked at so far.
    pub(super) fn looked(&self) -> u64 {
        self.looked
    }

    /// Whether not all of them were looked at.
    pub(super) fn has_more(&self) -> bool {
        self.looked < self.browser.ready()
    }

    /// Whether a signal asked for the end.
    pub(super) fn stopped(&self) -> bool {
        *self.stop.borrow()
    }

    /// Resolves with the signal.
    pub(super) async fn signal(&self) {
        // Its sender lives as long as the process.
        let _ = self.stop.clone().wait_for(|stop| *stop).await;
    }

    /// Looks at `max` letters at most, and gives those that the predicate picks; `None` at the
    /// end, and after a signal.
    pub(super) async fn next(&mut self, max: u64) -> anyhow::Result<Option<Vec<Letter>>> {
        if self.stopped() {
            return Ok(None);
        }
        let room = HELD_MAX.saturating_sub(self.held.len());
        let max = usize::try_from(max).unwrap_or(usize::MAX).min(room);
        let page = self.browser.next(max).await.with_context(|| {
            format!("{}: what was not settled is in the queue", self.place.describe())
        })?;
        if page.is_empty() {
            return Ok(None);
        }
        let numbered = (self.looked + 1..).zip(page);
        let letters: Vec<_> =
            numbered.map(|(position, delivery)| Letter { position, delivery }).collect();
        self.looked += letters.len() as u64;
        for letter in &letters {
            self.deliveries = self.deliveries.max(letter.deliveries());
        }
        let Some(predicate) = &mut self.predicate else { return Ok(Some(letters)) };
        let answers = predicate.judge(&letters);
        if answers.len() != letters.len() {
            bail!("the predicate did not answer for each letter");
        }
        let mut picked = Vec::new();
        for (letter, answer) in letters.into_iter().zip(answers) {
            match answer {
                Answer::Yes => picked.push(letter),
                Answer::No => self.keep(letter),
                Answer::None(why) => {
                    self.unanswered.add(vec![why], None, "");
                    self.keep(letter);
                }
            }
        }
        Ok(Some(picked))
    }

    /// Leaves a letter in the queue.
    pub(super) fn keep(&mut self, letter: Letter) {
        self.held.push(letter.delivery.ack);
    }

    /// Gives back what is not settled, and says on standard error what is to be known of the
    /// walk.
    ///
    /// # Errors
    /// Why it is not known that the settlements reached the broker.
    pub(super) async fn finish(self) -> anyhow::Result<()> {
        if self.stopped() {
            report::note("interrupted");
        }
        if self.held.len() >= HELD_MAX && self.has_more() {
            report::note(format!(
                "stopped at {}: no more letters are held at a time; there are more",
                count(self.looked)
            ));
        }
        if self.unanswered.total() > 0 {
            report::note(format!(
                "left alone, for the predicate has no answer: {} (ask for a header that may be \
                 missing with `has(headers.name)` or `\"name\" in headers`)",
                count(self.unanswered.total())
            ));
            self.unanswered.table(&["why"], false).iter().for_each(report::note);
        }
        if self.deliveries >= DELIVERIES_NEAR {
            report::note(format!(
                "warning: a letter has been delivered {} times. Before RabbitMQ 4.3 a quorum \
                 queue counts every look, and drops a message after its delivery limit ({} unless \
                 set): export or replay before you look again",
                self.deliveries, DELIVERY_LIMIT
            ));
        }
        let closed = self.browser.close(CLOSE).await;
        // Only now: each would be given back by itself.
        drop(self.held);
        closed.map_err(|error| {
            anyhow::anyhow!("{}: {error}; some letters may still be there", self.place.describe())
        })
    }
}

/// Turns true with the first SIGINT or SIGTERM. Letters are given back in good order then, for a
/// lost connection counts as a failed delivery.
fn stop_on_signal() -> anyhow::Result<watch::Receiver<bool>> {
    let mut interrupt = signal(SignalKind::interrupt())?;
    let mut terminate = signal(SignalKind::terminate())?;
    let (stop, stopped) = watch::channel(false);
    tokio::spawn(async move {
        tokio::select! {
            _ = interrupt.recv() => {}
            _ = terminate.recv() => {}
        }
        stop.send_replace(true);
        std::future::pending::<()>().await;
    });
    Ok(stopped)
}
