//! Retry: a message that failed waits, in the lane's memory or in a queue of the broker, and is
//! tried again. In a queue its attempts survive a restart, and it holds up nothing.

use std::time::{Duration, SystemTime, UNIX_EPOCH};

use lockgate_message::{Delivery, Head, Value};
use lockgate_transport::{DelayQueue, Outgoing, RoutingKey};

use crate::aside::RETRY;

/// Shortest delay of the ladder of retry queues, each of which waits twice as long as the one
/// before: one queue a step, for a message behind one that waits longer would wait as long.
const STEP: Duration = Duration::from_millis(100);

/// Longest wait in memory of what has not failed.
const PATIENCE: Duration = Duration::from_secs(30);

/// Longest wait in a queue that brokers take, 2³² − 1 ms; a plugin cannot ask for more.
const LONGEST: Duration = Duration::from_millis(u32::MAX as u64);

const ATTEMPT: &str = "attempt";
const FIRST_FAILED_AT: &str = "first-failed-at";

/// Seconds since the Unix epoch.
pub(crate) fn now() -> u64 {
    SystemTime::now().duration_since(UNIX_EPOCH).map_or(0, |now| now.as_secs())
}

/// Counts a failed attempt.
pub(crate) fn count(delivery: &mut Delivery) {
    delivery.attempt = delivery.attempt.saturating_add(1);
    delivery.first_failed.get_or_insert_with(now);
}

/// Whether a delay is long enough to be worth a queue. What waits for others, and has not failed,
/// stays in memory for longer: that the lane fills up with it is the back-pressure it needs.
pub(crate) fn is_long(delay: Duration, counted: bool) -> bool {
    delay >= if counted { STEP } else { PATIENCE }
}

/// The queue in which a delivery of `queue` waits for `delay`, and the message for it.
pub(crate) fn deferral(
    delivery: &Delivery,
    delay: Duration,
    queue: &str,
) -> (DelayQueue, Outgoing) {
    let mut step = STEP;
    while step < delay {
        step = step.saturating_mul(2);
    }
    let step = step.min(LONGEST);
    let name = format!("{queue}.retry.{}ms", step.as_millis());
    let mut message = delivery.message.clone();
    let origin = delivery.message.head();
    RETRY.put(&mut message, origin.exchange.as_bytes(), origin.routing_key.as_bytes());
    let head = message.head_mut();
    head.properties.expiration = Some(delay.as_millis().to_string());
    head.headers.set(RETRY.name(ATTEMPT), Value::I64(delivery.attempt.into()));
    if let Some(at) = delivery.first_failed {
        head.headers.set(RETRY.name(FIRST_FAILED_AT), Value::Timestamp(at));
    }
    let outgoing = Outgoing {
        exchange: "".into(),
        routing_key: RoutingKey::Fixed(name.as_str().into()),
        message,
    };
    (DelayQueue { name, back_to: queue.to_owned(), longest: step }, outgoing)
}

/// Makes a delivery that comes back from a retry queue what it was, with its attempts. They come
/// through the default exchange, which makes looking at all others cheap.
pub(crate) fn come_back(delivery: &mut Delivery) {
    let head = delivery.message.head();
    if !head.exchange.is_empty() || !waited(head) {
        return;
    }
    let Some(Value::I64(attempt)) = head.headers.get("lockgate-retry-attempt") else { return };
    delivery.attempt = u32::try_from(*attempt).unwrap_or(1).max(1);
    delivery.first_failed = match head.headers.get("lockgate-retry-first-failed-at") {
        Some(Value::Timestamp(at)) => Some(*at),
        _ => None,
    };
    RETRY.take_back(&mut delivery.message);
}

