//! Content: a body as a plugin reads it, with its `content_encoding` undone, and put back on a body
//! that leaves. Every shipped plugin that reads bodies reads them through this crate.
//!
//! `gzip` (RFC 1952) and `deflate` (RFC 1950, and RFC 1951 as many senders have it) are undone. Any
//! other name, also one like `utf-8` that is no encoding, leaves the body as it is.

use std::borrow::Cow;

use lockgate_plugin::{Body, Message, Needs, Property};
use miniz_oxide::deflate::{compress_to_vec, compress_to_vec_zlib};
use miniz_oxide::inflate::TINFLStatus;
use miniz_oxide::inflate::core::inflate_flags::{
    TINFL_FLAG_PARSE_ZLIB_HEADER, TINFL_FLAG_USING_NON_WRAPPING_OUTPUT_BUF,
};
use miniz_oxide::inflate::core::{DecompressorOxide, decompress};
use thiserror::Error;

/// Bytes that a plugin reads of a body at most where its own settings have no bound: as much as the
/// host lets one body of a result have.
pub const MAX_CONTENT: usize = 16 << 20;

/// The compressor's level: the usual one of zlib.
const LEVEL: u8 = 6;

/// A plugin that reads bodies needs the property that says how they are encoded.
pub fn need(needs: &mut Needs) {
    needs.properties |= needs.body != Body::None;
}

/// The content of a message's body, at most `max` bytes once it is decoded. A body that is not
/// encoded is given as it is, however long.
///
/// # Errors
/// Why it cannot be decoded.
pub fn read<'m>(message: &Message<'m>, max: usize) -> Result<Cow<'m, [u8]>, Undecodable> {
    // A body that was not asked for reads as empty, whatever its encoding.
    match message.body() {
        [] => Ok(Cow::Borrowed(&[])),
        body => Encoding::named(message.property(Property::ContentEncoding)).decode(body, max),
    }
}

/// The first `max` bytes of a message's content as far as it can be decoded, for a plugin that looks
/// at a beginning. What was decoded ends with a whole character of UTF-8.
pub fn read_prefix<'m>(message: &Message<'m>, max: usize) -> Cow<'m, [u8]> {
    let encoding = Encoding::named(message.property(Property::ContentEncoding));
    let (packed, flags) = match encoding {
        Encoding::Plain => return Cow::Borrowed(message.body()),
        Encoding::Gzip => (skip_header(message.body()).unwrap_or_default(), 0),
        Encoding::Deflate => (message.body(), deflate_flags(message.body())),
    };
    let mut out = Vec::new();
    if inflate(packed, flags, max, &mut out).is_err()
        && let Err(error) = str::from_utf8(&out)
        && error.error_len().is_none()
    {
        out.truncate(error.valid_up_to());
    }
    Cow::Owned(out)
}

/// JSON as readers take it: without a byte order mark before it, and with U+FFFD for half a surrogate
/// pair.
pub fn json(content: &[u8]) -> Cow<'_, [u8]> {
    let json = content.strip_prefix(b"\xef\xbb\xbf").unwrap_or(content);
    let mut mended: Option<Vec<u8>> = None;
    let mut at = 0;
    while let Some(found) =
        json.get(at..).and_then(|rest| rest.iter().position(|byte| *byte == b'\\'))
    {
        at += found;
        match (unit(json, at), unit(json, at + 6)) {
            (Some(0xd800..0xdc00), Some(0xdc00..0xe000)) => at += 12,
            (Some(0xd800..0xe000), _) => {
                let mended = mended.get_or_insert_with(|| json.to_vec());
                if let Some(digits) = mended.get_mut(at + 2..at + 6) {
                    digits.copy_from_slice(b"fffd");
                }
                at += 6;
            }
            _ => at += 2,
        }
    }
    mended.map_or(Cow::Borrowed(json), Cow::Owned)
}

/// The number in an escape `\uXXXX`.
fn unit(json: &[u8], at: usize) -> Option<u32> {
    let digits = json.get(at..at + 6)?.strip_prefix(b"\\u")?;
    digits.iter().try_fold(0, |unit, digit| Some(unit * 16 + char::from(*digit).to_digit(16)?))
}

/// A body's encoding.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Encoding {
    /// As it is.
    Plain,
    /// RFC 1952.
    Gzip,
    /// RFC 1950, or without its frame RFC 1951.
    Deflate,
}

/// Why a body cannot be decoded.
#[derive(Clone, Copy, Debug, Error, PartialEq, Eq)]
pub enum Undecodable {
    /// It is not what its encoding says.
    #[error("the body is not {0}, as its content_encoding says")]
    Damaged(&'static str),
    /// It is longer than the plugin reads.
    #[error("the body is longer than {0} bytes once it is decoded")]
    Long(usize),
}

impl Encoding {
    /// The encoding that a `content_encoding` property names.
    pub fn named(property: Option<&str>) -> Self {
        let is = |name: &str| property.is_some_and(|property| property.eq_ignore_ascii_case(name));
        if is("gzip") || is("x-gzip") {
            Self::Gzip
        } else if is("deflate") {
            Self::Deflate
        } else {
            Self::Plain
        }
    }

    fn name(self) -> &'static str {
        match self {
            Self::Plain => "plain",
            Self::Gzip => "gzip",
            Self::Deflate => "deflate",
        }
    }

