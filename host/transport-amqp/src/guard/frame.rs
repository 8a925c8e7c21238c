//! Frames: the outermost layer of AMQP 0-9-1 (section 4.2.3).

use super::cursor::Cursor;
use super::{CONTENT_MAX, FRAME_MAX, GuardError};

/// Type, channel and size in front of a payload, and the end octet behind it.
const OVERHEAD: usize = 8;

const END: u8 = 0xCE;

/// A heartbeat, whole.
pub(super) const HEARTBEAT: [u8; OVERHEAD] = [8, 0, 0, 0, 0, 0, 0, END];

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum FrameKind {
    Method,
    Header,
    Body,
    Heartbeat,
}

#[derive(Clone, Copy, Debug)]
pub(crate) struct Frame<'a> {
    pub(crate) kind: FrameKind,
    pub(super) channel: u16,
    pub(crate) payload: &'a [u8],
    /// Bytes of the frame, payload and overhead.
    pub(crate) len: usize,
}

impl Frame<'_> {
    /// A method frame on the same channel with another payload.
    pub(crate) fn with(&self, payload: &[u8]) -> Vec<u8> {
        let mut frame = Vec::with_capacity(payload.len() + OVERHEAD);
        frame.push(1);
        frame.extend(self.channel.to_be_bytes());
        frame.extend((payload.len() as u32).to_be_bytes());
        frame.extend_from_slice(payload);
        frame.push(END);
        frame
    }
}

pub(crate) enum Next<'a> {
    Frame(Frame<'a>),
    Incomplete,
    /// Not a frame: the broker answers a version it does not speak with the one it does.
    ProtocolHeader,
}

/// The frame at the start of `input`.
pub(crate) fn next(input: &[u8]) -> Result<Next<'_>, GuardError> {
    let mut cursor = Cursor(input);
    let Some(kind) = cursor.u8() else { return Ok(Next::Incomplete) };
    let kind = match kind {
        1 => FrameKind::Method,
        2 => FrameKind::Header,
        3 => FrameKind::Body,
        8 => FrameKind::Heartbeat,
        b'A' => return Ok(Next::ProtocolHeader),
        // A TLS alert.
        0x15 => return Err(GuardError::NotAmqp(": it speaks TLS, use `amqps://`")),
        _ => return Err(GuardError::NotAmqp("")),
    };
    let (Some(channel), Some(size)) = (cursor.u16(), cursor.u32()) else {
        return Ok(Next::Incomplete);
    };
    let len = size as usize + OVERHEAD;
    let most = match kind {
        FrameKind::Header | FrameKind::Body => CONTENT_MAX + OVERHEAD,
        // They go on to the client library, which takes no more than was agreed.
        FrameKind::Method | FrameKind::Heartbeat => FRAME_MAX as usize,
    };
    if len > most {
        return Err(GuardError::FrameTooLarge(len, most));
    }
    match (cursor.take(size as usize), cursor.u8()) {
        (Some(payload), Some(END)) => Ok(Next::Frame(Frame { kind, channel, payload, len })),
        (Some(_), Some(_)) => Err(GuardError::Broken("no end octet")),
        _ => Ok(Next::Incomplete),
    }
}