/// Whether the broker says that a message comes from a retry queue of the queue that it was put into:
/// then the headers of the retry are ours, for they were set anew when it was put there.
fn waited(head: &Head) -> bool {
    let Some(Value::Array(deaths)) = head.headers.get("x-death") else { return false };
    let Some(Value::Table(last)) = deaths.first() else { return false };
    let queue = last.get("queue").and_then(Value::as_text).unwrap_or_default();
    let step = queue.strip_prefix(&*head.routing_key).and_then(|rest| rest.strip_prefix(".retry."));
    step.and_then(|step| step.strip_suffix("ms")).is_some_and(|ms| ms.parse::<u64>().is_ok())
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use lockgate_message::{AckHandle, Message, Settle, Settlement};

    use super::*;

    struct Ignore;
    impl Settle for Ignore {
        fn settle(&self, _: u64, _: Settlement) {}
    }

    fn delivery(message: Message) -> Delivery {
        Delivery::new(message, false, AckHandle::new(Arc::new(Ignore), 1))
    }

    /// What the broker writes about a message that leaves `queue`.
    fn death(queue: &str) -> Value {
        let entry = [("queue".to_owned(), Value::text(queue))];
        Value::Array(vec![Value::Table(entry.into_iter().collect())])
    }

    /// Only the broker's word counts, and what was set before the message waited does not.
    #[test]
    fn attempts_that_no_retry_queue_counted_are_not_believed() {
        let mut head = Head { routing_key: "orders".into(), ..Head::default() };
        head.headers.set("lockgate-retry-attempt", Value::I64(9));
        head.headers.set("lockgate-retry-expiration", Value::text("1"));
        for elsewhere in [None, Some("orders"), Some("other.retry.800ms"), Some("orders.retry.ms")]
        {
            let mut head = head.clone();
            if let Some(queue) = elsewhere {
                head.headers.set("x-death", death(queue));
            }
            let mut forged = delivery(Message::new(head.clone(), "body"));
            come_back(&mut forged);
            assert_eq!((forged.attempt, forged.message.head()), (1, &head));
        }
        let mut failed = delivery(Message::new(head.clone(), "body"));
        count(&mut failed);
        let (_, outgoing) = deferral(&failed, Duration::from_millis(700), "orders");
        let mut message = outgoing.message;
        message.head_mut().headers.set("x-death", death("orders.retry.800ms"));
        message.head_mut().properties.expiration = None;
        let mut back = delivery(message);
        come_back(&mut back);
        assert_eq!((back.attempt, &back.message.head().headers), (2, &head.headers));
        assert_eq!(back.message.head().properties.expiration, None);
    }

    #[test]
    fn attempts_survive_the_way_through_a_queue() {
        let mut head = Head { exchange: "in".into(), routing_key: "k".into(), ..Head::default() };
        head.headers.set("mine", Value::I32(1));
        let mut failed = delivery(Message::new(head, "body"));
        count(&mut failed);
        count(&mut failed);
        let (queue, outgoing) = deferral(&failed, Duration::from_millis(700), "orders");
        assert_eq!(queue.name, "orders.retry.800ms");
        assert_eq!(queue.longest, Duration::from_millis(800));
        let head = outgoing.message.head();
        assert_eq!(head.properties.expiration.as_deref(), Some("700"));
        let mut message = outgoing.message.clone();
        message.head_mut().exchange = String::new();
        message.head_mut().routing_key = "orders".into();
        message.head_mut().properties.expiration = None;
        message.head_mut().headers.set("x-death", death("orders.retry.800ms"));
        let mut back = delivery(message);
        come_back(&mut back);
        assert_eq!((back.attempt, back.first_failed), (3, failed.first_failed));
        assert_eq!(back.message, failed.message);
    }

    /// What no broker carried is forged, and could be published nowhere, not as a dead letter either.
    #[test]
    fn what_is_too_long_for_a_broker_is_not_taken_back() {
        let mut head = Head { routing_key: "orders".into(), ..Head::default() };
        head.headers.set("lockgate-retry-attempt", Value::I64(2));
        head.headers.set("x-death", death("orders.retry.800ms"));
        for name in ["exchange", "routing-key", "user-id", "expiration", "reply-to"] {
            head.headers.set(RETRY.name(name), Value::text("k".repeat(256)));
        }
        let mut forged = delivery(Message::new(head, "body"));
        come_back(&mut forged);
        assert_eq!(forged.message.head(), &Head::default());
    }

    #[test]
    fn other_messages_stay_as_they_are() {
        let mut other = delivery(Message::new(Head::default(), "body"));
        come_back(&mut other);
        assert_eq!((other.attempt, other.first_failed), (1, None));
    }
}
