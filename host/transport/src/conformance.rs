//! The suite that every transport runs against itself: the promises of [`crate::Source`] and
//! [`crate::Sink`] as cases, over a broker that the transport's [`Fixture`] provides.
//!
//! A case asserts only what the traits promise. It waits on conditions (a message, a depth), and
//! each has [`CASE_DEADLINE`] in all, so a transport that hangs fails instead.

mod check;
mod failure;
mod flow;
mod payload;
mod settling;
mod sinking;

use std::pin::Pin;
use std::time::Duration;

use async_trait::async_trait;
use lockgate_message::Message;

use crate::{SinkConnector, SourceConnector};

/// The whole time one case may take; generous, for it only ends a hang.
pub const CASE_DEADLINE: Duration = Duration::from_secs(60);

/// What a case found wrong, or what kept it from looking.
pub type Check = Result<(), String>;

/// The broker under the suite. Implemented by each transport's tests.
///
/// Its own helpers fail with a text; the suite passes it on.
#[async_trait]
pub trait Fixture: Send + Sync {
    /// Makes a topology that no other call got, empty: see [`Topology`].
    async fn fresh(&self) -> Result<Topology, String>;

    /// Consumes from `queue` with at most `prefetch` unsettled deliveries.
    fn source(&self, queue: &str, prefetch: u16) -> Box<dyn SourceConnector>;

    /// Publishes to any exchange of the broker.
    fn sink(&self) -> Box<dyn SinkConnector>;

    /// Publishes one message past the transport under test, and returns once it is stored.
    async fn publish(
        &self,
        exchange: &str,
        routing_key: &str,
        message: Message,
    ) -> Result<(), String>;

    /// How many messages of `queue` are ready: neither settled nor with a consumer.
    async fn depth(&self, queue: &str) -> Result<usize, String>;

    /// Returns when `queue` has exactly `depth` ready messages. Polls unless overridden.
    async fn until_depth(&self, queue: &str, depth: usize) -> Result<(), String> {
        while self.depth(queue).await? != depth {
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
        Ok(())
    }

    /// Cuts every connection that this fixture's sources and sinks have now, from the broker's
    /// side. New ones may be made at once. False if it cannot: those cases are then skipped.
    async fn cut(&self) -> Result<bool, String>;
}

/// One direct exchange and two queues. `queue` is bound to `exchange` by `key`, which may
/// deliver there alone; every other key is unroutable. What is rejected from `queue` without
/// requeue goes to `dead`.
#[derive(Clone, Debug)]
pub struct Topology {
    pub exchange: String,
    pub key: String,
    pub queue: String,
    pub dead: String,
}

type Run = for<'a> fn(&'a dyn Fixture) -> Pin<Box<dyn Future<Output = Check> + Send + 'a>>;

/// One named promise.
#[derive(Clone, Copy)]
pub struct Case {
    pub name: &'static str,
    run: Run,
}

impl Case {
    /// Runs it against a topology of its own.
    ///
    /// # Errors
    /// What it found wrong, or that it did not end in time.
    pub async fn run(&self, fixture: &dyn Fixture) -> Check {
        tokio::time::timeout(CASE_DEADLINE, (self.run)(fixture))
            .await
            .unwrap_or_else(|_| Err(format!("did not end within {CASE_DEADLINE:?}")))
    }
}

macro_rules! cases {
    ($($module:ident :: $name:ident),* $(,)?) => {
        &[$(Case { name: stringify!($name), run: |fixture| Box::pin($module::$name(fixture)) }),*]
    };
}

/// Every case.
pub const CASES: &[Case] = cases![
    flow::a_check_takes_nothing,
    flow::order_is_kept,
    flow::in_flight_is_prefetch,
    flow::a_dropped_next_loses_nothing,
    flow::cancel_drains_then_ends,
    flow::competing_consumers_get_each_message_once,
    settling::ack_removes,
    settling::requeue_redelivers_with_flag,
    settling::retry_comes_back_after_its_delay,
    settling::a_dropped_handle_redelivers,
    settling::a_dropped_source_redelivers,
    settling::reject_dead_letters,
    settling::what_is_returned_in_order_keeps_it,
    payload::heads_round_trip,
    payload::every_value_round_trips,
    payload::bodies_round_trip,
    sinking::a_block_of_256_is_stored_in_order,
    sinking::unroutable_is_reported_on_the_right_messages,
    sinking::an_empty_block_is_no_error,
    sinking::a_delay_queue_hands_on_after_the_expiration,
    failure::a_cut_is_told_to_both_ends,
    failure::a_stale_settlement_changes_nothing,
    failure::cuts_lose_nothing,
];

/// Runs every case, one after another.
///
/// # Errors
/// One line per failed case.
pub async fn run_all(fixture: &dyn Fixture) -> Check {
    let mut failed = Vec::new();
    for case in CASES {
        if let Err(error) = case.run(fixture).await {
            failed.push(format!("{}: {error}", case.name));
        }
    }
    if failed.is_empty() { Ok(()) } else { Err(failed.join("\n")) }
}
