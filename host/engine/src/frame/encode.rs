//! Batch encoder: measures first, so that the bytes can go straight into guest memory.

use lockgate_message::{Head, Input, Property, Value};

use super::{
    BATCH_MAGIC, MAX_DEPTH, PART_BODY, PART_HEADERS, PART_ORIGIN, PART_PROPERTIES, VERSION,
};
use crate::needs::{BodyNeeds, HeaderNeeds, Needs};

const BATCH_HEAD: usize = 24;
const FRAME_HEAD: usize = 32;
const PART_HEAD: usize = 8;
const FLAG_CUT: u8 = 1 << 4;

/// Why a message has no frame.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Unfit {
    /// A name, key or short text above 255 bytes.
    LongText,
    /// Header values nested deeper than the format carries.
    Nesting,
    /// More bytes than a frame counts.
    Size,
}

impl Unfit {
    pub(crate) fn text(self) -> &'static str {
        match self {
            Self::LongText => "a key, name or property is longer than 255 bytes",
            Self::Nesting => "header values nest deeper than 32 levels",
            Self::Size => "the message is larger than a frame can be",
        }
    }
}

/// Bytes of the frame of `input` when only `needs` are packed; a multiple of 8.
pub(crate) fn measure(input: &Input<'_>, needs: &Needs) -> Result<usize, Unfit> {
    let head = input.message.head();
    let mut size = FRAME_HEAD;
    if needs.origin {
        size += part(short(&head.exchange)? + short(&head.routing_key)?);
    }
    if needs.properties {
        let mut content = 1;
        for (_, text) in texts(head) {
            content += 1 + short(text)?;
        }
        size += part(content);
    }
    if needs.headers != HeaderNeeds::None {
        let mut content = 4;
        for (name, value) in needs.headers.of(&head.headers) {
            content += short(name)? + value_size(value, 1)?;
        }
        size += part(content);
    }
    if needs.body != BodyNeeds::None {
        size += part(body(input, needs).len());
    }
    if u32::try_from(size).is_err() { Err(Unfit::Size) } else { Ok(size) }
}

/// Bytes of a batch of frames of these sizes.
pub(crate) fn batch_size(frames: &[u32]) -> usize {
    BATCH_HEAD + padded(4 * frames.len()) + frames.iter().map(|&size| size as usize).sum::<usize>()
}

/// Writes a batch into `out`, which is exactly [`batch_size`] long; `sizes` are what [`measure`]
/// said of each input. `None` when they do not fit together.
pub(crate) fn write(
    inputs: &[Input<'_>],
    sizes: &[u32],
    needs: &Needs,
    received_us: u64,
    out: &mut [u8],
) -> Option<()> {
    let total = u32::try_from(out.len()).ok()?;
    let mut out = Writer { out, at: 0 };
    out.u32(BATCH_MAGIC)?;
    out.u16(VERSION)?;
    out.u16(0)?;
    out.u32(u32::try_from(inputs.len()).ok()?)?;
    out.u32(total)?;
    out.bytes(&received_us.to_le_bytes())?;
    let mut offset = u32::try_from(BATCH_HEAD + padded(4 * sizes.len())).ok()?;
    for &size in sizes {
        out.u32(offset)?;
        offset = offset.checked_add(size)?;
    }
    out.pad()?;
    for (index, (input, &size)) in (0..).zip(inputs.iter().zip(sizes)) {
        frame(&mut out, index, size, input, needs)?;
    }
    (out.at == out.out.len()).then_some(())
}

fn frame(
    out: &mut Writer<'_>,
    index: u32,
    size: u32,
    input: &Input<'_>,
    needs: &Needs,
) -> Option<()> {
    let head = input.message.head();
    let properties = &head.properties;
    let whole = input.message.body().len();
    let body = body(input, needs);
    let flags = u8::from(input.redelivered)
        | (u8::from(properties.priority.is_some()) << 1)
        | (u8::from(properties.timestamp.is_some()) << 2)
        | (u8::from(properties.delivery_mode.is_some()) << 3)
        | if needs.body != BodyNeeds::None && body.len() < whole { FLAG_CUT } else { 0 };
    let mode = properties.delivery_mode.unwrap_or(0);
    let priority = properties.priority.unwrap_or(0);
    let whole = u32::try_from(whole).unwrap_or(u32::MAX);
    let pair = |low: u32, high: u32| u64::from(low) | (u64::from(high) << 32);
    // Written at once: with nothing asked for, this is all there is of a frame.
    let fixed = [
        pair(size, index),
        pair(needs.mask(), u32::from_le_bytes([flags, mode, priority, 0])),
        properties.timestamp.unwrap_or(0),
        pair(input.attempt, whole),
    ];
    out.bytes(fixed.map(u64::to_le_bytes).as_flattened())?;

    if needs.origin {
        let start = out.open(PART_ORIGIN)?;
        out.short(&head.exchange)?;
        out.short(&head.routing_key)?;
        out.close(start)?;
    }
    if needs.properties {
        let start = out.open(PART_PROPERTIES)?;
        let count = out.at;
        out.u8(0)?;
        let mut set = 0;
        for (property, text) in texts(head) {
            out.u8(property as u8)?;
            out.short(text)?;
            set += 1;
        }
        *out.out.get_mut(count)? = set;
        out.close(start)?;
    }
    if needs.headers != HeaderNeeds::None {
        let start = out.open(PART_HEADERS)?;
        let count = out.at;
        out.u32(0)?;
        let mut set = 0u32;
        for (name, value) in needs.headers.of(&head.headers) {
            out.short(name)?;
            out.value(value)?;
            set += 1;
        }
        out.patch(count, set)?;
        out.close(start)?;
    }
    if needs.body != BodyNeeds::None {
        let start = out.open(PART_BODY)?;
        out.bytes(body)?;
        out.close(start)?;
    }
    Some(())
}

/// The short-string properties that are set.
fn texts(head: &Head) -> impl Iterator<Item = (Property, &str)> {
    Property::ALL
        .into_iter()
        .filter_map(|property| head.properties.text(property).map(|text| (property, text)))
}

/// The part of the body asked for.
fn body<'a>(input: &Input<'a>, needs: &Needs) -> &'a [u8] {
    let whole: &[u8] = input.message.body();
    match needs.body {
        BodyNeeds::None => &[],
        BodyNeeds::All => whole,
        BodyNeeds::Prefix(len) => whole.get(..len as usize).unwrap_or(whole),
    }
}

