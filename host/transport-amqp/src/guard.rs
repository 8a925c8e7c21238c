//! Frame guard: takes the deliveries out of what a broker sends and lets the rest through.
//!
//! lapin's parser recurses without a limit and refuses text that is not UTF-8, so one hostile
//! header aborts the process or kills the connection for ever. The guard stands between the
//! broker's socket and lapin. It reads each delivery (method, content header, body) itself, with
//! bounds, and hands it to the source; lapin sees none of them, only the frames that run the
//! connection. What the guard cannot read of a header is kept raw, in quarantine, and the
//! delivery goes on without it: no message can stop the connection.
//!
//! Reading deliveries here is also the shortest way: no second parse, no copy through the
//! client's thread, and header order and duplicate keys are kept.

mod budget;
mod cursor;
mod deliver;
mod frame;
mod head;
mod inbox;
mod pump;

pub(crate) use budget::Budget;
pub(crate) use head::DEPTH_MAX;
pub(crate) use inbox::Inbox;
pub(crate) use pump::{Fate, pump};

use bytes::Bytes;
use lockgate_message::{Head, Message, Quarantine};

use deliver::Deliver;
use frame::{Frame, FrameKind, Next};

/// The outermost layer, for who reads what goes the other way.
pub(crate) mod frames {
    pub(crate) use super::frame::{Frame, FrameKind, Next, next};

    /// A short string at the start of `bytes`, and the rest.
    pub(crate) fn short(bytes: &[u8]) -> Option<(&[u8], &[u8])> {
        let mut cursor = super::cursor::Cursor(bytes);
        Some((cursor.short()?, cursor.0))
    }
}

/// The frame size we propose, all its bytes counted; a broker can only lower it. RabbitMQ's own
/// default, and the limit of what we publish and of what the client library gets to see.
///
/// It is no limit of the frames of a delivery. RabbitMQ lets a publisher exceed the agreed size by
/// eight bytes, lengthens headers itself (`x-delivery-count`, `x-death`), and sends a content header
/// as one frame whatever was agreed with the one who gets it.
pub(crate) const FRAME_MAX: u32 = 131_072;

/// Largest body accepted: RabbitMQ's hard limit (`max_message_size`).
pub(crate) const BODY_MAX: u64 = 512 << 20;

/// Largest payload accepted of a frame that belongs to a delivery: that of the largest body. A content
/// header has no limit in RabbitMQ where `frame_max` is 0.
const CONTENT_MAX: usize = BODY_MAX as usize;

/// Largest content header that is read, payload bytes; a longer one is kept raw. Headers take up to
/// twenty times as much memory once they are read.
const HEADER_MAX: usize = 1 << 20;

/// Room made for a body before its bytes have come; the rest grows as they do.
const BODY_RESERVE: u64 = 1 << 20;

/// Reads the payload of a content-header frame, as an envelope keeps it. Exchange and routing key
/// are not in it.
///
/// # Errors
/// Why it cannot be read, in the words of a quarantine.
pub fn read_header(payload: &[u8]) -> Result<Head, &'static str> {
    head::body_size(payload).ok_or("malformed")?;
    match head::read(payload, &mut Deliver::default()) {
        (head, None) => Ok(head),
        (_, Some(bad)) => Err(bad.reason()),
    }
}

/// A delivery taken out of the stream.
#[derive(Debug, PartialEq)]
pub(crate) struct Taken {
    pub(crate) tag: u64,
    pub(crate) redelivered: bool,
    pub(crate) message: Message,
    pub(crate) quarantine: Option<Box<Quarantine>>,
}

