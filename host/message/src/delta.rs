//! Delta: the changes that a verdict makes to a message, and nothing else of it.

use bytes::Bytes;

use crate::{Message, Value};

/// Changes in the order to apply them. Empty means unchanged.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Delta(pub Vec<Change>);

/// One change.
#[derive(Clone, Debug, PartialEq)]
pub enum Change {
    RoutingKey(String),
    /// Sets a property; a value of the other kind than the property takes is ignored by
    /// [`Delta::apply`] and refused by decoders.
    SetProperty(Property, PropertyValue),
    ClearProperty(Property),
    SetHeader(String, Value),
    RemoveHeader(String),
    ClearHeaders,
    Body(Bytes),
}

/// The basic properties by their numbers in the frame format (`docs/reference/frame.md`).
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[repr(u8)]
pub enum Property {
    ContentType = 1,
    ContentEncoding = 2,
    DeliveryMode = 3,
    Priority = 4,
    CorrelationId = 5,
    ReplyTo = 6,
    Expiration = 7,
    MessageId = 8,
    Timestamp = 9,
    Type = 10,
    UserId = 11,
    AppId = 12,
    ClusterId = 13,
}

/// A property's value: text for the short strings, a number for delivery mode, priority (both
/// one octet) and timestamp (seconds).
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum PropertyValue {
    Text(String),
    Number(u64),
}

impl Property {
    pub const ALL: [Self; 13] = [
        Self::ContentType,
        Self::ContentEncoding,
        Self::DeliveryMode,
        Self::Priority,
        Self::CorrelationId,
        Self::ReplyTo,
        Self::Expiration,
        Self::MessageId,
        Self::Timestamp,
        Self::Type,
        Self::UserId,
        Self::AppId,
        Self::ClusterId,
    ];

    /// The property of this number.
    pub fn from_number(number: u8) -> Option<Self> {
        Self::ALL.into_iter().find(|property| *property as u8 == number)
    }

    /// Its name as in the AMQP specification, with underscores.
    pub fn name(self) -> &'static str {
        match self {
            Self::ContentType => "content_type",
            Self::ContentEncoding => "content_encoding",
            Self::DeliveryMode => "delivery_mode",
            Self::Priority => "priority",
            Self::CorrelationId => "correlation_id",
            Self::ReplyTo => "reply_to",
            Self::Expiration => "expiration",
            Self::MessageId => "message_id",
            Self::Timestamp => "timestamp",
            Self::Type => "type",
            Self::UserId => "user_id",
            Self::AppId => "app_id",
            Self::ClusterId => "cluster_id",
        }
    }

    /// Whether it takes a number rather than text.
    pub fn is_number(self) -> bool {
        matches!(self, Self::DeliveryMode | Self::Priority | Self::Timestamp)
    }
}

impl crate::Properties {
    /// The value of a property, if it is set.
    pub fn get(&self, property: Property) -> Option<PropertyValue> {
        match property {
            Property::DeliveryMode => self.delivery_mode.map(|n| PropertyValue::Number(n.into())),
            Property::Priority => self.priority.map(|n| PropertyValue::Number(n.into())),
            Property::Timestamp => self.timestamp.map(PropertyValue::Number),
            _ => self.text(property).map(|text| PropertyValue::Text(text.to_owned())),
        }
    }

    /// The text of a short-string property, if it is set.
    pub fn text(&self, property: Property) -> Option<&str> {
        match property {
            Property::ContentType => self.content_type.as_deref(),
            Property::ContentEncoding => self.content_encoding.as_deref(),
            Property::CorrelationId => self.correlation_id.as_deref(),
            Property::ReplyTo => self.reply_to.as_deref(),
            Property::Expiration => self.expiration.as_deref(),
            Property::MessageId => self.message_id.as_deref(),
            Property::Type => self.kind.as_deref(),
            Property::UserId => self.user_id.as_deref(),
            Property::AppId => self.app_id.as_deref(),
            Property::ClusterId => self.cluster_id.as_deref(),
            Property::DeliveryMode | Property::Priority | Property::Timestamp => None,
        }
    }

