//! Plan: what a letter is published as, and where.

use std::sync::Arc;

use lockgate_message::Message;
use lockgate_pipeline::replayable;
use lockgate_transport::{Outgoing, RoutingKey};
use lockgate_transport_amqp::RawNames;

use super::letter::{DELIVERY_COUNT, Letter, Maker, forget_deaths};

/// Where letters go.
#[derive(Debug)]
pub(super) enum To {
    /// To the exchange and with the routing key that each had.
    Origin,
    /// Without a routing key: each with its own.
    Exchange(String, Option<String>),
}

impl To {
    /// What is published for a letter; its names that are no text have a stand-in of `names`.
    ///
    /// # Errors
    /// Why it cannot be, for people.
    pub(super) fn plan(&self, letter: &Letter, names: &RawNames) -> Result<Outgoing, String> {
        let message = message(letter)?;
        let text = |(exchange, key)| (names.text(exchange), names.text(key));
        let origin = letter.origin().map(text);
        let no_origin =
            "it does not say where it came from; give --to, --to-queue or --to-exchange";
        let (exchange, routing_key) = match self {
            Self::Origin => origin.ok_or(no_origin)?,
            Self::Exchange(exchange, Some(key)) => (exchange.clone(), key.clone()),
            Self::Exchange(exchange, None) => {
                let own = || letter.head().routing_key.clone();
                (exchange.clone(), origin.map_or_else(own, |(_, key)| key))
            }
        };
        Ok(Outgoing {
            exchange: exchange.into(),
            routing_key: RoutingKey::Fixed(Arc::from(routing_key)),
            message,
        })
    }
}

/// The message that died, as it was.
fn message(letter: &Letter) -> Result<Message, String> {
    let unreadable = |why: &str| Err(format!("its header cannot be read ({why}); export has it"));
    if let Some(quarantine) = &letter.delivery.quarantine {
        return unreadable(quarantine.reason);
    }
    let mut message = match letter.open() {
        Some(opened) => match opened.head {
            Ok(head) => Message::new(head, opened.body),
            Err(why) => return unreadable(why),
        },
        None if letter.maker() == Maker::Lockgate => replayable(&letter.delivery.message),
        None => letter.delivery.message.clone(),
    };
    let headers = &mut message.head_mut().headers;
    match letter.maker() {
        Maker::Broker => forget_deaths(headers),
        // The dead-letter queue wrote it, about itself.
        Maker::Lockgate | Maker::Nobody => {
            headers.remove(DELIVERY_COUNT);
        }
    }
    Ok(message)
}

#[cfg(test)]
mod tests {
    use lockgate_message::Value;

    use super::super::letter::samples;
    use super::*;

    fn check(to: &To, letter: &Letter, expected: Result<(&str, &str), &str>) {
        match (to.plan(letter, &RawNames::default()), expected) {
            (Ok(out), Ok(expected)) => assert_eq!((&*out.exchange, out.routing_key()), expected),
            (Err(error), Err(part)) => assert!(error.contains(part), "{error}"),
            (found, expected) => panic!("{found:?} is not {expected:?}"),
        }
    }

    #[test]
    fn letters_go_to_their_origin_or_where_they_are_sent() {
        let letter = samples::from_origin("trap");
        check(&To::Origin, &letter, Ok(("in", "k")));
        check(&To::Exchange(String::new(), Some("q".into())), &letter, Ok(("", "q")));
        check(&To::Exchange("e".into(), None), &letter, Ok(("e", "k")));
        let foreign = samples::letter(&[], b"");
        check(&To::Origin, &foreign, Err("where it came from"));
        check(&To::Exchange(String::new(), Some("q".into())), &foreign, Ok(("", "q")));
    }

    #[test]
    fn what_is_published_is_the_message_that_died() {
        let mut letter = samples::from_origin("trap");
        letter.delivery.message.head_mut().headers.set(DELIVERY_COUNT, Value::I64(3));
        let message = To::Origin.plan(&letter, &RawNames::default()).unwrap().message;
        let names: Vec<_> = message.head().headers.iter().map(|(name, _)| name.as_str()).collect();
        assert_eq!(names, ["mine"]);
        assert_eq!(message.body(), "body");
    }

    #[test]
    fn an_envelope_goes_without_itself_or_stays() {
        let letter = samples::envelope(samples::RAW_HEADER);
        let out = To::Origin.plan(&letter, &RawNames::default()).unwrap();
        assert_eq!((&*out.exchange, out.routing_key()), ("in", "k"));
        assert_eq!(out.message.body(), "inner");
        assert_eq!(out.message.head().headers.get("k"), Some(&Value::Bool(true)));
        assert_eq!(out.message.head().headers.len(), 1);
        check(&To::Origin, &samples::envelope(b"\xff"), Err("cannot be read (malformed)"));
    }

    /// What the broker dead-lettered goes back to where it came from last, whatever headers it has:
    /// perhaps it is the letter of another Lockgate, or says so.
    #[test]
    fn what_the_broker_dead_lettered_goes_back_as_it_was() {
        let letter = samples::from_broker();
        check(&To::Origin, &letter, Ok(("orders", "order.new")));
        let message = To::Origin.plan(&letter, &RawNames::default()).unwrap().message;
        let expected = samples::from_origin("trap");
        assert_eq!(message.head().headers, expected.head().headers);
        assert_eq!(message.body(), "body");
        let content_type = message.head().properties.content_type.as_deref();
        assert_eq!(content_type, Some(lockgate_pipeline::ENVELOPE_CONTENT_TYPE));
    }
}
