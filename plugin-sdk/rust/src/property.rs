//! Property: the basic properties by their numbers in the frame format.

/// A basic property of AMQP 0-9-1, headers apart.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[repr(u8)]
pub enum Property {
    /// MIME type of the body.
    ContentType = 1,
    /// MIME encoding of the body.
    ContentEncoding = 2,
    /// 1 transient, 2 persistent: a number.
    DeliveryMode = 3,
    /// 0 to 255: a number.
    Priority = 4,
    /// Application correlation identifier.
    CorrelationId = 5,
    /// Address to reply to.
    ReplyTo = 6,
    /// Milliseconds in decimal digits.
    Expiration = 7,
    /// Application message identifier.
    MessageId = 8,
    /// Seconds since the Unix epoch: a number.
    Timestamp = 9,
    /// Message type name.
    Type = 10,
    /// Creating user.
    UserId = 11,
    /// Creating application.
    AppId = 12,
    /// Deprecated in AMQP; carried all the same.
    ClusterId = 13,
}

impl Property {
    /// All of them, by number.
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
        Self::ALL.get(usize::from(number).checked_sub(1)?).copied()
    }

    /// Its name as in the AMQP specification, with underscores.
    pub const fn name(self) -> &'static str {
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

    /// The property of this name.
    pub fn from_name(name: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|property| property.name() == name)
    }

    /// Whether it is a short string (else a number).
    pub const fn is_text(self) -> bool {
        !matches!(self, Self::DeliveryMode | Self::Priority | Self::Timestamp)
    }
}