    /// Sets or, with `None`, clears a property. A value of the wrong kind or out of range
    /// leaves it as it was and returns false.
    pub fn put(&mut self, property: Property, value: Option<PropertyValue>) -> bool {
        let text = match property {
            Property::DeliveryMode => return put_number(&mut self.delivery_mode, value),
            Property::Priority => return put_number(&mut self.priority, value),
            Property::Timestamp => return put_number(&mut self.timestamp, value),
            Property::ContentType => &mut self.content_type,
            Property::ContentEncoding => &mut self.content_encoding,
            Property::CorrelationId => &mut self.correlation_id,
            Property::ReplyTo => &mut self.reply_to,
            Property::Expiration => &mut self.expiration,
            Property::MessageId => &mut self.message_id,
            Property::Type => &mut self.kind,
            Property::UserId => &mut self.user_id,
            Property::AppId => &mut self.app_id,
            Property::ClusterId => &mut self.cluster_id,
        };
        *text = match value {
            None => None,
            Some(PropertyValue::Text(new)) => Some(new),
            Some(PropertyValue::Number(_)) => return false,
        };
        true
    }
}

fn put_number<N: TryFrom<u64>>(slot: &mut Option<N>, value: Option<PropertyValue>) -> bool {
    *slot = match value {
        None => None,
        Some(PropertyValue::Text(_)) => return false,
        Some(PropertyValue::Number(number)) => match N::try_from(number) {
            Ok(number) => Some(number),
            Err(_) => return false,
        },
    };
    true
}

impl Delta {
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// Applies every change to `message`.
    pub fn apply(self, message: &mut Message) {
        for change in self.0 {
            match change {
                Change::RoutingKey(key) => message.head_mut().routing_key = key,
                Change::SetProperty(property, value) => {
                    message.head_mut().properties.put(property, Some(value));
                }
                Change::ClearProperty(property) => {
                    message.head_mut().properties.put(property, None);
                }
                Change::SetHeader(name, value) => message.head_mut().headers.set(name, value),
                Change::RemoveHeader(name) => {
                    message.head_mut().headers.remove(&name);
                }
                Change::ClearHeaders => message.head_mut().headers.clear(),
                Change::Body(body) => message.set_body(body),
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_property_can_be_put_read_and_cleared() {
        for property in Property::ALL {
            let value = match property.is_number() {
                true => PropertyValue::Number(2),
                false => PropertyValue::Text("x".into()),
            };
            let mut properties = crate::Properties::default();
            assert!(properties.put(property, Some(value.clone())));
            assert_eq!(properties.get(property), Some(value), "{}", property.name());
            assert_eq!(Property::from_number(property as u8), Some(property));
            assert!(properties.put(property, None));
            assert_eq!(properties, crate::Properties::default());
        }
    }

    #[test]
    fn a_value_of_the_wrong_kind_changes_nothing() {
        let mut properties = crate::Properties { priority: Some(3), ..Default::default() };
        assert!(!properties.put(Property::Priority, Some(PropertyValue::Number(256))));
        assert!(!properties.put(Property::Priority, Some(PropertyValue::Text("9".into()))));
        assert!(!properties.put(Property::AppId, Some(PropertyValue::Number(1))));
        assert_eq!(properties.priority, Some(3));
    }

    #[test]
    fn changes_apply_in_order() {
        let mut message = Message::default();
        Delta(vec![
            Change::SetHeader("a".into(), Value::Bool(true)),
            Change::ClearHeaders,
            Change::SetHeader("b".into(), Value::Void),
            Change::Body("new".into()),
            Change::RoutingKey("k".into()),
        ])
        .apply(&mut message);
        assert_eq!(message.head().headers.len(), 1);
        assert_eq!(message.body(), "new");
        assert_eq!(message.head().routing_key, "k");
    }
}
