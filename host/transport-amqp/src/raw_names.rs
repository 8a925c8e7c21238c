//! Raw names: names of exchanges and routing keys that are no text, on their way past the client, which
//! knows no others. There each has a stand-in, which is replaced in the frames that the client writes.

use std::borrow::Cow;
use std::collections::HashMap;
use std::hash::{BuildHasher, RandomState};
use std::sync::{Mutex, PoisonError};

use crate::guard::GuardError;
use crate::guard::frames::{Frame, FrameKind, Next, next, short};

/// `basic.publish` and `exchange.declare`: both begin with a short integer and the exchange's name.
const PUBLISH: [u8; 4] = [0, 60, 0, 40];
const DECLARE: [u8; 4] = [0, 40, 0, 10];

/// The names that one sink publishes with.
#[derive(Debug)]
pub struct RawNames {
    /// Begins every stand-in; no name begins like this but by a chance of one in 2⁶⁴.
    prefix: String,
    names: Mutex<Names>,
}

#[derive(Debug, Default)]
struct Names {
    all: Vec<Vec<u8>>,
    places: HashMap<Vec<u8>, usize>,
}

impl Default for RawNames {
    fn default() -> Self {
        let random = RandomState::new().hash_one("raw names");
        Self { prefix: format!("\0raw.{random:016x}."), names: Mutex::default() }
    }
}

impl RawNames {
    /// `name` as the client can have it: as it is, or its stand-in.
    pub fn text(&self, name: &[u8]) -> String {
        if let Ok(text) = std::str::from_utf8(name) {
            return text.to_owned();
        }
        let mut names = self.names.lock().unwrap_or_else(PoisonError::into_inner);
        let next = names.all.len();
        let place = *names.places.entry(name.to_vec()).or_insert(next);
        if place == next {
            names.all.push(name.to_vec());
        }
        format!("{}{place}", self.prefix)
    }

    /// Undoes [`RawNames::text`].
    pub fn bytes<'a>(&self, text: &'a [u8]) -> Cow<'a, [u8]> {
        let place = text.strip_prefix(self.prefix.as_bytes());
        let place = place.and_then(|place| std::str::from_utf8(place).ok()?.parse::<usize>().ok());
        let names = self.names.lock().unwrap_or_else(PoisonError::into_inner);
        match place.and_then(|place| names.all.get(place)) {
            Some(name) => Cow::Owned(name.clone()),
            None => Cow::Borrowed(text),
        }
    }

    /// Reads the whole frames at the start of what the client wrote into `out`, with the names in
    /// place of their stand-ins. Returns how many bytes were used.
    pub(crate) fn replace(&self, input: &[u8], out: &mut Vec<u8>) -> Result<usize, GuardError> {
        /// The protocol header, with which a client begins.
        const GREETING: usize = 8;
        let mut used = 0;
        loop {
            let rest = input.get(used..).unwrap_or_default();
            let len = match next(rest)? {
                Next::Incomplete => return Ok(used),
                Next::ProtocolHeader if rest.len() < GREETING => return Ok(used),
                Next::ProtocolHeader => GREETING,
                Next::Frame(frame) => match self.renamed(&frame) {
                    Some(renamed) => {
                        out.extend(renamed);
                        used += frame.len;
                        continue;
                    }
                    None => frame.len,
                },
            };
            out.extend_from_slice(rest.get(..len).unwrap_or_default());
            used += len;
        }
    }

    /// The frame with other names, if it has a stand-in.
    fn renamed(&self, frame: &Frame<'_>) -> Option<Vec<u8>> {
        let publishes = frame.payload.starts_with(&PUBLISH);
        if frame.kind != FrameKind::Method || !(publishes || frame.payload.starts_with(&DECLARE)) {
            return None;
        }
        let (head, rest) = frame.payload.split_at_checked(6)?;
        let (exchange, rest) = short(rest)?;
        let (key, rest) = if publishes { short(rest)? } else { (&[][..], rest) };
        let (raw_exchange, raw_key) = (self.bytes(exchange), self.bytes(key));
        if *raw_exchange == *exchange && *raw_key == *key {
            return None;
        }
        let mut payload = head.to_vec();
        let mut put = |name: &[u8]| {
            // No longer than where it came from.
            payload.push(name.len() as u8);
            payload.extend_from_slice(name);
        };
        put(&raw_exchange);
        if publishes {
            put(&raw_key);
        }
        payload.extend_from_slice(rest);
        Some(frame.with(&payload))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn method(start: &[u8], names: &[&[u8]], end: &[u8]) -> Vec<u8> {
        let mut payload = [start, &[0, 0]].concat();
        for name in names {
            payload.push(name.len() as u8);
            payload.extend_from_slice(name);
        }
        payload.extend_from_slice(end);
        let size = u32::try_from(payload.len()).unwrap().to_be_bytes();
        [&[1, 0, 7][..], &size, &payload, &[0xCE]].concat()
    }

    /// However what the client writes is cut, only the stand-ins are replaced.
    #[test]
    fn stand_ins_are_replaced_in_the_frames() {
        let names = RawNames::default();
        assert_eq!(names.text(b"plain"), "plain");
        let (exchange, key) = (names.text(b"x\xFF"), names.text(b"\xFEk"));
        assert_eq!(names.text(b"\xFEk"), key);
        assert_eq!(&*names.bytes(key.as_bytes()), b"\xFEk");
        let stream = |exchange: &[u8], key: &[u8]| {
            [
                b"AMQP\0\0\x09\x01".to_vec(),
                method(&DECLARE, &[exchange, b"direct"], &[1, 0, 0, 0, 0]),
                method(&PUBLISH, &[exchange, key], &[1]),
                method(&PUBLISH, &[b"plain", b"k"], &[0]),
                // As if a body said it.
                [&[3, 0, 7, 0, 0, 0, 4][..], b"body", &[0xCE]].concat(),
                method(&[0, 50, 0, 10], &[key], &[0]),
            ]
            .concat()
        };
        let written = stream(exchange.as_bytes(), key.as_bytes());
        let mut expected = stream(b"x\xFF", b"\xFEk");
        // A queue's name is none of these.
        let end = method(&[0, 50, 0, 10], &[key.as_bytes()], &[0]);
        expected.truncate(expected.len() - method(&[0, 50, 0, 10], &[b"\xFEk"], &[0]).len());
        expected.extend(end);
        for piece in [1, 7, 64, 10_000] {
            let (mut out, mut buffer) = (Vec::new(), Vec::new());
            for bytes in written.chunks(piece) {
                buffer.extend_from_slice(bytes);
                let used = names.replace(&buffer, &mut out).unwrap();
                buffer.drain(..used);
            }
            assert!(buffer.is_empty());
            assert_eq!(out, expected, "{piece}");
        }
    }
}
