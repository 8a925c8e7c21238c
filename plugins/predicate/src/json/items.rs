//! Items: the elements of an array and the members of an object, in a text that the scan has
//! found well formed. Neither recurses.

use super::cursor::Cursor;
use super::{Kind, Slot};

/// The elements of an array, in order.
pub(crate) struct Elements<'a>(Walk<'a>);

/// The members of an object, in order: key, value. A key can come twice.
pub(crate) struct Members<'a>(Walk<'a>);

struct Walk<'a>(Cursor<'a>);

impl<'a> Elements<'a> {
    /// Of the array at `slot`.
    pub(crate) fn new(text: &'a str, slot: Slot) -> Self {
        Self(Walk::new(text, slot))
    }
}

impl<'a> Members<'a> {
    /// Of the object at `slot`.
    pub(crate) fn new(text: &'a str, slot: Slot) -> Self {
        Self(Walk::new(text, slot))
    }
}

impl Iterator for Elements<'_> {
    type Item = Slot;

    fn next(&mut self) -> Option<Slot> {
        self.0.value()
    }

    fn count(mut self) -> usize {
        let Some(_) = self.0.0.next_token() else { return 0 };
        let mut count = 1;
        while self.0.0.pass_comma().is_some() {
            count += 1;
        }
        count
    }
}

impl Iterator for Members<'_> {
    type Item = (Slot, Slot);

    fn next(&mut self) -> Option<(Slot, Slot)> {
        let key = self.0.value()?;
        Some((key, self.0.value()?))
    }
}

impl<'a> Walk<'a> {
    fn new(text: &'a str, slot: Slot) -> Self {
        // Within the opening and closing bracket.
        let inside = text.get(..(slot.end as usize).saturating_sub(1)).unwrap_or_default();
        Self(Cursor::new(inside, slot.start as usize + 1))
    }

    /// The next value, past the comma or colon before it.
    fn value(&mut self) -> Option<Slot> {
        let mut token = self.0.next_token()?;
        if matches!(token, b',' | b':') {
            self.0.skip(1);
            token = self.0.next_token()?;
        }
        let start = self.0.at();
        let (kind, start, end) = match token {
            b'"' => {
                self.0.skip(1);
                let (end, escaped) = self.0.string()?;
                (if escaped { Kind::Escaped } else { Kind::String }, start + 1, end)
            }
            b'{' | b'[' => {
                let kind = if token == b'{' { Kind::Object } else { Kind::Array };
                self.0.pass_nested()?;
                (kind, start, self.0.at())
            }
            b't' => (self.0.word(b"true").map(|()| Kind::True)?, start, start),
            b'f' => (self.0.word(b"false").map(|()| Kind::False)?, start, start),
            b'n' => (self.0.word(b"null").map(|()| Kind::Null)?, start, start),
            _ => (self.0.number().map(|()| Kind::Number)?, start, self.0.at()),
        };
        Some(Slot { kind, start: start as u32, end: end as u32 })
    }
}
