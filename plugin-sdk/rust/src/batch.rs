//! Batch: the buffer in which the host hands messages over.

use std::fmt;

use crate::Message;
use crate::read::Reader;

/// The bytes `LGB1`.
pub(crate) const MAGIC: u32 = 0x3142_474C;
pub(crate) const VERSION: u16 = 1;

/// A batch whose head is checked. Its frames are checked one by one as they are read.
#[derive(Clone, Copy, Debug)]
pub struct Batch<'a> {
    buffer: &'a [u8],
    index: &'a [u8],
    count: u32,
    received_micros: u64,
}

/// The batch as a whole cannot be read: what is wrong.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Malformed(pub &'static str);

/// One frame of a batch cannot be read.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct BadFrame {
    /// Its place in the batch.
    pub index: u32,
    /// What is wrong.
    pub what: &'static str,
}

impl<'a> Batch<'a> {
    /// Reads the head of a batch.
    ///
    /// # Errors
    /// The buffer is no batch of this version, or not all of it is there.
    pub fn read(buffer: &'a [u8]) -> Result<Self, Malformed> {
        let mut reader = Reader(buffer);
        let short = Malformed("batch is shorter than its head");
        if reader.u32().ok_or(short)? != MAGIC {
            return Err(Malformed("batch has the wrong magic"));
        }
        if reader.u16().ok_or(short)? != VERSION {
            return Err(Malformed("batch has an unknown version"));
        }
        let _flags = reader.u16().ok_or(short)?;
        let count = reader.u32().ok_or(short)?;
        let length = reader.u32().ok_or(short)?;
        let received_micros = reader.u64().ok_or(short)?;
        if usize::try_from(length) != Ok(buffer.len()) {
            return Err(Malformed("batch length does not match the buffer"));
        }
        let index = usize::try_from(count)
            .ok()
            .and_then(|count| reader.bytes(count.checked_mul(4)?))
            .ok_or(Malformed("batch index is cut off"))?;
        Ok(Self { buffer, index, count, received_micros })
    }

    /// How many messages it holds.
    pub fn count(&self) -> u32 {
        self.count
    }

    /// When the host received it, in microseconds since the Unix epoch.
    pub fn received_micros(&self) -> u64 {
        self.received_micros
    }

    /// The messages in order.
    ///
    /// # Errors
    /// Each item by itself: a frame that cannot be read leaves the others readable.
    pub fn messages(&self) -> impl Iterator<Item = Result<Message<'a>, BadFrame>> + use<'a> {
        let batch = *self;
        let (offsets, _) = batch.index.as_chunks::<4>();
        offsets.iter().zip(0_u32..).map(move |(offset, index)| {
            let offset = u32::from_le_bytes(*offset);
            batch.message(offset).map_err(|what| BadFrame { index, what })
        })
    }

    #[inline]
    fn message(&self, offset: u32) -> Result<Message<'a>, &'static str> {
        let bad = "frame is cut off";
        let offset = usize::try_from(offset).map_err(|_| bad)?;
        let from = self.buffer.get(offset..).ok_or(bad)?;
        let length = Reader(from).u32().ok_or(bad)?;
        let frame = usize::try_from(length).ok().and_then(|length| from.get(..length));
        Message::read(frame.ok_or(bad)?, self.count, self.received_micros)
    }
}

impl fmt::Display for Malformed {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.0)
    }
}

impl std::error::Error for Malformed {}

impl fmt::Display for BadFrame {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "message {}: {}", self.index, self.what)
    }
}

impl std::error::Error for BadFrame {}