fn padded(len: usize) -> usize {
    len.next_multiple_of(8)
}

fn part(content: usize) -> usize {
    PART_HEAD + padded(content)
}

fn short(text: &str) -> Result<usize, Unfit> {
    if text.len() > 255 { Err(Unfit::LongText) } else { Ok(1 + text.len()) }
}

/// Bytes of a value with its tag; `depth` is the level it stands on.
fn value_size(value: &Value, depth: usize) -> Result<usize, Unfit> {
    let inner = depth + 1;
    match value {
        Value::Array(_) | Value::Table(_) if inner > MAX_DEPTH => Err(Unfit::Nesting),
        Value::Array(items) => {
            items.iter().try_fold(5, |size, item| Ok(size + value_size(item, inner)?))
        }
        Value::Table(table) => table
            .iter()
            .try_fold(5, |size, (name, item)| Ok(size + short(name)? + value_size(item, inner)?)),
        plain => Ok(plain.wire_size()),
    }
}

/// Writes at a position, never beyond the end.
struct Writer<'a> {
    out: &'a mut [u8],
    at: usize,
}

impl Writer<'_> {
    #[inline]
    fn bytes(&mut self, bytes: &[u8]) -> Option<()> {
        let end = self.at + bytes.len();
        self.out.get_mut(self.at..end)?.copy_from_slice(bytes);
        self.at = end;
        Some(())
    }

    fn u8(&mut self, value: u8) -> Option<()> {
        self.bytes(&[value])
    }

    fn u16(&mut self, value: u16) -> Option<()> {
        self.bytes(&value.to_le_bytes())
    }

    fn u32(&mut self, value: u32) -> Option<()> {
        self.bytes(&value.to_le_bytes())
    }

    fn short(&mut self, text: &str) -> Option<()> {
        self.u8(u8::try_from(text.len()).ok()?)?;
        self.bytes(text.as_bytes())
    }

    fn long(&mut self, bytes: &[u8]) -> Option<()> {
        self.u32(u32::try_from(bytes.len()).ok()?)?;
        self.bytes(bytes)
    }

    fn patch(&mut self, at: usize, value: u32) -> Option<()> {
        self.out.get_mut(at..at + 4)?.copy_from_slice(&value.to_le_bytes());
        Some(())
    }

    fn pad(&mut self) -> Option<()> {
        self.bytes([0; 8].get(..padded(self.at) - self.at)?)
    }

    /// Starts a part; its length is written by [`Writer::close`].
    fn open(&mut self, id: u32) -> Option<usize> {
        self.u32(id)?;
        self.u32(0)?;
        Some(self.at)
    }

    fn close(&mut self, start: usize) -> Option<()> {
        self.patch(start - 4, u32::try_from(self.at - start).ok()?)?;
        self.pad()
    }

    fn value(&mut self, value: &Value) -> Option<()> {
        match value {
            Value::Void => self.u8(b'V'),
            Value::Bool(v) => self.bytes(&[b't', u8::from(*v)]),
            Value::I8(v) => self.tagged(b'b', &v.to_le_bytes()),
            Value::U8(v) => self.tagged(b'B', &v.to_le_bytes()),
            Value::I16(v) => self.tagged(b's', &v.to_le_bytes()),
            Value::U16(v) => self.tagged(b'u', &v.to_le_bytes()),
            Value::I32(v) => self.tagged(b'I', &v.to_le_bytes()),
            Value::U32(v) => self.tagged(b'i', &v.to_le_bytes()),
            Value::I64(v) => self.tagged(b'l', &v.to_le_bytes()),
            Value::F32(v) => self.tagged(b'f', &v.to_le_bytes()),
            Value::F64(v) => self.tagged(b'd', &v.to_le_bytes()),
            Value::Timestamp(v) => self.tagged(b'T', &v.to_le_bytes()),
            Value::Decimal { scale, value } => {
                self.bytes(&[b'D', *scale])?;
                self.u32(*value)
            }
            Value::Str(bytes) => {
                self.u8(b'S')?;
                self.long(bytes)
            }
            Value::Bytes(bytes) => {
                self.u8(b'x')?;
                self.long(bytes)
            }
            Value::Array(items) => {
                self.nested(b'A', |out| items.iter().try_for_each(|item| out.value(item)))
            }
            Value::Table(table) => self.nested(b'F', |out| {
                table.iter().try_for_each(|(name, item)| {
                    out.short(name)?;
                    out.value(item)
                })
            }),
        }
    }

    fn tagged(&mut self, tag: u8, bytes: &[u8]) -> Option<()> {
        self.u8(tag)?;
        self.bytes(bytes)
    }

    fn nested(&mut self, tag: u8, content: impl FnOnce(&mut Self) -> Option<()>) -> Option<()> {
        self.u8(tag)?;
        let at = self.at;
        self.u32(0)?;
        content(self)?;
        self.patch(at, u32::try_from(self.at - at - 4).ok()?)
    }
}
