//! What a queue or an exchange is declared with.

use std::fmt;
use std::str::FromStr;

use lockgate_message::Table;

/// How a queue is declared. Two declarations of one name must be equal, arguments by value.
#[derive(Clone, Debug, PartialEq)]
pub struct QueueOptions {
    pub durable: bool,
    pub exclusive: bool,
    pub auto_delete: bool,
    /// Those with effect: `x-message-ttl`, `x-max-length`, `x-max-length-bytes`, `x-overflow`,
    /// `x-dead-letter-exchange`, `x-dead-letter-routing-key`, `x-delivery-limit`,
    /// `x-max-priority`, `x-single-active-consumer`.
    pub arguments: Table,
}

/// How an exchange is declared. Two declarations of one name must be equal, arguments by value.
#[derive(Clone, Debug, PartialEq)]
pub struct ExchangeOptions {
    pub kind: ExchangeKind,
    pub durable: bool,
    pub auto_delete: bool,
    /// Reached through bindings only; nobody may publish to it.
    pub internal: bool,
    /// With effect: `alternate-exchange`.
    pub arguments: Table,
}

/// The exchange types of AMQP.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ExchangeKind {
    Direct,
    Topic,
    Fanout,
    Headers,
}

impl Default for QueueOptions {
    /// Durable, without arguments.
    fn default() -> Self {
        Self { durable: true, exclusive: false, auto_delete: false, arguments: Table::new() }
    }
}

impl QueueOptions {
    /// Durable, with arguments.
    pub fn with<const N: usize>(arguments: [(&str, lockgate_message::Value); N]) -> Self {
        let arguments =
            arguments.into_iter().map(|(name, value)| (name.to_owned(), value)).collect();
        Self { arguments, ..Self::default() }
    }
}

impl ExchangeOptions {
    /// Durable, without arguments.
    pub fn new(kind: ExchangeKind) -> Self {
        Self { kind, durable: true, auto_delete: false, internal: false, arguments: Table::new() }
    }
}

impl FromStr for ExchangeKind {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        match text {
            "direct" => Ok(Self::Direct),
            "topic" => Ok(Self::Topic),
            "fanout" => Ok(Self::Fanout),
            "headers" => Ok(Self::Headers),
            _ => Err(format!(
                "unknown exchange type `{text}`; known are direct, topic, fanout and headers"
            )),
        }
    }
}

impl fmt::Display for ExchangeKind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Direct => "direct",
            Self::Topic => "topic",
            Self::Fanout => "fanout",
            Self::Headers => "headers",
        })
    }
}
