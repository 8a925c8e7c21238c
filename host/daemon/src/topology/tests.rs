//! Files, and what is said of them together.

use lockgate_config::{SourceFile, parse_pipeline};

use super::*;
use crate::{plugins, transports};

/// A pipeline that takes from `queue` with `declare`, and has these `ends`.
fn pipeline(name: &str, queue: &str, declare: &str, ends: &str) -> PipelineSpec {
    let text = format!(
        "version = 1\nname = '{name}'\n[source.amqp]\nurl = 'amqp://h'\nqueue = '{queue}'\n{declare}\n{ends}"
    );
    let context = lockgate_config::Context {
        environment: &|_| None,
        transports: &transports::LIST,
        plugins: &plugins::NAMES,
    };
    let mut diagnostics = Vec::new();
    let spec = parse_pipeline(&SourceFile::new("p.toml", text), &context, &mut diagnostics);
    spec.unwrap_or_else(|| panic!("{}", lockgate_config::render_text(&diagnostics, false)))
}

#[track_caller]
fn check(specs: &[PipelineSpec], expected: &[Code]) {
    let found = judge(specs);
    let codes: Vec<Code> = found.iter().map(|one| one.code).collect();
    assert_eq!(codes, expected, "{}", lockgate_config::render_text(&found, false));
}

/// A source that is bound to the topic exchange `e` with `key`.
fn bound(kind: &str, key: &str) -> String {
    format!(
        "declare = {{ queue = {{}}, exchange = {{ name = 'e', type = '{kind}' }}, \
         bindings = [{{ routing_key = '{key}' }}] }}"
    )
}

#[test]
fn what_comes_back_to_its_source_is_warned_of() {
    for (kind, key, route, loops) in [
        ("topic", "order.#", "{ exchange = 'e' }", true),
        ("topic", "order.#", "{ exchange = 'e', routing_key = 'order.done' }", true),
        ("topic", "order.*", "{ exchange = 'e', routing_key = 'order.done.now' }", false),
        ("topic", "order.#", "{ exchange = 'e', routing_key = 'done' }", false),
        ("topic", "order.#", "{ exchange = 'e', routing_key = 'done.{{routing_key}}' }", false),
        ("topic", "#", "{ exchange = 'e', routing_key = 'done.{{routing_key}}' }", true),
        ("direct", "k", "{ exchange = 'e', routing_key = 'k' }", true),
        ("direct", "k", "{ exchange = 'e', routing_key = 'l' }", false),
        ("direct", "k", "{ exchange = 'e', routing_key = '{{exchange}}' }", true),
        ("fanout", "", "{ exchange = 'e', routing_key = 'anything' }", true),
        ("headers", "", "{ exchange = 'e' }", true),
        ("topic", "#", "{ exchange = 'other' }", false),
        ("topic", "#", "{ exchange = 'e', url = 'amqp://another' }", false),
        ("topic", "#", "{ exchange = '', routing_key = 'q' }", true),
        ("topic", "#", "{ exchange = '', routing_key = 'r' }", false),
        ("topic", "#", "{ exchange = '' }", true),
        (
            "topic",
            "a",
            "{ exchange = 'f', declare = { type = 'fanout', queues = [{ name = 'q' }] } }",
            true,
        ),
    ] {
        let dead = "amqp = { exchange = 'dead' }";
        for ends in [
            format!("[route.default]\namqp = {route}\n[dead_letter]\n{dead}"),
            format!("[route.default]\n{dead}\n[dead_letter]\namqp = {route}"),
        ] {
            let expected = if loops { vec![Code::Loop] } else { Vec::new() };
            check(&[pipeline("p", "q", &bound(kind, key), &ends)], &expected);
        }
    }
}

#[test]
fn and_what_comes_back_over_another_pipeline() {
    let ends = |exchange: &str| {
        format!(
            "[route.default]\namqp = {{ exchange = '{exchange}' }}\n\
             [dead_letter]\namqp = {{ exchange = 'dead' }}"
        )
    };
    let from = |exchange: &str| {
        format!(
            "declare = {{ queue = {{}}, exchange = {{ name = '{exchange}', type = 'fanout' }}, \
             bindings = [{{}}] }}"
        )
    };
    let there = pipeline("there", "q1", &from("e1"), &ends("e2"));
    let back = pipeline("back", "q2", &from("e2"), &ends("e1"));
    let on = pipeline("on", "q2", &from("e2"), &ends("e3"));
    check(&[there.clone(), back], &[Code::Loop, Code::Loop]);
    check(&[there, on], &[]);
}

#[test]
fn two_pipelines_on_one_queue_are_warned_of() {
    let ends = "[dead_letter]\namqp = { exchange = 'dead' }";
    let (a, b) = (pipeline("a", "q", "", ends), pipeline("b", "q", "", ends));
    check(&[a.clone(), b], &[Code::SharedQueue]);
    check(&[a, pipeline("b", "r", "", ends)], &[]);
}

#[test]
fn placeholders_that_no_route_knows_are_refused() {
    for (key, wrong) in [
        ("{{routing_key}}.{{exchange}}", false),
        ("a.{{body.region}}", true),
        ("{{ routing_key }}", true),
        ("{{routing-key}}", true),
        ("{{routing_key", true),
        ("{routing_key}", false),
    ] {
        let ends = format!(
            "[route.default]\namqp = {{ exchange = 'out', routing_key = '{key}' }}\n\
             [dead_letter]\namqp = {{ exchange = 'dead' }}"
        );
        let expected = if wrong { vec![Code::UnknownPlaceholder] } else { Vec::new() };
        check(&[pipeline("p", "q", "", &ends)], &expected);
    }
}

#[test]
fn types_of_exchanges_are_told_by_case() {
    for (kind, wrong) in
        [("topic", false), ("Topic", true), ("fan-out", true), ("x-delayed-message", false)]
    {
        let ends = format!(
            "[route.default]\namqp = {{ exchange = 'out', declare = {{ type = '{kind}' }} }}\n\
             [dead_letter]\namqp = {{ exchange = 'dead' }}"
        );
        let expected = if wrong { vec![Code::BadSetting] } else { Vec::new() };
        check(&[pipeline("p", "q", "", &ends)], &expected);
    }
}

#[test]
fn patterns_meet_where_a_key_fits_both() {
    for (a, b, expected) in [
        ("a.b", "a.b", true),
        ("a.b", "a.*", true),
        ("a.b", "a", false),
        ("#", "a.b.c", true),
        ("a.#", "#.b", true),
        ("a.#.c", "a.c", true),
        ("a.#.c", "*.b", false),
        ("#.x", "y.#", true),
        ("#", "#", true),
        ("a.*.c.#", "#.d.c", true),
    ] {
        assert_eq!((meet(a, b), meet(b, a)), (expected, expected), "{a} {b}");
    }
}
