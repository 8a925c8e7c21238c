//! Settings: the tables `[source.amqp]` and `[route.X] amqp = {…}` of a pipeline file.
//!
//! Plain structs for serde, unknown keys refused. [`SourceSettings::validate`] and
//! [`RouteSettings::validate`] report everything that the types cannot say, each with the path
//! of its key below the table.

mod arguments;
mod endpoint;
mod risks;
mod secret;

use lockgate_transport::declare::{
    Arguments, DeclareQueue, DeclareSource, DeclareTarget, ErrorKind, SettingsError,
};
use serde::Deserialize;

pub(crate) use arguments::field_table;
pub use endpoint::{Endpoint, Login, TlsSettings};
pub use secret::Secret;

/// Longest short string of AMQP 0-9-1: names, routing keys, virtual hosts.
pub(crate) const SHORT_STRING_MAX: usize = 255;

/// Largest heartbeat interval, seconds: half an hour, the broker's own ack timeout.
const HEARTBEAT_MAX: u16 = 1800;

/// `[source.amqp]`.
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct SourceSettings {
    /// `amqp://` or `amqps://`. A path of a lone `/` is the default virtual host, as is none. Several,
    /// in an array or with commas between them, are hosts of one broker, tried in turn.
    #[serde(deserialize_with = "secret::urls")]
    pub url: Secret,
    pub queue: String,
    /// Most deliveries unacknowledged at a time, 1 to 65535: bounds memory and duplicates.
    #[serde(default = "default_prefetch")]
    pub prefetch: u16,
    /// Created where missing; without it all must be there already.
    pub declare: Option<DeclareSource>,
    /// Arguments of the consumer, as `x-cancel-on-ha-failover`.
    #[serde(default)]
    pub arguments: Arguments,
    /// Consumer priority; a higher one is served first.
    pub priority: Option<i32>,
    /// Refuse other consumers of the queue.
    #[serde(default)]
    pub exclusive: bool,
    #[serde(default = "default_heartbeat")]
    pub heartbeat: u16,
    /// Overrides the URL's.
    pub username: Option<String>,
    pub password: Option<Secret>,
    /// `plain` (default) or `external` (client certificate).
    pub auth_mechanism: Option<String>,
    pub tls: Option<TlsSettings>,
    /// Shown by the broker's tools; default `lockgate`.
    pub connection_name: Option<String>,
}

/// `[route.X] amqp = {…}` and `[dead_letter] amqp = {…}`. Without a URL it publishes to the
/// source's broker.
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct RouteSettings {
    pub exchange: String,
    /// `{{routing_key}}` and `{{exchange}}` stand for the message's own; none keeps its key.
    pub routing_key: Option<String>,
    /// As the source's.
    #[serde(default, deserialize_with = "secret::some_urls")]
    pub url: Option<Secret>,
    /// Report what no queue takes instead of losing it. Not asked for at exchanges that hand on
    /// later, where the broker reports every message.
    #[serde(default = "default_true")]
    pub mandatory: bool,
    /// Force delivery mode 2; otherwise the message's own is kept.
    #[serde(default = "default_true")]
    pub persistent: bool,
    pub declare: Option<DeclareTarget>,
    /// What messages may carry to this route and is stripped otherwise: `CC`, `BCC`, `user-id`,
    /// `direct-reply-to`.
    #[serde(default)]
    pub grants: Vec<Grant>,
    /// Largest body, bytes; more is the message's own fault. At most the broker's own limit.
    #[serde(default = "default_max_body")]
    pub max_body: u64,
    /// Seconds the broker has for confirming a block.
    #[serde(default = "default_confirm_timeout")]
    pub confirm_timeout: u16,
    /// Seconds; 10 unless set.
    pub heartbeat: Option<u16>,
    pub username: Option<String>,
    pub password: Option<Secret>,
    pub auth_mechanism: Option<String>,
    pub tls: Option<TlsSettings>,
    pub connection_name: Option<String>,
}

/// A value that a plugin could misuse, let through to a route on purpose.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Deserialize)]
pub enum Grant {
    /// Header `CC`: copies to any routing key of the exchange.
    #[serde(rename = "CC")]
    Cc,
    #[serde(rename = "BCC")]
    Bcc,
    /// Property `user-id`: the broker closes the channel unless it is the connection's user.
    #[serde(rename = "user-id")]
    UserId,
    /// A `reply-to` of `amq.rabbitmq.reply-to…`: the broker closes the channel unless it is
    /// somebody's live reply address.
    #[serde(rename = "direct-reply-to")]
    DirectReplyTo,
}

