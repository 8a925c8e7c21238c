//! Nature: what a queue that the file does not declare is, as far as AMQP tells.
//!
//! A declaration that differs from what is there is refused, and the refusal says what is there.
//! So a queue is asked after by declaring it wrong. The type that is asked for exists nowhere: a
//! queue that is not there cannot be made by it.

use lapin::options::QueueDeclareOptions;
use lockgate_transport::ConnectError;
use lockgate_transport::declare::{Argument, Arguments};

use super::{Topology, short};
use crate::fault::{Refusal, refusal, said};
use crate::settings::field_table;

/// A type that no queue has.
const OTHER: &str = "lockgate.question";
/// A limit that no queue has.
const NO_LIMIT: i64 = 2_000_000_011;
/// Most questions about one queue; the broker tells one argument for each.
const QUESTIONS: usize = 12;

/// What matters of a quorum queue.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Nature {
    /// `x-delivery-limit`, if it is among its arguments.
    limit: Option<i64>,
    /// It has a dead-letter exchange among its arguments.
    dead_letters: bool,
}

impl Nature {
    /// Of a queue with these arguments; `None` if it is no quorum queue.
    pub(crate) fn declared(Arguments(arguments): &Arguments) -> Option<Self> {
        let kind = Argument::Text("quorum".to_owned());
        (arguments.get("x-queue-type") == Some(&kind)).then(|| Self {
            limit: match arguments.get("x-delivery-limit") {
                Some(Argument::Int(limit)) => Some(*limit),
                _ => None,
            },
            dead_letters: arguments.contains_key("x-dead-letter-exchange"),
        })
    }

    /// What it loses, and the way out.
    pub(crate) fn risk(self) -> Option<String> {
        let after = match self.limit {
            _ if self.dead_letters => return None,
            // As many as it takes.
            Some(..0) => return None,
            Some(limit) => {
                format!("the quorum queue drops a message after {limit} failed deliveries")
            }
            None => {
                "from RabbitMQ 4 on, a quorum queue drops a message after 20 failed deliveries, \
                     unless it has another limit"
                    .to_owned()
            }
        };
        Some(format!(
            "{after}, and each death of a host counts for all that it had in hand; give the queue an \
             x-dead-letter-exchange, unless a policy does so already"
        ))
    }
}

/// An argument of a queue, and what there is for it.
#[derive(Debug, PartialEq)]
struct Told {
    name: String,
    current: Option<Argument>,
}

impl Topology<'_> {
    /// What a queue that is there is, if it is a quorum queue. `None` also where the broker does not
    /// say, as to a user who may not configure the queue.
    pub(crate) async fn nature(&self, queue: &str) -> Result<Option<Nature>, ConnectError> {
        let mut known = Arguments::default();
        let kind = Argument::Text(OTHER.to_owned());
        known.0.insert("x-queue-type".to_owned(), kind);
        for _ in 0..QUESTIONS {
            let Some(Told { name, current: Some(current) }) = self.ask(queue, &known).await? else {
                return Ok(None);
            };
            let is_type = name == "x-queue-type";
            if is_type && current != Argument::Text("quorum".to_owned()) {
                return Ok(None);
            }
            // What the broker told is right from now on, and it tells the next thing.
            known.0.insert(name, current);
            if is_type {
                return self.of_quorum(queue, known).await.map(Some);
            }
        }
        Ok(None)
    }

    /// As [`Topology::nature`], of a quorum queue of which all arguments are known but its limit.
    async fn of_quorum(&self, queue: &str, known: Arguments) -> Result<Nature, ConnectError> {
        let dead_letters = known.0.contains_key("x-dead-letter-exchange");
        let mut asked = known;
        asked.0.insert("x-delivery-limit".to_owned(), Argument::Int(NO_LIMIT));
        // Nor could a queue be made by this one.
        let nowhere = Argument::Text(OTHER.to_owned());
        asked.0.entry("x-queue-leader-locator".to_owned()).or_insert(nowhere);
        let told = self.ask(queue, &asked).await?.filter(|told| told.name == "x-delivery-limit");
        let limit = match told.and_then(|told| told.current) {
            Some(Argument::Int(limit)) => Some(limit),
            Some(Argument::Text(limit)) => limit.parse().ok(),
            _ => None,
        };
        Ok(Nature { limit, dead_letters })
    }

    /// Declares the queue with `arguments`, which are wrong; what the broker finds first.
    async fn ask(&self, queue: &str, arguments: &Arguments) -> Result<Option<Told>, ConnectError> {
        let channel = self.channel().await?;
        let options = QueueDeclareOptions { durable: true, ..Default::default() };
        let declare = channel.queue_declare(short(queue)?, options, field_table(arguments));
        let Err(error) = self.answer(declare).await else {
            self.close(&channel).await;
            return Ok(None);
        };
        let told = refusal(&error) == Refusal::Different;
        Ok(told.then(|| said(&error)).and_then(|text| told_by(&text)))
    }
}

/// What a refusal tells, in the words of RabbitMQ 3.8 to 4.3.
fn told_by(text: &str) -> Option<Told> {
    let (_, rest) = text.split_once("inequivalent arg '")?;
    let (name, _) = rest.split_once('\'')?;
    // Names may hold any words; those that count are the last.
    let (_, current) = text.rsplit_once("but current is ")?;
    let mut quoted = current.split('\'').skip(1).step_by(2);
    let current = match (current, quoted.next(), quoted.next()) {
        ("none", ..) => None,
        (_, Some(value), None | Some("longstr")) => Some(Argument::Text(value.to_owned())),
        (_, Some(value), Some("bool")) => Some(Argument::Bool(value == "true")),
        (_, Some(value), Some(_)) => Some(Argument::Int(value.parse().ok()?)),
        _ => return None,
    };
    Some(Told { name: name.to_owned(), current })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_refusal_tells_what_is_there() {
        let text = |text: &str| Some(Argument::Text(text.to_owned()));
        for (said, expected) in [
            (
                "inequivalent arg 'x-delivery-limit' for queue 'q0' in vhost '/': received the value \
                 '-7' of type 'signedint' but current is none",
                Some(("x-delivery-limit", None)),
            ),
            (
                "inequivalent arg 'x-delivery-limit' for queue 'q' in vhost '/': received '-7' but \
                 current is '5'",
                Some(("x-delivery-limit", text("5"))),
            ),
            (
                "inequivalent arg 'x-message-ttl' for queue 'but current is none' in vhost '/': \
                 received none but current is the value '7' of type 'long'",
                Some(("x-message-ttl", Some(Argument::Int(7)))),
            ),
            (
                "inequivalent arg 'x-dead-letter-exchange' for queue 'q' in vhost '/': received none \
                 but current is the value 'd' of type 'longstr'",
                Some(("x-dead-letter-exchange", text("d"))),
            ),
            (
                "inequivalent arg 'x-queue-type' for queue 'q' in vhost '/': received \
                 'lockgate.question' but current is 'stream'",
                Some(("x-queue-type", text("stream"))),
            ),
            ("invalid arg 'x-queue-type' for queue 'q' in vhost '/'", None),
        ] {
            let expected = expected.map(|(name, current)| Told { name: name.to_owned(), current });
            assert_eq!(told_by(&format!("PRECONDITION_FAILED - {said}")), expected);
        }
    }
}
