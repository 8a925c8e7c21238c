//! Messages over a limit, and when it is their turn.

use std::collections::BTreeMap;

use lockgate_plugin::host::kv::Error;
use lockgate_plugin::testing::{MessageBuilder, Session, set_clock, set_state_error};
use lockgate_plugin::{Body, Failure, Headers, Value, Verdict};

use crate::{OVER_LIMIT, Throttle};

fn open(settings: &str) -> Session<Throttle> {
    Session::open(settings).unwrap_or_else(|errors| panic!("{settings}: {errors:?}"))
}

fn at(ms: u64) -> MessageBuilder {
    set_clock(ms * 1000);
    MessageBuilder::new().received_micros(ms * 1000)
}

#[test]
fn each_window_has_its_limit() {
    let mut session = open(r#"{"limit":2,"on_excess":"drop"}"#);
    let passed = |verdict: Verdict| match verdict {
        Verdict::Pass => true,
        Verdict::Drop(OVER_LIMIT) => false,
        other => panic!("{other:?}"),
    };
    let times = [0, 10, 20, 999, 1000, 1001, 1002, 5000];
    let passes: Vec<_> = times.iter().map(|ms| passed(session.handle(&at(*ms)))).collect();
    assert_eq!(passes, [true, true, false, false, true, true, false, true]);
}

#[test]
fn each_key_has_its_limit_and_those_without_share_one() {
    let mut session = open(r#"{"limit":1,"key":"header:tenant","on_excess":"reject"}"#);
    assert_eq!(session.init().needs.headers, Headers::Names(vec!["tenant".to_owned()]));
    let mut name = |tenant: &str| {
        session.handle(&at(0).header("tenant", Value::from(tenant))) == Verdict::Pass
    };
    assert_eq!(["a", "b", "a", "", "-"].map(&mut name), [true, true, false, true, true]);
    assert!(!name(""));
    assert_ne!(session.handle(&at(0)), Verdict::Pass);
}

/// A burst comes back as the limit allows: every message passes, none of them more than once
/// more than the windows take, and no window lets more pass than the limit.
#[test]
fn a_burst_comes_back_in_turn() {
    let mut session = open(r#"{"limit":10,"per":"1s"}"#);
    assert_eq!(session.init().needs.body, Body::None);
    let mut due = BTreeMap::from([(300_u64, 95_usize)]);
    let (mut passed, mut calls) = (BTreeMap::<u64, usize>::new(), 0);
    while let Some((ms, count)) = due.pop_first() {
        for _ in 0..count {
            calls += 1;
            match session.handle(&at(ms)) {
                Verdict::Pass => *passed.entry(ms / 1000).or_default() += 1,
                Verdict::Retry { after_ms, .. } => {
                    *due.entry(ms + u64::from(after_ms)).or_default() += 1;
                }
                other => panic!("{other:?}"),
            }
        }
    }
    let windows: Vec<_> = passed.into_iter().collect();
    assert_eq!(windows, (0..10).map(|n| (n, if n < 9 { 10 } else { 5 })).collect::<Vec<_>>());
    assert_eq!(calls, 95 + 85, "each excess message asked just once more");
}

#[test]
fn without_state_messages_wait() {
    let mut session = open(r#"{"limit":1}"#);
    set_state_error(Some(Error::Unavailable));
    let Verdict::Fail { failure, .. } = session.handle(&at(0)) else { panic!() };
    assert_eq!(failure, Failure::Dependency);
    set_state_error(None);
}