/// Types of exchanges that keep a message, answer that no queue takes it, and hand it on later: the
/// plugins rabbitmq_delayed_message_exchange, after the delay, and
/// rabbitmq_recent_history_exchange, to the queue that is bound next (tried with 3.10).
const LATER: [&str; 2] = ["x-delayed-message", "x-recent-history"];

/// Whether `mandatory` says nothing at an exchange of this type.
pub(crate) fn hands_on_later(kind: &str) -> bool {
    LATER.contains(&kind)
}

fn default_prefetch() -> u16 {
    1000
}
fn default_heartbeat() -> u16 {
    10
}
fn default_true() -> bool {
    true
}
fn default_max_body() -> u64 {
    16 << 20
}
fn default_confirm_timeout() -> u16 {
    10
}

impl SourceSettings {
    /// Everything that is wrong; empty when it can be used.
    pub fn validate(&self) -> Vec<SettingsError> {
        let mut errors = self.endpoint().err().unwrap_or_default();
        name(&mut errors, "queue", &self.queue, true);
        if self.prefetch == 0 {
            errors.push(SettingsError::new("prefetch", "0 would be no limit: the whole queue in memory; give 1 to 65535, or leave it out for 1000"));
        }
        arguments::check(&self.arguments, "arguments", &mut errors);
        for key in self.arguments.0.keys().filter(|key| key.starts_with("x-stream-")) {
            errors.push(stream(&format!("arguments.{key}")));
        }
        if let Some(declare) = &self.declare {
            check_declared(declare, &mut errors);
        }
        errors
    }

    /// How the file declares the queue, if it does.
    pub(crate) fn declared(&self) -> Option<&DeclareQueue> {
        self.declare.as_ref()?.queue.as_ref()
    }

    /// Where to connect.
    ///
    /// # Errors
    /// What is wrong with the connection's part of the settings.
    pub fn endpoint(&self) -> Result<Endpoint, Vec<SettingsError>> {
        Endpoint::new(Login {
            url: &self.url,
            username: self.username.as_deref(),
            password: self.password.as_ref(),
            auth_mechanism: self.auth_mechanism.as_deref(),
            tls: self.tls.as_ref(),
            heartbeat: self.heartbeat,
            connection_name: self.connection_name.as_deref(),
        })
    }
}

impl RouteSettings {
    /// To the default exchange of the source's broker, whose keys are queues.
    pub fn default_exchange() -> Self {
        Self {
            exchange: String::new(),
            routing_key: None,
            url: None,
            mandatory: true,
            persistent: true,
            declare: None,
            grants: Vec::new(),
            max_body: default_max_body(),
            confirm_timeout: default_confirm_timeout(),
            heartbeat: None,
            username: None,
            password: None,
            auth_mechanism: None,
            tls: None,
            connection_name: None,
        }
    }

    /// Everything that is wrong; empty when it can be used.
    pub fn validate(&self) -> Vec<SettingsError> {
        let mut errors = self.endpoint().err().unwrap_or_default();
        name(&mut errors, "exchange", &self.exchange, false);
        if let Some(key) = &self.routing_key {
            short(&mut errors, "routing_key", key);
        }
        if self.confirm_timeout == 0 {
            errors.push(SettingsError::new("confirm_timeout", "give 1 second or more"));
        }
        if self.max_body == 0 || self.max_body > crate::guard::BODY_MAX {
            errors.push(SettingsError::new("max_body", "give 1 byte to 512 MiB"));
        }
        if let Some(declare) = &self.declare {
            if self.exchange.is_empty() {
                errors.push(SettingsError::new(
                    "declare",
                    "the default exchange exists everywhere and cannot be declared",
                ));
            }
            kind(&mut errors, "declare.type", &declare.kind);
            arguments::check(&declare.arguments, "declare.arguments", &mut errors);
            for (n, queue) in declare.queues.iter().enumerate() {
                let path = format!("declare.queues[{n}]");
                name(&mut errors, &format!("{path}.name"), &queue.name, true);
                short(&mut errors, &format!("{path}.routing_key"), &queue.routing_key);
                arguments::check(&queue.arguments, &format!("{path}.arguments"), &mut errors);
                let binding = format!("{path}.binding_arguments");
                arguments::check(&queue.binding_arguments, &binding, &mut errors);
            }
        }
        errors
    }