    /// The content of a body, at most `max` bytes once it is decoded. A body that is not encoded is
    /// given as it is, however long.
    ///
    /// # Errors
    /// Why it cannot be decoded.
    pub fn decode(self, body: &[u8], max: usize) -> Result<Cow<'_, [u8]>, Undecodable> {
        let damaged = Undecodable::Damaged(self.name());
        match self {
            Self::Plain => Ok(Cow::Borrowed(body)),
            Self::Gzip => gunzip(body, max).map(Cow::Owned),
            Self::Deflate => {
                let flags = deflate_flags(body);
                let mut out = Vec::new();
                let read = inflate(body, flags, max, &mut out)
                    .map_err(|long| if long { Undecodable::Long(max) } else { damaged })?;
                if read < body.len() { Err(damaged) } else { Ok(Cow::Owned(out)) }
            }
        }
    }

    /// A body in this encoding.
    pub fn encode(self, content: Vec<u8>) -> Vec<u8> {
        match self {
            Self::Plain => content,
            Self::Deflate => compress_to_vec_zlib(&content, LEVEL),
            Self::Gzip => {
                // No name, no time, an unknown system: the same content gives the same bytes.
                let mut out = vec![0x1f, 0x8b, 8, 0, 0, 0, 0, 0, 0, 255];
                out.extend(compress_to_vec(&content, LEVEL));
                out.extend(crc32fast::hash(&content).to_le_bytes());
                out.extend((content.len() as u32).to_le_bytes());
                out
            }
        }
    }
}

/// Whether there is a zlib header: its two bytes together are a multiple of 31, and the method is 8.
fn deflate_flags(body: &[u8]) -> u32 {
    let framed = matches!(body, [first, second, ..]
        if first & 15 == 8 && (u16::from(*first) << 8 | u16::from(*second)) % 31 == 0);
    if framed { TINFL_FLAG_PARSE_ZLIB_HEADER } else { 0 }
}

/// Appends what is compressed at the start of `data`, up to `max` bytes in all; gives the bytes that
/// it took there. After an error there is what came up to it; whether that was for being longer says
/// the error.
fn inflate(data: &[u8], flags: u32, max: usize, out: &mut Vec<u8>) -> Result<usize, bool> {
    let flags = flags | TINFL_FLAG_USING_NON_WRAPPING_OUTPUT_BUF;
    let mut state = Box::<DecompressorOxide>::default();
    let (mut read, start) = (0, out.len());
    let mut written = start;
    // One byte more than is allowed tells what is too long from what just fits.
    let limit = max.saturating_add(1);
    let first = data.len().saturating_mul(4).clamp(64, 1 << 16);
    out.resize(start.saturating_add(first).min(limit), 0);
    loop {
        let rest = data.get(read..).unwrap_or_default();
        // References back reach into what this part has written, and no further.
        let window = out.get_mut(start..).unwrap_or_default();
        let (status, taken, made) = decompress(&mut state, rest, window, written - start, flags);
        read += taken;
        written += made;
        match status {
            _ if written > max => {
                out.truncate(max);
                return Err(true);
            }
            TINFLStatus::Done => {
                out.truncate(written);
                return Ok(read);
            }
            TINFLStatus::HasMoreOutput => {
                out.resize(out.len().saturating_mul(2).max(64).min(limit), 0);
            }
            _ => {
                out.truncate(written);
                return Err(false);
            }
        }
    }
}

/// All members of a gzip file, one after another.
fn gunzip(mut data: &[u8], max: usize) -> Result<Vec<u8>, Undecodable> {
    let damaged = Undecodable::Damaged("gzip");
    let mut out = Vec::new();
    while !data.is_empty() {
        let packed = skip_header(data).ok_or(damaged)?;
        let start = out.len();
        let read = inflate(packed, 0, max, &mut out)
            .map_err(|long| if long { Undecodable::Long(max) } else { damaged })?;
        let trailer = packed.get(read..).unwrap_or_default();
        let (sum, rest) = trailer.split_first_chunk::<4>().ok_or(damaged)?;
        let (length, rest) = rest.split_first_chunk::<4>().ok_or(damaged)?;
        let member = out.get(start..).unwrap_or_default();
        let holds = crc32fast::hash(member) == u32::from_le_bytes(*sum)
            && member.len() as u32 == u32::from_le_bytes(*length);
        if !holds {
            return Err(damaged);
        }
        data = rest;
    }
    Ok(out)
}

/// What follows the header of a member.
fn skip_header(data: &[u8]) -> Option<&[u8]> {
    let (header, mut rest) = data.split_first_chunk::<10>()?;
    let [0x1f, 0x8b, 8, flags, ..] = *header else { return None };
    if flags & 4 != 0 {
        let (length, after) = rest.split_first_chunk::<2>()?;
        rest = after.get(usize::from(u16::from_le_bytes(*length))..)?;
    }
    // A file's name and a comment, each up to a zero.
    for flag in [8, 16] {
        if flags & flag != 0 {
            let end = rest.iter().position(|byte| *byte == 0)?;
            rest = rest.get(end + 1..)?;
        }
    }
    if flags & 2 != 0 { rest.get(2..) } else { Some(rest) }
}

#[cfg(test)]
mod tests;
