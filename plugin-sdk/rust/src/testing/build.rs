//! MessageBuilder: messages for tests, and the encoder of batches behind it.

use std::cell::OnceCell;

use super::damaged;
use crate::batch::{MAGIC, VERSION};
use crate::value::put_str8;
use crate::{Batch, Body, Headers, Message, Needs, Property, Value};

/// Bytes of a batch's head before its index, and of a frame's head before its parts.
const BATCH_HEAD: usize = 24;
const FRAME_HEAD: usize = 32;

/// A message for tests. Each method takes and returns it, so that calls chain.
///
/// # Panics
/// What the frame format cannot carry (a name longer than 255 bytes, a body of 4 GiB) panics
/// where the message is built.
#[derive(Clone, Debug)]
pub struct MessageBuilder {
    exchange: String,
    routing_key: String,
    properties: Vec<(Property, String)>,
    delivery_mode: Option<u8>,
    priority: Option<u8>,
    timestamp: Option<u64>,
    headers: Vec<(String, Vec<u8>)>,
    body: Vec<u8>,
    redelivered: bool,
    attempt: u32,
    received_micros: u64,
    view: OnceCell<Vec<u8>>,
}

impl Default for MessageBuilder {
    fn default() -> Self {
        Self::new()
    }
}

impl MessageBuilder {
    /// An empty message on its first attempt.
    pub fn new() -> Self {
        Self {
            exchange: String::new(),
            routing_key: String::new(),
            properties: Vec::new(),
            delivery_mode: None,
            priority: None,
            timestamp: None,
            headers: Vec::new(),
            body: Vec::new(),
            redelivered: false,
            attempt: 1,
            received_micros: 0,
            view: OnceCell::new(),
        }
    }

    /// Published to this exchange.
    #[must_use]
    pub fn exchange(self, exchange: &str) -> Self {
        Self { exchange: exchange.to_owned(), ..self.changed() }
    }

    /// Published with this routing key.
    #[must_use]
    pub fn routing_key(self, key: &str) -> Self {
        Self { routing_key: key.to_owned(), ..self.changed() }
    }

    /// With this short-string property.
    #[must_use]
    pub fn property(self, property: Property, text: &str) -> Self {
        if !property.is_text() {
            damaged("this property is a number: see MessageBuilder::number");
        }
        let mut message = self.changed();
        message.properties.retain(|(known, _)| *known != property);
        message.properties.push((property, text.to_owned()));
        message.properties.sort_by_key(|(property, _)| *property as u8);
        message
    }

    /// With this numeric property: delivery mode, priority (both at most 255) or timestamp.
    #[must_use]
    pub fn number(self, property: Property, number: u64) -> Self {
        let octet = || u8::try_from(number).unwrap_or_else(|_| damaged("the most is 255"));
        match property {
            Property::DeliveryMode => Self { delivery_mode: Some(octet()), ..self.changed() },
            Property::Priority => Self { priority: Some(octet()), ..self.changed() },
            Property::Timestamp => Self { timestamp: Some(number), ..self.changed() },
            _ => damaged("this property is text: see MessageBuilder::property"),
        }
    }

    /// With one more header; a name can stand there twice.
    #[must_use]
    pub fn header(self, name: &str, value: Value<'_>) -> Self {
        let mut message = self.changed();
        let mut bytes = Vec::new();
        if value.write(&mut bytes).is_none() {
            damaged("a header value of 4 GiB");
        }
        message.headers.push((name.to_owned(), bytes));
        message
    }

    /// With this body.
    #[must_use]
    pub fn body(self, body: impl AsRef<[u8]>) -> Self {
        Self { body: body.as_ref().to_vec(), ..self.changed() }
    }

    /// Delivered before.
    #[must_use]
    pub fn redelivered(self, redelivered: bool) -> Self {
        Self { redelivered, ..self.changed() }
    }

    /// On this attempt; 1 is the first.
    #[must_use]
    pub fn attempt(self, attempt: u32) -> Self {
        Self { attempt, ..self.changed() }
    }

    /// In a batch received at this time, in microseconds since the Unix epoch.
    #[must_use]
    pub fn received_micros(self, micros: u64) -> Self {
        Self { received_micros: micros, ..self.changed() }
    }

    /// The message alone in a batch, with all its parts.
    pub fn build(&self) -> Vec<u8> {
        let needs =
            Needs { origin: true, properties: true, headers: Headers::All, body: Body::All };
        batch(&[self], &needs)
    }

