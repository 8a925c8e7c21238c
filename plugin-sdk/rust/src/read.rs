//! Reader: a cursor over bytes that checks every length before it follows one.

/// The bytes not yet read. A method that returns `None` may have consumed some of them.
#[derive(Clone, Copy)]
pub(crate) struct Reader<'a>(pub(crate) &'a [u8]);

impl<'a> Reader<'a> {
    pub(crate) fn is_empty(self) -> bool {
        self.0.is_empty()
    }

    #[inline]
    fn chunk<const N: usize>(&mut self) -> Option<[u8; N]> {
        let (chunk, rest) = self.0.split_first_chunk()?;
        self.0 = rest;
        Some(*chunk)
    }

    #[inline]
    pub(crate) fn u8(&mut self) -> Option<u8> {
        self.chunk().map(u8::from_le_bytes)
    }

    #[inline]
    pub(crate) fn u16(&mut self) -> Option<u16> {
        self.chunk().map(u16::from_le_bytes)
    }

    #[inline]
    pub(crate) fn u32(&mut self) -> Option<u32> {
        self.chunk().map(u32::from_le_bytes)
    }

    #[inline]
    pub(crate) fn u64(&mut self) -> Option<u64> {
        self.chunk().map(u64::from_le_bytes)
    }

    #[inline]
    pub(crate) fn bytes(&mut self, length: usize) -> Option<&'a [u8]> {
        let (bytes, rest) = self.0.split_at_checked(length)?;
        self.0 = rest;
        Some(bytes)
    }

    /// The bytes of a `str8`, not checked to be UTF-8.
    #[inline]
    pub(crate) fn bytes8(&mut self) -> Option<&'a [u8]> {
        let length = self.u8()?;
        self.bytes(usize::from(length))
    }

    #[inline]
    pub(crate) fn str8(&mut self) -> Option<&'a str> {
        str::from_utf8(self.bytes8()?).ok()
    }

    #[inline]
    pub(crate) fn bytes32(&mut self) -> Option<&'a [u8]> {
        let length = self.u32()?;
        self.bytes(usize::try_from(length).ok()?)
    }
}

/// Whether these bytes are UTF-8. Most are short and ASCII, where the standard check is slow.
#[inline]
pub(crate) fn is_utf8(bytes: &[u8]) -> bool {
    let (words, rest) = bytes.as_chunks();
    let high = words.iter().fold(0, |high, word| high | u64::from_le_bytes(*word));
    let high = rest.iter().fold(high, |high, byte| high | u64::from(*byte));
    high & 0x8080_8080_8080_8080 == 0 || str::from_utf8(bytes).is_ok()
}
