//! Verdicts that the format cannot carry become failures; the golden vectors have the others.

use super::*;
use crate::testing::output::read;

fn check(verdict: &Verdict, expected: &Verdict) {
    let mut bytes = vec![0xEE; 100];
    let mut output = Output::new(&mut bytes, 1);
    output.push(1, verdict);
    output.push(0, &Verdict::Drop(Reason(1)));
    output.finish().unwrap();
    assert_eq!(read(&bytes, 2, 1), Some(vec![Verdict::Drop(Reason(1)), expected.clone()]));
}

fn becomes(verdict: &Verdict, failure: Failure, text: &str) {
    check(verdict, &Verdict::Fail { failure, text: text.to_owned() });
}

#[test]
fn what_cannot_be_written_is_a_failure_and_harms_no_other() {
    let unknown = "reason 2 is not in the plugin's description";
    becomes(&Verdict::Drop(Reason(2)), Failure::Internal, unknown);
    becomes(
        &Verdict::Reject { reason: Reason(2), text: String::new() },
        Failure::Internal,
        unknown,
    );
    let mut long = Delta::new();
    long.routing_key(&"k".repeat(256));
    let too_long = "the routing key is longer than 255 bytes";
    becomes(&Verdict::Modify(long.clone()), Failure::BadMessage, too_long);
    let route = |routes| Verdict::Route { routes, delta: Delta::new() };
    becomes(&route(Vec::new()), Failure::Internal, "a route verdict without routes");
    becomes(&route(vec![String::new(); 256]), Failure::Internal, "256 routes; the most is 255");
    becomes(
        &route(vec!["r".repeat(256)]),
        Failure::Internal,
        "the name of a route is longer than 255 bytes",
    );
    let children = vec![Emitted::default(), Emitted { route: None, delta: long }];
    becomes(&Verdict::Emit(children), Failure::BadMessage, too_long);
}

#[test]
fn long_texts_are_cut_at_a_character() {
    let retry = |text: String| Verdict::Retry { after_ms: 1, text };
    check(&retry("ü".repeat(600)), &retry("ü".repeat(512)));
    check(&retry(format!("{}ü", "x".repeat(1023))), &retry("x".repeat(1023)));
}
