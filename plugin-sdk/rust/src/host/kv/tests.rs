//! State as a plugin's tests see it: a plugin that does what the body of a message says.

use super::*;
use crate::testing::{MessageBuilder, Session, confirm, fail, set_clock, set_state_error};
use crate::{Body, Delta, Description, Init, Needs, NoSettings, Plugin, SettingError, Verdict};

struct Script;

impl Plugin for Script {
    type Settings = NoSettings;
    const DESCRIPTION: Description = Description::new("script", "0.1.0").capabilities(&["kv"]);

    fn init(_: NoSettings) -> Result<(Self, Init), Vec<SettingError>> {
        let needs = Needs { body: Body::All, ..Needs::default() };
        Ok((Self, Init { needs, ..Init::default() }))
    }

    /// Passes by a route that is named as the results.
    fn handle(&mut self, message: &Message<'_>) -> Verdict {
        let body = str::from_utf8(message.body()).unwrap_or_default();
        let second = Duration::from_secs(1);
        let results = body.split(' ').map(|step| {
            let (what, key) = step.split_once(':').unwrap_or((step, ""));
            let key = key.as_bytes();
            match what {
                "put" => format!("{:?}", put(message, key, b"value", Some(second))),
                "get" => format!("{:?}", get(message, key).map(|value| value.map(|v| v.len()))),
                "delete" => format!("{:?}", delete(message, key)),
                "claim" => format!("{:?}", claim(message, key, second)),
                "add" => format!("{:?}", add(message, key, 2, second)),
                "long" => format!("{:?}", put(message, key, &[0; VALUE_MAX + 1], None)),
                "short" => format!("{:?}", claim(message, key, Duration::from_micros(1))),
                "many" => (0..65).fold(String::new(), |_, _| format!("{:?}", get(message, key))),
                _ => String::new(),
            }
        });
        let results = results.collect::<Vec<_>>().join(" ");
        match body.contains("retry") {
            true => Verdict::Retry { after_ms: 1, text: results },
            false => Verdict::Route { routes: vec![results], delta: Delta::new() },
        }
    }
}

#[track_caller]
fn check(scripts: &[(&str, &str)]) {
    let mut session = Session::<Script>::open("{}").unwrap();
    let messages: Vec<_> =
        scripts.iter().map(|(script, _)| MessageBuilder::new().body(script)).collect();
    let verdicts = session.handle_all(&messages.iter().collect::<Vec<_>>());
    for ((script, expected), verdict) in scripts.iter().zip(verdicts) {
        let found = match verdict {
            Verdict::Route { routes, .. } => routes.join(""),
            Verdict::Retry { text, .. } => text.trim_end().to_owned(),
            other => format!("{other:?}"),
        };
        assert_eq!(found, *expected, "{script}");
    }
}

#[test]
fn values_are_staged_and_end() {
    check(&[("put:k get:k", "Ok(()) Ok(Some(5))"), ("get:k", "Ok(Some(5))")]);
    check(&[("get:k", "Ok(None)")]);
    confirm();
    check(&[("get:k", "Ok(Some(5))"), ("delete:k get:k", "Ok(()) Ok(None)")]);
    fail();
    check(&[("get:k", "Ok(Some(5))"), ("put:l retry", "Ok(())")]);
    set_clock(1_000_000);
    check(&[("get:k get:l", "Ok(None) Ok(None)")]);
}

#[test]
fn a_claim_is_had_by_one() {
    check(&[("claim:k claim:k", "Ok(Ours) Ok(Ours)"), ("claim:k", "Ok(InFlight)")]);
    fail();
    check(&[("claim:k retry", "Ok(Ours)")]);
    check(&[("claim:k", "Ok(Ours)")]);
    confirm();
    check(&[("claim:k", "Ok(Kept)")]);
    set_clock(1_000_000);
    check(&[("claim:k", "Ok(Ours)")]);
}

#[test]
fn counters_count_at_once_and_end() {
    check(&[("add:k add:k retry", "Ok(2) Ok(4)"), ("add:k", "Ok(6)")]);
    set_clock(1_000_000);
    check(&[("add:k", "Ok(2)")]);
}

#[test]
fn limits_and_errors() {
    check(&[
        ("long:k", "Err(Invalid)"),
        ("short:k", "Err(Invalid)"),
        ("get:", "Err(Invalid)"),
        ("many:k", "Err(Quota)"),
    ]);
    set_state_error(Some(Error::Unavailable));
    check(&[("claim:k put:k", "Err(Unavailable) Ok(())"), ("add:k", "Err(Unavailable)")]);
    set_state_error(None);
    check(&[("claim:k", "Ok(Ours)")]);
}
