//! Output: verdicts as the bytes that go back to the host.

use crate::verdict::{Emitted, Failure, Reason, Verdict};
use crate::{Delta, value};

/// The bytes `LGV1`.
pub(crate) const MAGIC: u32 = 0x3156_474C;
pub(crate) const VERSION: u16 = 1;
/// Bytes of the head.
const HEAD: usize = 16;
/// Longer texts are cut by the host.
pub(crate) const MAX_TEXT: usize = 1024;

pub(crate) const PASS: u8 = 0;
pub(crate) const MODIFY: u8 = 1;
pub(crate) const ROUTE: u8 = 2;
pub(crate) const EMIT: u8 = 3;
pub(crate) const DROP: u8 = 4;
pub(crate) const REJECT: u8 = 5;
pub(crate) const RETRY: u8 = 6;
pub(crate) const FAIL: u8 = 7;

/// Flag bit 0 of a record.
pub(crate) const PAYLOAD: u8 = 1;

/// Why a verdict could not be written; it becomes this failure instead.
type Spoilt = (Failure, String);

/// An output being written, in a buffer that is used again for the next one.
pub(crate) struct Output<'a> {
    bytes: &'a mut Vec<u8>,
    /// How many reasons the plugin registered.
    reasons: usize,
    count: u32,
}

impl<'a> Output<'a> {
    pub(crate) fn new(bytes: &'a mut Vec<u8>, reasons: usize) -> Self {
        bytes.clear();
        bytes.extend_from_slice(&[0; HEAD]);
        Self { bytes, reasons, count: 0 }
    }

    /// Appends the verdict on message `index`; one that the format cannot carry as a failure
    /// that says so.
    #[inline]
    pub(crate) fn push(&mut self, index: u32, verdict: &Verdict) {
        self.count = self.count.wrapping_add(1);
        match verdict {
            Verdict::Pass => self.record(index, PASS, 0, Reason::NONE),
            Verdict::Drop(reason) if self.knows(*reason) => self.record(index, DROP, 0, *reason),
            _ => self.push_with_payload(index, verdict),
        }
    }

    /// Writes the head. `None` when the output is 4 GiB or longer.
    pub(crate) fn finish(self) -> Option<()> {
        let length = u32::try_from(self.bytes.len()).ok()?;
        let head = u128::from(MAGIC)
            | u128::from(VERSION) << 32
            | u128::from(self.count) << 64
            | u128::from(length) << 96;
        *self.bytes.first_chunk_mut()? = head.to_le_bytes();
        Some(())
    }

    fn knows(&self, reason: Reason) -> bool {
        usize::from(reason.0) <= self.reasons
    }

    fn record(&mut self, index: u32, verdict: u8, flags: u8, reason: Reason) {
        let record = u64::from(index)
            | u64::from(verdict) << 32
            | u64::from(flags) << 40
            | u64::from(reason.0) << 48;
        self.bytes.extend_from_slice(&record.to_le_bytes());
    }

    #[cold]
    fn push_with_payload(&mut self, index: u32, verdict: &Verdict) {
        let start = self.bytes.len();
        if let Err((failure, text)) = self.try_payload(index, verdict) {
            self.bytes.truncate(start);
            // A failure of at most 1,024 bytes of text always fits.
            let _ = self.try_payload(index, &Verdict::Fail { failure, text });
        }
    }

    fn try_payload(&mut self, index: u32, verdict: &Verdict) -> Result<(), Spoilt> {
        let (number, reason) = match verdict {
            Verdict::Pass => (PASS, Reason::NONE),
            Verdict::Modify(_) => (MODIFY, Reason::NONE),
            Verdict::Route { .. } => (ROUTE, Reason::NONE),
            Verdict::Emit(_) => (EMIT, Reason::NONE),
            Verdict::Drop(reason) => (DROP, *reason),
            Verdict::Reject { reason, .. } => (REJECT, *reason),
            Verdict::Retry { .. } => (RETRY, Reason::NONE),
            Verdict::Fail { .. } => (FAIL, Reason::NONE),
        };
        if !self.knows(reason) {
            let text = format!("reason {} is not in the plugin's description", reason.0);
            return Err((Failure::Internal, text));
        }
        if matches!(verdict, Verdict::Reject { text, .. } if text.is_empty()) {
            self.record(index, number, 0, reason);
            return Ok(());
        }
        self.record(index, number, PAYLOAD, reason);
        let start = self.bytes.len();
        self.bytes.extend_from_slice(&[0; 4]);
        write_payload(self.bytes, verdict)?;
        patch_length(self.bytes, start).ok_or_else(too_long)
    }
}

fn write_payload(out: &mut Vec<u8>, verdict: &Verdict) -> Result<(), Spoilt> {
    match verdict {
        Verdict::Pass | Verdict::Drop(_) => {}
        Verdict::Modify(delta) => out.extend_from_slice(delta_bytes(delta)?),
        Verdict::Route { routes, .. } if routes.is_empty() => {
            return Err((Failure::Internal, "a route verdict without routes".to_owned()));
        }
        Verdict::Route { routes, delta } => {
            out.push(u8::try_from(routes.len()).map_err(|_| {
                (Failure::Internal, format!("{} routes; the most is 255", routes.len()))
            })?);
            for route in routes {
                put_route(out, route)?;
            }
            out.extend_from_slice(delta_bytes(delta)?);
        }
        Verdict::Emit(children) => {
            let count = u32::try_from(children.len()).map_err(|_| too_long())?;
            out.extend_from_slice(&count.to_le_bytes());
            for Emitted { route, delta } in children {
                put_route(out, route.as_deref().unwrap_or(""))?;
                value::put_bytes32(out, delta_bytes(delta)?).ok_or_else(too_long)?;
            }
        }
        Verdict::Reject { text, .. } => put_text(out, text),
        Verdict::Retry { after_ms, text } => {
            out.extend_from_slice(&after_ms.to_le_bytes());
            put_text(out, text);
        }
        Verdict::Fail { failure, text } => {
            out.push(*failure as u8);
            put_text(out, text);
        }
    }
    Ok(())
}

fn delta_bytes(delta: &Delta) -> Result<&[u8], Spoilt> {
    delta.bytes().map_err(|what| (Failure::BadMessage, what.to_owned()))
}

fn put_route(out: &mut Vec<u8>, route: &str) -> Result<(), Spoilt> {
    value::put_str8(out, route).ok_or_else(|| {
        (Failure::Internal, "the name of a route is longer than 255 bytes".to_owned())
    })
}

fn put_text(out: &mut Vec<u8>, text: &str) {
    let cut = text.get(..text.floor_char_boundary(MAX_TEXT)).unwrap_or("");
    out.extend_from_slice(cut.as_bytes());
}

/// Writes the length of what follows the `u32` at `start` into it.
fn patch_length(out: &mut [u8], start: usize) -> Option<()> {
    let length = u32::try_from(out.len().checked_sub(start + 4)?).ok()?;
    *out.get_mut(start..)?.first_chunk_mut()? = length.to_le_bytes();
    Some(())
}

fn too_long() -> Spoilt {
    (Failure::BadMessage, "the verdict is 4 GiB or longer".to_owned())
}

#[cfg(test)]
mod tests;