/// Why the stream cannot go on. The broker's fault, never a message's.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub(crate) enum GuardError {
    #[error("the peer does not speak AMQP{}", .0)]
    NotAmqp(&'static str),
    #[error("a frame of {0} bytes is above {1}")]
    FrameTooLarge(usize, usize),
    #[error("a body of {0} bytes is above {BODY_MAX}")]
    BodyTooLarge(u64),
    #[error("broken frames: {0}")]
    Broken(&'static str),
    #[error("more deliveries than the prefetch allows")]
    Flooded,
    /// Not of the frames, but of what lies below them.
    #[error("TLS: {0}")]
    Tls(String),
}

/// The parser: no I/O, no clock.
#[derive(Debug, Default)]
pub(crate) struct Guard {
    /// The delivery being read.
    current: Option<Partial>,
    /// The last delivery: its channel and its tag. A channel numbers from 1 without gaps, and who
    /// goes on to another one does not come back.
    last: Option<(u16, u64)>,
    /// The broker sent its protocol header instead of frames; nothing after it is ours.
    transparent: bool,
}

#[derive(Debug)]
struct Partial {
    channel: u16,
    deliver: Deliver,
    content: Option<Content>,
}

#[derive(Debug)]
struct Content {
    message: Message,
    quarantine: Option<Box<Quarantine>>,
    remaining: u64,
    body: Vec<u8>,
}

impl Guard {
    /// Reads the whole frames at the start of `input`: deliveries into `taken`, every other
    /// frame as it is into `out`. Returns how many bytes were used; give the rest again with
    /// what comes next.
    pub(crate) fn feed(
        &mut self,
        input: &[u8],
        out: &mut Vec<u8>,
        taken: &mut Vec<Taken>,
    ) -> Result<usize, GuardError> {
        let mut used = 0;
        // Frames to let through are copied in runs: from here up to the next one taken.
        let mut run = 0;
        while !self.transparent {
            let rest = input.get(used..).unwrap_or_default();
            match frame::next(rest)? {
                Next::Incomplete => break,
                Next::ProtocolHeader => self.transparent = true,
                Next::Frame(frame) => {
                    if self.takes(&frame, taken)? {
                        out.extend_from_slice(input.get(run..used).unwrap_or_default());
                        run = used + frame.len;
                    }
                    used += frame.len;
                }
            }
        }
        if self.transparent {
            used = input.len();
        }
        out.extend_from_slice(input.get(run..used).unwrap_or_default());
        Ok(used)
    }

    /// Whether a delivery was ever begun: the connection is set up and consumes.
    fn consumes(&self) -> bool {
        self.last.is_some()
    }

    /// Bytes of the body that is being read, as its header announces them; else 0.
    fn announced(&self) -> usize {
        let content = self.current.as_ref().and_then(|partial| partial.content.as_ref());
        content.map_or(0, |content| content.body.len() + content.remaining as usize)
    }

    /// Whether the frame belongs to a delivery, which it then advances.
    fn takes(&mut self, frame: &Frame<'_>, taken: &mut Vec<Taken>) -> Result<bool, GuardError> {
        let on_channel = self.current.as_ref().is_some_and(|p| p.channel == frame.channel);
        match frame.kind {
            FrameKind::Method if Deliver::is(frame.payload) => self.begin(frame),
            FrameKind::Method if on_channel => {
                // The broker closes the channel in the middle of a delivery.
                self.current = None;
                Ok(false)
            }
            FrameKind::Method | FrameKind::Heartbeat => Ok(false),
            FrameKind::Header if on_channel => self.head(frame, taken),
            FrameKind::Body if on_channel => self.body(frame, taken),
            FrameKind::Header | FrameKind::Body => {
                Err(GuardError::Broken("content without a delivery"))
            }
        }
    }

    fn begin(&mut self, frame: &Frame<'_>) -> Result<bool, GuardError> {
        if self.current.is_some() {
            return Err(GuardError::Broken("two deliveries at once"));
        }
        let deliver = Deliver::read(frame.payload).ok_or(GuardError::Broken("delivery method"))?;
        let before = self.last.filter(|(channel, _)| *channel == frame.channel);
        if deliver.tag != before.map_or(0, |(_, tag)| tag).wrapping_add(1) {
            return Err(GuardError::Broken("delivery tags are not in sequence"));
        }
        self.last = Some((frame.channel, deliver.tag));
        self.current = Some(Partial { channel: frame.channel, deliver, content: None });
        Ok(true)
    }

    fn head(&mut self, frame: &Frame<'_>, taken: &mut Vec<Taken>) -> Result<bool, GuardError> {
        let Some(partial) = self.current.as_mut().filter(|p| p.content.is_none()) else {
            return Err(GuardError::Broken("two content headers"));
        };
        let size = head::body_size(frame.payload).ok_or(GuardError::Broken("content header"))?;
        if size > BODY_MAX {
            return Err(GuardError::BodyTooLarge(size));
        }
        let (head, bad) = head::read(frame.payload, &mut partial.deliver);
        let quarantine = bad.map(|bad| {
            let raw = |text: &str, raw: &mut Vec<u8>| match text {
                "" => Bytes::from(std::mem::take(raw)),
                text => Bytes::copy_from_slice(text.as_bytes()),
            };
            Box::new(Quarantine {
                reason: bad.reason(),
                raw_header: Bytes::copy_from_slice(frame.payload),
                exchange: raw(&head.exchange, &mut partial.deliver.exchange),
                routing_key: raw(&head.routing_key, &mut partial.deliver.routing_key),
            })
        });
        partial.content = Some(Content {
            message: Message::new(head, Bytes::new()),
            quarantine,
            remaining: size,
            body: Vec::with_capacity(size.min(BODY_RESERVE) as usize),
        });
        self.finish(taken);
        Ok(true)
    }

    fn body(&mut self, frame: &Frame<'_>, taken: &mut Vec<Taken>) -> Result<bool, GuardError> {
        let Some(content) = self.current.as_mut().and_then(|p| p.content.as_mut()) else {
            return Err(GuardError::Broken("body before its header"));
        };
        content.remaining = content
            .remaining
            .checked_sub(frame.payload.len() as u64)
            .ok_or(GuardError::Broken("body longer than announced"))?;
        let body = &mut content.body;
        if body.capacity() - body.len() < frame.payload.len() {
            // Doubled, but never above what was announced: half of it would stay unused for as
            // long as the message lives.
            let all = frame.payload.len() + content.remaining as usize;
            body.reserve_exact(all.min(body.len().max(frame.payload.len())));
        }
        body.extend_from_slice(frame.payload);
        self.finish(taken);
        Ok(true)
    }

    /// Hands out the current delivery once it is whole.
    fn finish(&mut self, taken: &mut Vec<Taken>) {
        let whole = |p: &mut Partial| p.content.as_ref().is_some_and(|c| c.remaining == 0);
        if let Some(Partial { deliver, content: Some(content), .. }) = self.current.take_if(whole) {
            let mut message = content.message;
            message.set_body(content.body);
            taken.push(Taken {
                tag: deliver.tag,
                redelivered: deliver.redelivered,
                message,
                quarantine: content.quarantine,
            });
        }
    }
}

#[cfg(test)]
mod tests;
