//! What is stripped, what is refused, and that the rest passes as it is.

use lockgate_message::{Message, Properties};
use lockgate_transport::RoutingKey;

use super::*;

fn limits(grants: &[Grant]) -> Limits {
    Limits {
        persistent: true,
        grants: grants.to_vec(),
        max_body: 1000,
        frame_max: 4096,
        duplicates: Arc::default(),
    }
}

fn outgoing(head: Head, body: usize) -> Outgoing {
    Outgoing {
        exchange: "x".into(),
        routing_key: RoutingKey::Same,
        message: Message::new(head, vec![0; body]),
    }
}

fn convert_with(head: Head, grants: &[Grant]) -> Result<Publish, PutError> {
    publish(&outgoing(head, 0), "1-2-3".into(), &limits(grants))
}

fn header(name: &str, value: Value) -> Head {
    let mut head = Head::default();
    head.headers.set(name, value);
    head
}

fn property(change: impl FnOnce(&mut Properties)) -> Head {
    let mut head = Head::default();
    change(&mut head.properties);
    head
}

fn text(text: impl Into<String>) -> Option<String> {
    Some(text.into())
}

#[test]
fn the_id_is_ours_and_the_mode_persistent() {
    let mut head = header(ID_HEADER, Value::text("forged"));
    head.properties.delivery_mode = Some(1);
    let properties = convert_with(head.clone(), &[]).unwrap().properties;
    let table = properties.headers().clone().unwrap();
    assert_eq!(table.inner().get(ID_HEADER), Some(&text_value("1-2-3".into())));
    assert_eq!(table.inner().len(), 1);
    assert_eq!(*properties.delivery_mode(), Some(2));
    let kept = Limits { persistent: false, ..limits(&[]) };
    let kept = publish(&outgoing(head, 0), String::new(), &kept).unwrap();
    assert_eq!(*kept.properties.delivery_mode(), Some(1));
}

#[test]
fn what_could_be_misused_is_stripped_unless_granted() {
    let copies = || Value::Array(vec![Value::text("elsewhere")]);
    for (name, grant) in [("CC", Grant::Cc), ("BCC", Grant::Bcc)] {
        for (grants, kept) in [(&[][..], false), (&[grant][..], true)] {
            let publish = convert_with(header(name, copies()), grants).unwrap();
            let table = publish.properties.headers().clone().unwrap();
            assert_eq!(table.contains_key(name), kept, "{name}");
        }
        assert!(convert_with(header(name, Value::Void), &[grant]).is_err());
    }
    let head = || {
        property(|p| {
            p.user_id = text("guest");
            p.reply_to = text("amq.rabbitmq.reply-to.g1");
        })
    };
    let stripped = convert_with(head(), &[]).unwrap().properties;
    assert_eq!((stripped.user_id(), stripped.reply_to()), (&None, &None));
    let kept = convert_with(head(), &[Grant::UserId, Grant::DirectReplyTo]).unwrap().properties;
    assert!(kept.user_id().is_some() && kept.reply_to().is_some());
    let ordinary = convert_with(property(|p| p.reply_to = text("answers")), &[]).unwrap();
    assert!(ordinary.properties.reply_to().is_some());
}

#[test]
fn what_the_broker_would_not_take_is_refused() {
    let nested =
        |levels: usize| (0..levels).fold(Value::Void, |inner, _| Value::Array(vec![inner]));
    let long = || "x".repeat(256);
    for (head, word) in [
        (header("n", Value::F32(f32::INFINITY)), "finite"),
        (header("n", Value::Array(vec![Value::F64(f64::NAN)])), "finite"),
        (header("n", nested(32)), "deeper"),
        (header(&long(), Value::Void), "256 bytes"),
        (header("n", Value::Str(vec![0; 4096])), "for what brokers add"),
        (property(|p| p.expiration = text("")), "expiration"),
        (property(|p| p.expiration = text("1.5")), "expiration"),
        (property(|p| p.expiration = text("+1")), "expiration"),
        (property(|p| p.expiration = text("4294967296")), "expiration"),
        (property(|p| p.app_id = text(long())), "app_id"),
        (property(|p| p.kind = text(long())), "type"),
        (Head { routing_key: long(), ..Head::default() }, "routing key"),
    ] {
        let error = convert_with(head, &[]).unwrap_err();
        assert!(matches!(error, PutError::Invalid(_)), "{error}");
        assert!(error.to_string().contains(word), "{error}");
    }
    assert!(convert_with(header("n", nested(31)), &[]).is_ok());
    assert!(convert_with(property(|p| p.expiration = text("4294967295")), &[]).is_ok());
    let too_big = publish(&outgoing(Head::default(), 1001), String::new(), &limits(&[]));
    assert!(matches!(too_big, Err(PutError::Invalid(_))));
}

/// Each value that is left out is counted, those inside of tables too.
#[test]
fn a_second_value_of_a_name_is_counted() {
    let inner: Table = ["k", "k"].into_iter().map(|k| (k.to_owned(), Value::Void)).collect();
    let mut head = header("n", Value::I32(1));
    head.headers.push("n".to_owned(), Value::I32(2));
    head.headers.push("t".to_owned(), Value::Array(vec![Value::Table(inner)]));
    let limits = limits(&[]);
    let converted = publish(&outgoing(head, 0), String::new(), &limits).unwrap();
    let table = converted.properties.headers().clone().unwrap();
    assert_eq!(table.inner().get("n"), Some(&AMQPValue::LongInt(1)));
    assert_eq!(limits.duplicates.count(), 2);
}

/// With what a broker may add, and no more.
#[test]
fn headers_fill_the_frame_and_no_more() {
    // 22 of overhead, 10 for the numbers, 26 for the table with its id, 7 around the value; and what
    // is kept free for an exchange with a name of one byte and a key of none.
    let most = 4096 - 65 - growth("x", "", None, 4096);
    for (len, fits) in [(most, true), (most + 1, false)] {
        let converted = convert_with(header("n", Value::Str(vec![0; len])), &[]);
        assert_eq!(converted.is_ok(), fits, "{len}");
    }
}