    /// What is wrong with it as the target of dead letters, besides: those in a stream could be
    /// neither replayed nor deleted.
    pub fn validate_dead_letter(&self) -> Vec<SettingsError> {
        let queues = self.declare.as_ref().map_or(&[][..], |declare| &declare.queues);
        let streams = queues.iter().enumerate().filter(|(_, queue)| queue.arguments.is_stream());
        let path = |(n, _)| stream(&format!("declare.queues[{n}].arguments.x-queue-type"));
        streams.map(path).collect()
    }

    /// Whether its exchange, as declared here, takes messages and hands them on later.
    pub(crate) fn hands_on_later(&self) -> bool {
        self.declare.as_ref().is_some_and(|declare| hands_on_later(&declare.kind))
    }

    /// Where to connect; `None` without a URL of its own.
    ///
    /// # Errors
    /// What is wrong with the connection's part of the settings.
    pub fn endpoint(&self) -> Result<Option<Endpoint>, Vec<SettingsError>> {
        let Some(url) = &self.url else {
            let alone: Vec<_> = [
                ("username", self.username.is_some()),
                ("password", self.password.is_some()),
                ("auth_mechanism", self.auth_mechanism.is_some()),
                ("tls", self.tls.is_some()),
                ("heartbeat", self.heartbeat.is_some()),
                ("connection_name", self.connection_name.is_some()),
            ]
            .into_iter()
            .filter(|(_, set)| *set)
            .map(|(key, _)| SettingsError::new(key, "needs a `url` beside it"))
            .collect();
            return if alone.is_empty() { Ok(None) } else { Err(alone) };
        };
        Endpoint::new(Login {
            url,
            username: self.username.as_deref(),
            password: self.password.as_ref(),
            auth_mechanism: self.auth_mechanism.as_deref(),
            tls: self.tls.as_ref(),
            heartbeat: self.heartbeat.unwrap_or_else(default_heartbeat),
            connection_name: self.connection_name.as_deref(),
        })
        .map(Some)
    }
}

fn check_declared(declare: &DeclareSource, errors: &mut Vec<SettingsError>) {
    if let Some(queue) = &declare.queue {
        arguments::check(&queue.arguments, "declare.queue.arguments", errors);
        if queue.arguments.is_stream() {
            errors.push(stream("declare.queue.arguments.x-queue-type"));
        }
        if queue.auto_delete {
            errors.push(SettingsError::new(
                "declare.queue.auto_delete",
                "the broker would delete the queue and its messages at the first disconnect",
            ));
        }
        if queue.exclusive {
            errors.push(SettingsError::new(
                "declare.queue.exclusive",
                "the broker would delete the queue and its messages at the first disconnect",
            ));
        }
    }
    if let Some(exchange) = &declare.exchange {
        name(errors, "declare.exchange.name", &exchange.name, true);
        kind(errors, "declare.exchange.type", &exchange.kind);
        arguments::check(&exchange.arguments, "declare.exchange.arguments", errors);
    }
    for (n, binding) in declare.bindings.iter().enumerate() {
        let path = format!("declare.bindings[{n}]");
        short(errors, &format!("{path}.routing_key"), &binding.routing_key);
        arguments::check(&binding.arguments, &format!("{path}.arguments"), errors);
        match &binding.exchange {
            Some(exchange) => name(errors, &format!("{path}.exchange"), exchange, true),
            None if declare.exchange.is_none() => errors.push(SettingsError::new(
                format!("{path}.exchange"),
                "name the exchange, or declare one beside",
            )),
            None => {}
        }
    }
}

/// A stream where messages are to be taken and settled.
fn stream(path: &str) -> SettingsError {
    let text = "a stream keeps no record of what was settled, so that a restart would skip or repeat \
                everything, and a rejected message come again for ever; use a quorum queue";
    SettingsError::new(path, text).of_kind(ErrorKind::Stream)
}

fn name(errors: &mut Vec<SettingsError>, path: &str, name: &str, required: bool) {
    if required && name.is_empty() {
        errors.push(SettingsError::new(path, "must not be empty"));
    }
    short(errors, path, name);
}

fn kind(errors: &mut Vec<SettingsError>, path: &str, kind: &str) {
    name(errors, path, kind, true);
}

fn short(errors: &mut Vec<SettingsError>, path: &str, text: &str) {
    if text.len() > SHORT_STRING_MAX {
        errors.push(SettingsError::new(
            path,
            format!("is {} bytes long, more than {SHORT_STRING_MAX}", text.len()),
        ));
    }
}

#[cfg(test)]
mod tests;
