//! Finish: the end of a job. What its stages staged is stored, then its delivery settled.

use std::sync::Arc;
use std::time::Instant;

use lockgate_message::state::Staged;
use lockgate_message::{Outcome, Settlement};
use tokio::sync::watch;

use super::sinks::pause;
use crate::condition::Component;
use crate::intake::{Flow, Phase};
use crate::job::{Fate, Job};
use crate::settings::Settings;
use crate::stats::Stats;

/// What settling needs of one lane. It holds no sink: the next block is put while state is stored.
pub(crate) struct Finish {
    pub(crate) lane: usize,
    /// What is given up is in a dead-letter target of ours when it gets here.
    pub(crate) dead_letters: bool,
    pub(crate) settings: Arc<Settings>,
    pub(crate) stats: Arc<Stats>,
    pub(crate) flow: Arc<Flow>,
    pub(crate) phase: watch::Receiver<Phase>,
}

impl Finish {
    /// Stores `staged` before the deliveries are acked: a message that comes again must find what
    /// was remembered of it. When told to abandon they are given back instead.
    pub(super) async fn store(self: Arc<Self>, jobs: Vec<Job>, staged: Vec<Staged>) {
        if self.commit(staged).await {
            self.settle(jobs);
        } else {
            jobs.into_iter().for_each(|job| self.requeue(job));
        }
    }

    /// Tries until it works; false when told to abandon.
    async fn commit(&self, mut staged: Vec<Staged>) -> bool {
        let mut failures = 0u32;
        while !staged.is_empty() {
            let committing = tokio::task::spawn_blocking(move || {
                let result = Staged::commit_all(&mut staged);
                (staged, result)
            });
            let Ok((rest, result)) = committing.await else {
                return false;
            };
            staged = rest;
            if let Err(error) = result {
                failures = failures.saturating_add(1);
                self.stats.conditions.bad(Component::State, self.lane, error);
                let delay = self.settings.reconnect.delay(failures, u64::from(failures) * 7919);
                if !pause(self.phase.clone(), delay).await {
                    return false;
                }
            }
        }
        if failures > 0 {
            self.stats.conditions.good(Component::State, self.lane);
        }
        true
    }

    pub(super) fn settle(&self, jobs: Vec<Job>) {
        let now = Instant::now();
        let (mut delivered, mut filtered, mut dead, mut deferred) = (0, 0, 0, 0);
        for Job { delivery, fate, delivered: published, .. } in jobs {
            self.stats.delivery_seconds.observe(now.duration_since(delivery.received), 1);
            let settlement = match fate {
                Fate::DeadLetter(cause) => {
                    dead += 1;
                    let id = delivery.message.head().properties.message_id.as_deref();
                    self.stats.letters.tell(&cause, id);
                    // Without a target of ours the broker's own policy applies.
                    if self.dead_letters { Settlement::Ack } else { Settlement::Reject }
                }
                // In its retry queue; it comes again from there.
                Fate::Retry { .. } => {
                    deferred += 1;
                    Settlement::Ack
                }
                Fate::Done => {
                    *(if published { &mut delivered } else { &mut filtered }) += 1;
                    Settlement::Ack
                }
            };
            delivery.ack.settle(settlement);
        }
        self.settled(&[
            (Outcome::Delivered, delivered),
            (Outcome::Filtered, filtered),
            (Outcome::DeadLettered, dead),
            (Outcome::Deferred, deferred),
        ]);
    }

    /// Gives the delivery back to the source's broker.
    pub(super) fn requeue<T>(&self, given_back: T) {
        drop(given_back);
        self.settled(&[(Outcome::Requeued, 1)]);
    }

    fn settled(&self, outcomes: &[(Outcome, u64)]) {
        // Counted first: whoever sees the flow idle may read the counts.
        self.stats.settled(self.lane, outcomes);
        let count: u64 = outcomes.iter().map(|(_, count)| count).sum();
        self.flow.settled(count as usize);
    }
}
