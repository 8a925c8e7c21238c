//! The tables as they stand in files.

use lockgate_message::{Head, Message};

use super::*;

const SOURCE: &str = r#"
queue = "orders.in"
[declare]
queue = { durable = true, arguments = { x-queue-type = "quorum", x-delivery-limit = 20, x-dead-letter-exchange = "orders.poison" } }
exchange = { name = "orders", type = "topic", durable = true }
bindings = [{ routing_key = "order.#" }, { exchange = "amq.headers", arguments = { x-match = "any", kind = "order" } }]
"#;

const ROUTE: &str = r#"
exchange = "orders.eu"
routing_key = "{{routing_key}}"
declare = { type = "fanout", queues = [{ name = "eu" }] }
"#;

#[test]
fn a_pipeline_declares_its_world() {
    let source: SourceSettings = toml::from_str(SOURCE).unwrap();
    let route: RouteSettings = toml::from_str(ROUTE).unwrap();
    assert_eq!(source.prefetch, 1000);
    assert_eq!(source.validate(), []);
    assert_eq!(route.validate(), []);
    let broker = Broker::new();
    for _ in 0..2 {
        source.apply(&broker).unwrap();
        route.apply(&broker).unwrap();
    }
    let message = || Message::new(Head::default(), "");
    assert_eq!(broker.publish("orders", "order.eu.1", message()), Ok(1));
    let mut tagged = message();
    tagged.head_mut().headers.set("kind", Value::text("order"));
    assert_eq!(broker.publish("amq.headers", "", tagged), Ok(1));
    assert_eq!(broker.publish("orders.eu", "any", message()), Ok(1));
    assert_eq!((broker.depth("orders.in"), broker.depth("eu")), (Ok(2), Ok(1)));
}

#[test]
fn each_mistake_has_its_place() {
    for (file, path) in [
        ("queue = 'q'\nprefetch = 0", "prefetch"),
        ("queue = ''", "queue"),
        ("queue = 'q'\ndeclare.queue.arguments.x-max-length = 'x'", "declare.queue"),
        ("queue = 'amq.q'\ndeclare.queue = {}", "declare.queue"),
        ("queue = 'q'\ndeclare.exchange = { name = 'x', type = 'y' }", "declare.exchange"),
        ("queue = 'q'\ndeclare.bindings = [{}]", "declare.bindings[0]"),
        (
            "queue = 'q'\ndeclare.bindings = [{ exchange = 'theirs' }, { exchange = 'amq.match', arguments.x-match = 'x' }]",
            "declare.bindings[1]",
        ),
    ] {
        let settings: SourceSettings = toml::from_str(file).unwrap();
        let paths: Vec<_> = settings.validate().into_iter().map(|error| error.path).collect();
        assert_eq!(paths, [path], "{file}");
    }
    for file in [
        "exchange = ''\ndeclare = {}",
        "exchange = 'x'\ndeclare.type = 'y'",
        "exchange = 'x'\ndeclare.internal = true",
        &format!("exchange = 'x'\nrouting_key = '{}'", "k".repeat(256)),
    ] {
        let settings: RouteSettings = toml::from_str(file).unwrap();
        assert_eq!(settings.validate().len(), 1, "{file}");
    }
}

#[test]
fn unknown_keys_are_refused() {
    assert!(toml::from_str::<SourceSettings>("queue = 'q'\nprefetsch = 1").is_err());
    assert!(toml::from_str::<RouteSettings>("exchange = 'x'\nurl = 'y'").is_err());
}

#[test]
fn what_is_missing_or_different_is_refused() {
    let broker = Broker::new();
    let source: SourceSettings = toml::from_str("queue = 'q'").unwrap();
    assert_eq!(source.apply(&broker), Err(BrokerError::no_queue("q")));
    let route: RouteSettings = toml::from_str("exchange = 'x'").unwrap();
    assert_eq!(route.apply(&broker), Err(BrokerError::no_exchange("x")));
    let declared: SourceSettings = toml::from_str("queue = 'q'\ndeclare.queue = {}").unwrap();
    declared.apply(&broker).unwrap();
    let other: SourceSettings =
        toml::from_str("queue = 'q'\ndeclare.queue.durable = false").unwrap();
    assert!(matches!(other.apply(&broker), Err(BrokerError::Precondition(_))));
}
