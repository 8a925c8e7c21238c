//! Reads `[delivery]`.

use std::time::Duration;

use serde::Deserialize;

use super::{endpoint, within};
use crate::diagnostic::{Code, Diagnostic};
use crate::section::Section;
use crate::spec::{Backoff, DeliverySpec, KeySource, Order, RetryPolicy, RetrySpec, Wait};
use crate::units::{ByteSize, Time, TimeRange};

#[derive(Default, Deserialize)]
#[serde(default)]
struct RawDelivery {
    order: Option<RawOrder>,
    retry: RawRetry,
    id: Option<String>,
    drain_timeout: Option<Time>,
    in_flight: Option<u32>,
    in_flight_bytes: Option<ByteSize>,
}

#[derive(Deserialize)]
#[serde(rename_all = "lowercase")]
enum RawOrder {
    None,
    Strict,
    Key(String),
}

#[derive(Default, Deserialize)]
#[serde(default)]
struct RawRetry {
    attempts: Option<u32>,
    backoff: Option<TimeRange>,
    wait: Option<Wait>,
    hold: Option<bool>,
}

/// `retry` of a stage.
#[derive(Default, Deserialize)]
#[serde(default)]
pub(super) struct RawPolicy {
    attempts: Option<u32>,
    backoff: Option<TimeRange>,
}

pub(super) fn parse(root: &Section, diagnostics: &mut Vec<Diagnostic>) -> DeliverySpec {
    let mut spec = DeliverySpec::default();
    let Some(section) = root.child("delivery") else { return spec };
    if !endpoint::is_table(&section, "a table", diagnostics) {
        return spec;
    }
    let raw: RawDelivery = section.read(diagnostics).unwrap_or_default();
    spec.order = match raw.order {
        None | Some(RawOrder::None) => Order::None,
        Some(RawOrder::Strict) => Order::Strict,
        Some(RawOrder::Key(text)) => match key(&section, "order.key", &text, diagnostics) {
            Some(key) => Order::Key(key),
            None => Order::None,
        },
    };
    spec.id = raw.id.and_then(|text| key(&section, "id", &text, diagnostics));
    spec.retry = retry(&section, &raw.retry, &spec.order, diagnostics);
    let mut drain = Time(spec.drain_timeout);
    let longest = Time(Duration::from_secs(3600));
    let shortest = Time(Duration::ZERO);
    within(
        &section,
        "drain_timeout",
        raw.drain_timeout,
        shortest..=longest,
        &mut drain,
        diagnostics,
    );
    spec.drain_timeout = drain.0;
    // The most that a prefetch of AMQP can say.
    within(&section, "in_flight", raw.in_flight, 1..=65_535, &mut 0, diagnostics);
    spec.in_flight = raw.in_flight;
    let sizes = ByteSize(64 << 10)..=ByteSize(64 << 30);
    let given = raw.in_flight_bytes;
    within(&section, "in_flight_bytes", given, sizes, &mut ByteSize(0), diagnostics);
    spec.in_flight_bytes = given.map(|ByteSize(bytes)| bytes);
    spec
}

fn retry(
    section: &Section,
    raw: &RawRetry,
    order: &Order,
    diagnostics: &mut Vec<Diagnostic>,
) -> RetrySpec {
    let of_all = RawPolicy { attempts: raw.attempts, backoff: raw.backoff };
    let policy = policy(section, &of_all, RetryPolicy::default(), diagnostics);
    let hold = raw.hold.unwrap_or(true);
    if raw.hold.is_some() && *order == Order::None {
        let message = "there is no order that could be held";
        diagnostics.push(
            section
                .diagnostic(Code::BadValue, "retry.hold", message)
                .help("set `order` to \"strict\" or { key = … }, or leave `hold` out"),
        );
    }
    let holds = hold && *order != Order::None;
    if holds && raw.wait == Some(Wait::Queue) {
        let message = "what is held in order waits in memory";
        diagnostics.push(
            section
                .diagnostic(Code::BadValue, "retry.wait", message)
                .help("add `hold = false` to let others overtake, or leave `wait` out"),
        );
    }
    let default = if holds { Wait::Memory } else { Wait::Queue };
    RetrySpec { policy, wait: raw.wait.unwrap_or(default), hold }
}

/// Reads what a stage's `retry` and that of the whole pipeline have in common; what is left out is
/// as in `spec`.
pub(super) fn policy(
    section: &Section,
    raw: &RawPolicy,
    mut spec: RetryPolicy,
    diagnostics: &mut Vec<Diagnostic>,
) -> RetryPolicy {
    within(section, "retry.attempts", raw.attempts, 1..=1000, &mut spec.attempts, diagnostics);
    if let Some(TimeRange { min, max }) = raw.backoff {
        let limits = Time(Duration::from_millis(1))..=Time(Duration::from_secs(24 * 3600));
        let (mut from, mut to) = (Time(min), Time(max));
        let path = "retry.backoff";
        within(section, path, Some(from), limits.clone(), &mut from, diagnostics);
        within(section, path, Some(to), limits, &mut to, diagnostics);
        spec.backoff = Backoff { min: from.0, max: to.0 };
    }
    spec
}

fn key(
    section: &Section,
    path: &str,
    text: &str,
    diagnostics: &mut Vec<Diagnostic>,
) -> Option<KeySource> {
    let key = KeySource::parse(text);
    if key.is_none() {
        let message = format!("`{text}` does not name a part of a message");
        diagnostics.push(section.diagnostic(Code::BadValue, path, message).help(
            "write `header:<name>`, `routing_key`, or `property:<name>` such as `property:message_id`",
        ));
    }
    key
}
