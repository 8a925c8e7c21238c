//! Deliver: the method frame that begins a delivery (`basic.deliver`, section 1.8.3.9).

use super::cursor::Cursor;

const BASIC_DELIVER: [u8; 4] = [0, 60, 0, 60];

/// The fields of `basic.deliver` that matter; names are raw, for they may be any bytes.
#[derive(Debug, Default)]
pub(super) struct Deliver {
    pub(super) tag: u64,
    pub(super) redelivered: bool,
    pub(super) exchange: Vec<u8>,
    pub(super) routing_key: Vec<u8>,
}

impl Deliver {
    pub(super) fn is(payload: &[u8]) -> bool {
        payload.starts_with(&BASIC_DELIVER)
    }

    pub(super) fn read(payload: &[u8]) -> Option<Self> {
        let mut cursor = Cursor(payload);
        cursor.array::<4>()?;
        let _consumer = cursor.short()?;
        let tag = cursor.u64()?;
        let redelivered = cursor.u8()? & 1 != 0;
        let exchange = cursor.short()?.to_vec();
        let routing_key = cursor.short()?.to_vec();
        cursor.is_empty().then_some(Self { tag, redelivered, exchange, routing_key })
    }
}
