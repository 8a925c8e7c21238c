//! Message: a shared body and a shared head, cheap to clone.

use std::sync::Arc;

use bytes::Bytes;

use crate::value::Table;

/// What a broker delivered or will be given. Clones share the body and, until one of them is
/// changed, the head.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Message {
    head: Arc<Head>,
    body: Bytes,
}

/// All of a message but its body.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Head {
    /// Where it was published; with `routing_key`, its origin.
    pub exchange: String,
    pub routing_key: String,
    pub properties: Properties,
    /// Absent and empty headers are one and the same.
    pub headers: Table,
}

/// The basic properties of AMQP 0-9-1, headers apart. Short strings: at most 255 bytes of UTF-8.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Properties {
    pub content_type: Option<String>,
    pub content_encoding: Option<String>,
    /// 1 transient, 2 persistent; brokers take any octet.
    pub delivery_mode: Option<u8>,
    pub priority: Option<u8>,
    pub correlation_id: Option<String>,
    pub reply_to: Option<String>,
    /// Milliseconds in decimal digits.
    pub expiration: Option<String>,
    pub message_id: Option<String>,
    /// Seconds since the Unix epoch.
    pub timestamp: Option<u64>,
    /// The property named `type`.
    pub kind: Option<String>,
    pub user_id: Option<String>,
    pub app_id: Option<String>,
    pub cluster_id: Option<String>,
}

impl Message {
    pub fn new(head: Head, body: impl Into<Bytes>) -> Self {
        Self { head: Arc::new(head), body: body.into() }
    }

    pub fn head(&self) -> &Head {
        &self.head
    }

    /// The head for changing; copied first where clones share it.
    pub fn head_mut(&mut self) -> &mut Head {
        Arc::make_mut(&mut self.head)
    }

    pub fn body(&self) -> &Bytes {
        &self.body
    }

    pub fn set_body(&mut self, body: impl Into<Bytes>) {
        self.body = body.into();
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn changing_a_clone_leaves_the_original() {
        let original = Message::new(Head::default(), "body");
        let mut changed = original.clone();
        changed.head_mut().routing_key = "k".into();
        assert_eq!(original.head().routing_key, "");
        assert_eq!(original.body().as_ptr(), changed.body().as_ptr());
    }
}
