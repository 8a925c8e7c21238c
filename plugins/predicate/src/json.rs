//! JSON read in place: one validating pass that notes where the wanted values stand, and views of
//! what it found. Nothing is built, whatever the size of the text.

mod cursor;
mod items;
mod number;
mod scan;
mod text;

pub(crate) use items::{Elements, Members};
pub(crate) use number::{Number, number};
pub(crate) use scan::scan;
pub(crate) use text::unescape;

/// What stands in one place of a JSON text. Offsets are bytes from its start; those of a string
/// leave its quotes out.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Slot {
    pub(crate) kind: Kind,
    pub(crate) start: u32,
    pub(crate) end: u32,
}

/// The type of a value, as far as its first pass tells.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) enum Kind {
    /// The text has no such value.
    #[default]
    Missing,
    Null,
    False,
    True,
    Number,
    String,
    /// A string with at least one escape sequence.
    Escaped,
    Array,
    Object,
}

impl Slot {
    pub(crate) fn of(self, text: &str) -> &str {
        let (start, end) = (self.start as usize, self.end as usize);
        text.get(start..end).unwrap_or_default()
    }
}

#[cfg(test)]
mod tests;