    /// The message as a plugin sees it that asked for all parts.
    pub fn view(&self) -> Message<'_> {
        let bytes = self.view.get_or_init(|| self.build());
        match Batch::read(bytes).map(|batch| batch.messages().next()) {
            Ok(Some(Ok(message))) => message,
            Ok(Some(Err(error))) => damaged(error.what),
            Ok(None) => damaged("no message in the batch"),
            Err(error) => damaged(error.0),
        }
    }

    fn changed(self) -> Self {
        Self { view: OnceCell::new(), ..self }
    }

    fn flags(&self, needs: &Needs) -> u8 {
        let cut = match needs.body {
            Body::Prefix(length) => self.body.len() > length as usize,
            Body::None | Body::All => false,
        };
        u8::from(self.redelivered)
            | u8::from(self.priority.is_some()) << 1
            | u8::from(self.timestamp.is_some()) << 2
            | u8::from(self.delivery_mode.is_some()) << 3
            | u8::from(cut) << 4
    }

    fn origin(&self) -> Vec<u8> {
        let mut out = Vec::new();
        put_text(&mut out, &self.exchange);
        put_text(&mut out, &self.routing_key);
        out
    }

    fn text_properties(&self) -> Vec<u8> {
        let mut out = vec![u8::try_from(self.properties.len()).unwrap_or(u8::MAX)];
        for (property, text) in &self.properties {
            out.push(*property as u8);
            put_text(&mut out, text);
        }
        out
    }

    fn asked_headers(&self, asked: impl Fn(&str) -> bool) -> Vec<u8> {
        let mut out = vec![0; 4];
        let mut count = 0_u32;
        for (name, value) in self.headers.iter().filter(|(name, _)| asked(name)) {
            put_text(&mut out, name);
            out.extend_from_slice(value);
            count += 1;
        }
        patch(&mut out, 0, count);
        out
    }

    fn write(&self, out: &mut Vec<u8>, index: u32, needs: &Needs) {
        let start = out.len();
        let mut mask = 0_u32;
        out.extend_from_slice(&[0; FRAME_HEAD]);
        let mut part = |id: u32, content: &[u8]| {
            mask |= 1 << id;
            out.extend(id.to_le_bytes());
            out.extend(length(content).to_le_bytes());
            out.extend_from_slice(content);
            out.resize(out.len().next_multiple_of(8), 0);
        };
        if needs.origin {
            part(1, &self.origin());
        }
        if needs.properties {
            part(2, &self.text_properties());
        }
        match &needs.headers {
            Headers::None => {}
            Headers::All => part(3, &self.asked_headers(|_| true)),
            Headers::Names(names) => {
                part(3, &self.asked_headers(|name| names.iter().any(|asked| asked == name)));
            }
        }
        match needs.body {
            Body::None => {}
            Body::All => part(4, &self.body),
            Body::Prefix(length) => {
                part(4, self.body.get(..length as usize).unwrap_or(&self.body));
            }
        }
        let frame_length = length(out.get(start..).unwrap_or(&[]));
        let mut head = Vec::with_capacity(FRAME_HEAD);
        for field in [frame_length, index, mask] {
            head.extend(field.to_le_bytes());
        }
        head.push(self.flags(needs));
        head.extend([self.delivery_mode.unwrap_or(0), self.priority.unwrap_or(0), 0]);
        head.extend(self.timestamp.unwrap_or(0).to_le_bytes());
        head.extend(self.attempt.to_le_bytes());
        head.extend(length(&self.body).to_le_bytes());
        if let Some(slot) = out.get_mut(start..start + FRAME_HEAD) {
            slot.copy_from_slice(&head);
        }
    }
}

/// Encodes messages as the host does, with the parts that `needs` names. Head fields of the
/// batch are those of the first message.
pub(crate) fn batch(messages: &[&MessageBuilder], needs: &Needs) -> Vec<u8> {
    let mut out = Vec::new();
    out.extend(MAGIC.to_le_bytes());
    out.extend(VERSION.to_le_bytes());
    out.extend(0_u16.to_le_bytes());
    out.extend(u32::try_from(messages.len()).unwrap_or(u32::MAX).to_le_bytes());
    out.extend(0_u32.to_le_bytes());
    out.extend(messages.first().map_or(0, |first| first.received_micros).to_le_bytes());
    out.resize((BATCH_HEAD + 4 * messages.len()).next_multiple_of(8), 0);
    for (message, index) in messages.iter().zip(0_u32..) {
        let offset = length(&out);
        patch(&mut out, BATCH_HEAD + 4 * index as usize, offset);
        message.write(&mut out, index, needs);
    }
    let whole = length(&out);
    patch(&mut out, 12, whole);
    out
}

fn put_text(out: &mut Vec<u8>, text: &str) {
    if put_str8(out, text).is_none() {
        damaged("a text longer than 255 bytes");
    }
}

fn length(bytes: &[u8]) -> u32 {
    u32::try_from(bytes.len()).unwrap_or_else(|_| damaged("4 GiB or longer"))
}

fn patch(out: &mut [u8], at: usize, value: u32) {
    if let Some(slot) = out.get_mut(at..at + 4) {
        slot.copy_from_slice(&value.to_le_bytes());
    }
}
