//! Delta: the changes that a verdict makes to a message, encoded as they are made.

use crate::property::Property;
use crate::read::Reader;
use crate::value::{self, Value};

const SET_ROUTING_KEY: u8 = 1;
const SET_PROPERTY: u8 = 2;
const CLEAR_PROPERTY: u8 = 3;
const SET_HEADER: u8 = 4;
const REMOVE_HEADER: u8 = 5;
const SET_BODY: u8 = 6;
const CLEAR_HEADERS: u8 = 7;

/// Changes in the order to apply them. Empty means unchanged.
///
/// A change that the format cannot carry (a name longer than 255 bytes, a priority of 256, a
/// table nested deeper than the format allows) spoils the delta: the verdict that holds it
/// becomes [`crate::Failure::BadMessage`], for it is most often the message's own doing.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Delta {
    bytes: Vec<u8>,
    invalid: Option<String>,
}

/// One change, as [`Delta::changes`] reads it back.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Change<'a> {
    /// Set the routing key.
    RoutingKey(&'a str),
    /// Set a short-string property.
    Property(Property, &'a str),
    /// Set a numeric property.
    Number(Property, u64),
    /// Clear a property.
    ClearProperty(Property),
    /// Set a header.
    Header(&'a str, Value<'a>),
    /// Remove a header.
    RemoveHeader(&'a str),
    /// Remove all headers.
    ClearHeaders,
    /// Replace the body.
    Body(&'a [u8]),
}

impl Delta {
    /// No changes.
    pub const fn new() -> Self {
        Self { bytes: Vec::new(), invalid: None }
    }

    /// Whether there is no change.
    pub fn is_empty(&self) -> bool {
        self.bytes.is_empty() && self.invalid.is_none()
    }

    /// Sets the routing key, at most 255 bytes.
    pub fn routing_key(&mut self, key: &str) -> &mut Self {
        self.append("the routing key is longer than 255 bytes", |out| {
            out.push(SET_ROUTING_KEY);
            value::put_str8(out, key)
        })
    }

    /// Sets a short-string property, at most 255 bytes.
    pub fn property(&mut self, property: Property, text: &str) -> &mut Self {
        if !property.is_text() {
            return self.spoil(format!("property {} takes a number", property.name()));
        }
        self.append("a property is longer than 255 bytes", |out| {
            out.extend([SET_PROPERTY, property as u8]);
            value::put_str8(out, text)
        })
    }

    /// Sets delivery mode or priority (at most 255), or the timestamp (seconds since the Unix
    /// epoch).
    pub fn number(&mut self, property: Property, number: u64) -> &mut Self {
        if property.is_text() {
            return self.spoil(format!("property {} takes text", property.name()));
        }
        self.append("a delivery mode or priority is above 255", |out| {
            out.extend([SET_PROPERTY, property as u8]);
            match property {
                Property::Timestamp => out.extend(number.to_le_bytes()),
                _ => out.push(u8::try_from(number).ok()?),
            }
            Some(())
        })
    }

    /// Clears a property of either kind.
    pub fn clear_property(&mut self, property: Property) -> &mut Self {
        self.bytes.extend([CLEAR_PROPERTY, property as u8]);
        self
    }

    /// Sets a header: replaces every value of that name, else appends. The name at most 255
    /// bytes, the value nested at most 31 deep.
    pub fn header(&mut self, name: &str, value: Value<'_>) -> &mut Self {
        self.append("a header is too long, or nested too deep", |out| {
            out.push(SET_HEADER);
            value::put_str8(out, name)?;
            let start = out.len();
            value.write(out)?;
            match value {
                Value::Array(_) | Value::Table(_) => {
                    value::check(&mut Reader(out.get(start..)?), 1)
                }
                _ => Some(()),
            }
        })
    }

    /// Removes every header of this name.
    pub fn remove_header(&mut self, name: &str) -> &mut Self {
        self.append("a header's name is longer than 255 bytes", |out| {
            out.push(REMOVE_HEADER);
            value::put_str8(out, name)
        })
    }

    /// Removes all headers.
    pub fn clear_headers(&mut self) -> &mut Self {
        self.bytes.push(CLEAR_HEADERS);
        self
    }

    /// Replaces the body.
    pub fn body(&mut self, body: &[u8]) -> &mut Self {
        self.append("the body is 4 GiB or longer", |out| {
            out.push(SET_BODY);
            value::put_bytes32(out, body)
        })
    }

    /// The changes so far, in order; for tests.
    pub fn changes(&self) -> Changes<'_> {
        Changes(Reader(&self.bytes))
    }

    /// A delta from its encoded bytes; `None` when they cannot be read to their end.
    #[cfg(not(target_arch = "wasm32"))]
    pub(crate) fn from_bytes(bytes: &[u8]) -> Option<Self> {
        let mut reader = Reader(bytes);
        while !reader.is_empty() {
            if let Change::Header(_, value) = Change::read(&mut reader)? {
                let mut copy = Vec::new();
                value.write(&mut copy)?;
                value::check(&mut Reader(&copy), 1)?;
            }
        }
        Some(Self { bytes: bytes.to_vec(), invalid: None })
    }

    /// The encoded changes.
    ///
    /// # Errors
    /// What spoiled the delta, as a sentence.
    pub(crate) fn bytes(&self) -> Result<&[u8], &str> {
        match &self.invalid {
            None => Ok(&self.bytes),
            Some(what) => Err(what),
        }
    }

    fn append(
        &mut self,
        otherwise: &str,
        write: impl FnOnce(&mut Vec<u8>) -> Option<()>,
    ) -> &mut Self {
        let start = self.bytes.len();
        if write(&mut self.bytes).is_none() {
            self.bytes.truncate(start);
            return self.spoil(otherwise.to_owned());
        }
        self
    }

    fn spoil(&mut self, what: String) -> &mut Self {
        self.invalid.get_or_insert(what);
        self
    }
}

/// Iterator over the changes of a [`Delta`].
#[derive(Clone)]
pub struct Changes<'a>(Reader<'a>);

impl<'a> Iterator for Changes<'a> {
    type Item = Change<'a>;

    fn next(&mut self) -> Option<Change<'a>> {
        Change::read(&mut self.0)
    }
}

impl<'a> Change<'a> {
    fn read(reader: &mut Reader<'a>) -> Option<Self> {
        Some(match reader.u8()? {
            SET_ROUTING_KEY => Self::RoutingKey(reader.str8()?),
            SET_PROPERTY => match Property::from_number(reader.u8()?)? {
                Property::Timestamp => Self::Number(Property::Timestamp, reader.u64()?),
                property if property.is_text() => Self::Property(property, reader.str8()?),
                property => Self::Number(property, reader.u8()?.into()),
            },
            CLEAR_PROPERTY => Self::ClearProperty(Property::from_number(reader.u8()?)?),
            SET_HEADER => Self::Header(reader.str8()?, Value::read(reader)?),
            REMOVE_HEADER => Self::RemoveHeader(reader.str8()?),
            SET_BODY => Self::Body(reader.bytes32()?),
            CLEAR_HEADERS => Self::ClearHeaders,
            _ => return None,
        })
    }
}

#[cfg(test)]
mod tests;
