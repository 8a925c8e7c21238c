//! Fuzzing: the frame guard for the fuzz targets. No part of the API.

use lockgate_message::Message;

use crate::guard::Guard;

/// What the guard made of a stream.
#[derive(Debug, Default)]
pub struct Read {
    /// Deliveries, with the reason and the raw header of those in quarantine.
    pub taken: Vec<(Message, Option<(&'static str, Vec<u8>)>)>,
    /// What was let through.
    pub out: Vec<u8>,
    /// Bytes of whole frames.
    pub used: usize,
    pub error: Option<String>,
}

/// Feeds `stream` in pieces of these sizes, the rest as one.
pub fn read(stream: &[u8], mut sizes: impl Iterator<Item = usize>) -> Read {
    let (mut guard, mut read, mut taken) = (Guard::default(), Read::default(), Vec::new());
    let mut come = 0;
    while read.error.is_none() && come < stream.len() {
        come = sizes.next().map_or(stream.len(), |size| stream.len().min(come + size));
        let input = stream.get(read.used..come).unwrap_or_default();
        match guard.feed(input, &mut read.out, &mut taken) {
            Ok(used) => read.used += used,
            Err(error) => read.error = Some(error.to_string()),
        }
    }
    read.taken.extend(taken.into_iter().map(|taken| {
        let quarantine = taken.quarantine.map(|kept| (kept.reason, kept.raw_header.to_vec()));
        (taken.message, quarantine)
    }));
    read
}
