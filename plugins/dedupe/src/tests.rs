//! Copies at different times, as the host would bring them.

use lockgate_plugin::host::kv::Error;
use lockgate_plugin::testing::{
    MessageBuilder, Session, confirm, fail, set_clock, set_state_error,
};
use lockgate_plugin::{Failure, Headers, Property, Verdict};

use crate::{DUPLICATE, Dedupe};

fn open(settings: &str) -> Session<Dedupe> {
    Session::open(settings).unwrap_or_else(|errors| panic!("{settings}: {errors:?}"))
}

fn message(id: &str) -> MessageBuilder {
    MessageBuilder::new().property(Property::MessageId, id)
}

fn asks_again(verdict: &Verdict, ms: u32) -> bool {
    matches!(verdict, Verdict::Retry { after_ms, .. } if *after_ms == ms)
}

#[test]
fn two_copies_in_one_batch_do_not_both_pass() {
    let mut session = open("{}");
    let (a, b) = (message("a"), message("b"));
    let verdicts = session.handle_all(&[&a, &b, &a]);
    assert_eq!(verdicts[..2], [Verdict::Pass, Verdict::Pass]);
    assert!(asks_again(&verdicts[2], 1000), "{verdicts:?}");
    confirm();
    assert_eq!(session.handle(&a), Verdict::Drop(DUPLICATE));
}

#[test]
fn a_copy_of_what_failed_passes() {
    let mut session = open(r#"{"in_flight":"50ms"}"#);
    assert_eq!(session.handle(&message("a")), Verdict::Pass);
    assert!(asks_again(&session.handle(&message("a")), 50));
    fail();
    assert_eq!(session.handle(&message("a")), Verdict::Pass);
}

#[test]
fn the_window_ends() {
    let mut session = open(r#"{"window":"10s"}"#);
    session.handle(&message("a"));
    confirm();
    set_clock(9_999_999);
    assert_eq!(session.handle(&message("a")), Verdict::Drop(DUPLICATE));
    set_clock(10_000_000);
    assert_eq!(session.handle(&message("a")), Verdict::Pass);
}

#[test]
fn without_state_messages_wait() {
    let mut session = open("{}");
    for error in [Error::Unavailable, Error::Quota] {
        set_state_error(Some(error));
        let Verdict::Fail { failure, .. } = session.handle(&message("a")) else { panic!() };
        assert_eq!(failure, Failure::Dependency);
    }
    set_state_error(None);
    assert_eq!(session.handle(&message("a")), Verdict::Pass);
}

#[test]
fn only_what_the_key_reads_is_needed() {
    let session = open(r#"{"key":"header:id","on_duplicate":"route:a","on_missing":"route:b"}"#);
    let init = session.init();
    assert_eq!(init.needs.headers, Headers::Names(vec!["id".to_owned()]));
    assert!(!init.needs.properties);
    assert_eq!(
        (init.routes.as_slice(), init.unrouted),
        (&["a".to_owned(), "b".to_owned()][..], true)
    );
}
