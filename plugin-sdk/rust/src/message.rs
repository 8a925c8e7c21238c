//! Message: a view of one frame. Reading it checks the whole frame once; after that every
//! accessor is infallible and copies nothing.

use crate::property::Property;
use crate::read::{Reader, is_utf8};
use crate::value::{self, Table, Value};

const REDELIVERED: u8 = 1;
const HAS_PRIORITY: u8 = 1 << 1;
const HAS_TIMESTAMP: u8 = 1 << 2;
const HAS_DELIVERY_MODE: u8 = 1 << 3;
const BODY_CUT: u8 = 1 << 4;

/// One message of a batch. Parts that the plugin did not ask for read as empty.
#[derive(Clone, Copy, Debug)]
pub struct Message<'a> {
    head: Head,
    received_micros: u64,
    exchange: &'a str,
    routing_key: &'a str,
    properties: &'a [u8],
    headers: Table<'a>,
    body: &'a [u8],
}

#[derive(Clone, Copy, Debug)]
struct Head {
    index: u32,
    mask: u32,
    flags: u8,
    delivery_mode: u8,
    priority: u8,
    timestamp: u64,
    attempt: u32,
    body_len: u32,
}

impl<'a> Message<'a> {
    /// Position in its batch, from 0.
    pub fn index(&self) -> u32 {
        self.head.index
    }

    /// Whether the broker says that it was delivered before.
    pub fn redelivered(&self) -> bool {
        self.head.flags & REDELIVERED != 0
    }

    /// 1 on the first try; counted by the pipeline, not by the broker.
    pub fn attempt(&self) -> u32 {
        self.head.attempt
    }

    /// When the host received the batch, in microseconds since the Unix epoch.
    pub fn received_micros(&self) -> u64 {
        self.received_micros
    }

    /// Where it was published.
    pub fn exchange(&self) -> &'a str {
        self.exchange
    }

    /// The key it was published with.
    pub fn routing_key(&self) -> &'a str {
        self.routing_key
    }

    /// A short-string property, if it is set; `None` for the numeric ones.
    pub fn property(&self, property: Property) -> Option<&'a str> {
        let mut reader = Reader(self.properties);
        loop {
            let number = reader.u8()?;
            let text = reader.bytes8()?;
            if number == property as u8 {
                return str::from_utf8(text).ok();
            }
        }
    }

    /// 1 transient, 2 persistent; brokers take any octet.
    pub fn delivery_mode(&self) -> Option<u8> {
        (self.head.flags & HAS_DELIVERY_MODE != 0).then_some(self.head.delivery_mode)
    }

    /// The priority property, if it is set.
    pub fn priority(&self) -> Option<u8> {
        (self.head.flags & HAS_PRIORITY != 0).then_some(self.head.priority)
    }

    /// The timestamp property, if it is set, in seconds since the Unix epoch.
    pub fn timestamp(&self) -> Option<u64> {
        (self.head.flags & HAS_TIMESTAMP != 0).then_some(self.head.timestamp)
    }

    /// The first header of this name.
    pub fn header(&self, name: &str) -> Option<Value<'a>> {
        self.headers.get(name)
    }

    /// The headers in the message's order; a name can stand there twice.
    pub fn headers(&self) -> impl Iterator<Item = (&'a str, Value<'a>)> + use<'a> {
        self.headers.iter()
    }

    /// The body, or the prefix of it that was asked for.
    pub fn body(&self) -> &'a [u8] {
        self.body
    }

    /// The same message with another body, for example its own once it is decoded.
    pub fn with_body<'b>(&self, body: &'b [u8]) -> Message<'b>
    where
        'a: 'b,
    {
        let message: Message<'b> = *self;
        Message { body, ..message }
    }

    /// Length of the whole body in bytes, even when it is cut or was not asked for.
    pub fn body_len(&self) -> u32 {
        self.head.body_len
    }

    /// Whether [`Message::body`] is a prefix that leaves something out.
    pub fn body_is_cut(&self) -> bool {
        self.head.flags & BODY_CUT != 0
    }

    /// Reads a frame from its first to its last byte.
    ///
    /// # Errors
    /// What is wrong with it.
    pub(crate) fn read(
        frame: &'a [u8],
        count: u32,
        received_micros: u64,
    ) -> Result<Self, &'static str> {
        let mut reader = Reader(frame);
        let head = Head::read(&mut reader).ok_or("frame is shorter than its head")?;
        if head.index >= count {
            return Err("index is not below the count");
        }
        let mut message = Self {
            head,
            received_micros,
            exchange: "",
            routing_key: "",
            properties: &[],
            headers: Table(&[]),
            body: &[],
        };
        let (mut seen, mut last) = (0_u32, None);
        while !reader.is_empty() {
            let (id, content) = read_part(&mut reader).ok_or("part is cut off")?;
            if last.is_some_and(|last| id <= last) {
                return Err("parts are not in ascending order");
            }
            last = Some(id);
            seen |= 1_u32.checked_shl(id).unwrap_or(0);
            message.take_part(id, content)?;
        }
        if seen != head.mask {
            return Err("mask does not match the parts");
        }
        Ok(message)
    }

    #[inline]
    fn take_part(&mut self, id: u32, content: &'a [u8]) -> Result<(), &'static str> {
        let mut reader = Reader(content);
        match id {
            1 => {
                let bad = "origin part is malformed";
                self.exchange = reader.str8().ok_or(bad)?;
                self.routing_key = reader.str8().ok_or(bad)?;
                if !reader.is_empty() {
                    return Err(bad);
                }
            }
            2 => self.properties = read_properties(reader).ok_or("properties part is malformed")?,
            3 => {
                let bad = "headers part is malformed";
                let count = reader.u32().ok_or(bad)?;
                if value::check_entries(reader.0, 1) != Some(count) {
                    return Err(bad);
                }
                self.headers = Table(reader.0);
            }
            4 => {
                let whole = usize::try_from(self.head.body_len).unwrap_or(usize::MAX);
                if content.len() > whole || (content.len() < whole) != self.body_is_cut() {
                    return Err("body part does not match the length of the body");
                }
                self.body = content;
            }
            // A part of a later minor version.
            _ => {}
        }
        Ok(())
    }
}

impl Head {
    #[inline]
    fn read(reader: &mut Reader<'_>) -> Option<Self> {
        let _length = reader.u32()?;
        let index = reader.u32()?;
        let mask = reader.u32()?;
        let flags = reader.u8()?;
        let delivery_mode = reader.u8()?;
        let priority = reader.u8()?;
        let _reserved = reader.u8()?;
        let timestamp = reader.u64()?;
        let attempt = reader.u32()?;
        let body_len = reader.u32()?;
        Some(Self { index, mask, flags, delivery_mode, priority, timestamp, attempt, body_len })
    }
}

/// A part's id and content; its padding is passed over.
#[inline]
fn read_part<'a>(reader: &mut Reader<'a>) -> Option<(u32, &'a [u8])> {
    let id = reader.u32()?;
    let content = reader.bytes32()?;
    reader.bytes(content.len().wrapping_neg() % 8)?;
    Some((id, content))
}

/// The properties without their count, checked to their end.
fn read_properties(mut reader: Reader<'_>) -> Option<&[u8]> {
    let count = reader.u8()?;
    let properties = reader.0;
    for _ in 0..count {
        if !Property::from_number(reader.u8()?)?.is_text() {
            return None;
        }
        reader.bytes8().filter(|text| is_utf8(text))?;
    }
    reader.is_empty().then_some(properties)
}
