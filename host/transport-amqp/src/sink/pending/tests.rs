//! Results from confirms and returns in the ways the client mixes them.

use lapin::BasicProperties;
use lapin::message::Delivery;
use lapin::types::FieldTable;

use super::*;

/// A return of the publish with this id.
fn returned(id: &str) -> Option<BasicReturnMessage> {
    let mut headers = FieldTable::default();
    headers.insert(ID_HEADER.into(), AMQPValue::LongString(id.into()));
    let mut delivery = Delivery::mock(0, "x".into(), "k".into(), false, Vec::new());
    delivery.properties = BasicProperties::default().with_headers(headers);
    Some(BasicReturnMessage { delivery, reply_code: 312, reply_text: "NO_ROUTE".into() })
}

/// `events` are the confirms in the order they came: place and what rode on it. The results as
/// letters: `o`k, `r`eturned, `n`acked, `u`nknown, `i`nvalid.
fn check(events: Vec<(usize, Confirmation)>, failure: Option<&str>, expected: &str) {
    let mut id = Id::new(7, 3);
    let _earlier = id.reserve(1000);
    let first = id.reserve(expected.len());
    let mut pending = Pending::new(expected.len());
    pending.refuse(0, PutError::Invalid("no".into()));
    let mut failure = failure.map(str::to_owned);
    for (at, confirmation) in events {
        if let Err(why) = pending.confirmed(at, confirmation, &id, first) {
            failure.get_or_insert(why);
        }
    }
    let letter = |result| match result {
        Ok(()) => 'o',
        Err(PutError::Unroutable(_)) => 'r',
        Err(PutError::Nacked(_)) => 'n',
        Err(PutError::Unknown(_)) => 'u',
        Err(PutError::Invalid(_)) => 'i',
    };
    let results: String = pending.into_results(failure.as_deref()).map(letter).collect();
    assert_eq!(results, expected);
}

/// A confirm that came and was not looked at may have brought any one's return.
#[test]
fn after_a_confirm_that_nobody_saw_all_are_unknown() {
    let id = Id::new(7, 3);
    let mut pending = Pending::new(3);
    pending.confirmed(0, Confirmation::Ack(None), &id, 0).unwrap();
    pending.confirmed(1, Confirmation::Ack(None), &id, 0).unwrap();
    pending.distrust();
    let unknown = |result| matches!(result, Err(PutError::Unknown(_)));
    assert!(pending.into_results(Some("late")).all(unknown));
}

#[test]
fn a_return_belongs_to_the_publish_it_names() {
    use Confirmation::{Ack, Nack, NotRequested};
    let ack = |at| (at, Ack(None));
    let with = |at, id| (at, Ack(returned(id)));
    // The first of the block, which was refused before it was sent, is 7-3-1000.
    check(vec![ack(1), ack(2), ack(3)], None, "iooo");
    check(vec![ack(1), with(2, "7-3-1002"), ack(3)], None, "ioro");
    check(vec![with(1, "7-3-1003"), with(2, "7-3-1001"), ack(3)], None, "iror");
    check(vec![ack(1), (2, Nack(None)), (3, Nack(returned("7-3-1001")))], None, "irnn");
    // A failure: what comes after the first without a word may have come back unseen.
    check(vec![ack(1), ack(3)], Some("gone"), "iouu");
    check(vec![ack(2), with(3, "7-3-1001")], Some("gone"), "iruu");
    check(vec![], Some("gone"), "iuuu");
    // A return from elsewhere: one of these came back, and nobody knows which.
    for stranger in ["7-3-999", "7-3-1004", "7-4-1001", "8-3-1001", "7-3-", "", "7-3-99999999999"] {
        check(vec![ack(1), with(2, stranger), ack(3)], None, "iuuu");
    }
    check(vec![ack(1), (2, NotRequested), ack(3)], None, "iouu");
}
