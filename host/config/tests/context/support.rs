//! What the test files may refer to: two transports, the shipped plugins, an environment.

use lockgate_config::{ByteSize, Context, Diagnostic, Secret, Section, Time, TimeRange, Transport};
use serde::Deserialize;

#[derive(Deserialize, Default)]
#[serde(default, deny_unknown_fields)]
struct AmqpSource {
    url: String,
    password: Option<Secret>,
    queue: String,
    prefetch: u16,
    heartbeat: Option<Time>,
    reconnect: Option<TimeRange>,
    frame_max: Option<ByteSize>,
    declare: Declare,
}

#[derive(Deserialize, Default)]
#[serde(default)]
struct Declare {
    queue: Option<Queue>,
    exchange: Option<Exchange>,
    bindings: Vec<Binding>,
}

#[derive(Deserialize)]
#[expect(dead_code, reason = "only read")]
struct Queue {
    durable: bool,
    #[serde(default)]
    arguments: std::collections::BTreeMap<String, serde_json::Value>,
}

#[derive(Deserialize)]
#[expect(dead_code, reason = "only read")]
struct Exchange {
    name: String,
    #[serde(rename = "type")]
    kind: Kind,
    durable: bool,
}

#[derive(Deserialize)]
#[serde(rename_all = "lowercase")]
enum Kind {
    Direct,
    Topic,
    Fanout,
    Headers,
}

#[derive(Deserialize)]
#[expect(dead_code, reason = "only read")]
struct Binding {
    routing_key: String,
}

#[derive(Deserialize)]
#[expect(dead_code, reason = "only read")]
struct AmqpTarget {
    exchange: String,
    routing_key: Option<String>,
}

#[derive(Deserialize)]
#[expect(dead_code, reason = "only read")]
struct Memory {
    queue: String,
}

fn read<T: serde::de::DeserializeOwned>(section: &Section) -> Vec<Diagnostic> {
    section.parse::<T>().err().unwrap_or_default()
}

fn amqp_source(section: &Section) -> Vec<Diagnostic> {
    match section.parse::<AmqpSource>() {
        Err(diagnostics) => diagnostics,
        Ok(settings) if !settings.url.starts_with("amqp") => {
            vec![section.diagnostic_at("url", format!("`{}` is no AMQP URL", settings.url))]
        }
        Ok(_) => vec![],
    }
}

pub(crate) fn environment(name: &str) -> Option<String> {
    match name {
        "BROKER_PASSWORD" => Some("hunter2".into()),
        "HTTP_URL" => Some("http://user:hunter2@host/".into()),
        "QUEUE" => Some("orders.in".into()),
        "EMPTY" => Some(String::new()),
        _ => None,
    }
}

pub(crate) fn context() -> Context<'static> {
    Context {
        environment: &environment,
        transports: &[
            Transport { kind: "amqp", source: Some(amqp_source), target: Some(read::<AmqpTarget>) },
            Transport {
                kind: "memory",
                source: Some(read::<Memory>),
                target: Some(read::<Memory>),
            },
            Transport { kind: "http", source: None, target: Some(read::<Memory>) },
        ],
        plugins: &["filter", "transform", "route", "spam-check", "dedupe", "throttle"],
    }
}
