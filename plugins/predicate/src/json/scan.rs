//! Scan: the one pass over a body. It checks all of it and notes where the wanted paths stand.

use super::cursor::Cursor;
use super::{Kind, Slot};
use crate::paths::{MAX_PATH, NOWHERE, Paths};

/// Arrays and objects within each other at most, as in `serde_json`; a text that goes deeper is
/// not taken for JSON. The scan keeps one bit for each.
const MAX_DEPTH: usize = 128;

/// Whether `text` is JSON. If it is, `slots` tells for each node of `paths` what stands there; of
/// a key that an object has twice, the last counts. If it is not, the slots are of no use.
///
/// `slots` is as long as `paths` and comes in as [`Kind::Missing`] throughout.
pub(crate) fn scan(text: &str, paths: &Paths, slots: &mut [Slot]) -> bool {
    let mut scan = Scan {
        cursor: Cursor::new(text, 0),
        paths,
        slots,
        depth: 0,
        objects: 0,
        levels: [Level::default(); MAX_PATH + 1],
    };
    scan.run().is_some() && scan.cursor.is_done()
}

struct Scan<'a> {
    cursor: Cursor<'a>,
    paths: &'a Paths,
    slots: &'a mut [Slot],
    /// Arrays and objects that are open.
    depth: usize,
    /// A bit for each of them, the innermost lowest: set for an object.
    objects: u128,
    /// Where the outer ones stand in `paths`; no path leads further in.
    levels: [Level; MAX_PATH + 1],
}

/// An open array or object.
#[derive(Clone, Copy)]
struct Level {
    node: u16,
    /// Of the element that comes next.
    index: u32,
}

impl Default for Level {
    fn default() -> Self {
        Self { node: NOWHERE, index: 0 }
    }
}

impl Scan<'_> {
    fn run(&mut self) -> Option<()> {
        let mut node = 0;
        loop {
            let opened = self.value(node)?;
            let mut first = opened;
            loop {
                if self.depth == 0 {
                    return Some(());
                }
                let in_object = self.objects & 1 == 1;
                match (self.cursor.next_token()?, in_object) {
                    (b'}', true) | (b']', false) => {
                        self.close();
                        first = false;
                        continue;
                    }
                    (b',', _) if !first => self.cursor.skip(1),
                    _ if first => {}
                    _ => return None,
                }
                node = if in_object { self.key()? } else { self.element() };
                break;
            }
        }
    }

    /// One value, up to its end, or up to its inside if it is an array or object (`true`).
    #[inline]
    fn value(&mut self, node: u16) -> Option<bool> {
        let token = self.cursor.next_token()?;
        let start = self.cursor.at();
        let (kind, start, end) = match token {
            b'"' => {
                self.cursor.skip(1);
                let (end, escaped) = self.cursor.string()?;
                (if escaped { Kind::Escaped } else { Kind::String }, start + 1, end)
            }
            b'{' | b'[' => {
                self.open(node, token == b'{')?;
                let kind = if token == b'{' { Kind::Object } else { Kind::Array };
                self.note(node, kind, start, start);
                return Some(true);
            }
            b't' => (self.cursor.word(b"true").map(|()| Kind::True)?, start, start),
            b'f' => (self.cursor.word(b"false").map(|()| Kind::False)?, start, start),
            b'n' => (self.cursor.word(b"null").map(|()| Kind::Null)?, start, start),
            _ => (self.cursor.number().map(|()| Kind::Number)?, start, self.cursor.at()),
        };
        self.note(node, kind, start, end);
        Some(false)
    }

    #[inline]
    fn open(&mut self, node: u16, object: bool) -> Option<()> {
        if self.depth == MAX_DEPTH {
            return None;
        }
        self.cursor.skip(1);
        self.depth += 1;
        self.objects = self.objects << 1 | u128::from(object);
        if let Some(level) = self.levels.get_mut(self.depth) {
            *level = Level { node, index: 0 };
        }
        Some(())
    }

    #[inline]
    fn close(&mut self) {
        self.cursor.skip(1);
        let node = self.levels.get(self.depth).map_or(NOWHERE, |level| level.node);
        if let Some(slot) = self.slots.get_mut(usize::from(node)) {
            slot.end = self.cursor.at() as u32;
        }
        self.depth -= 1;
        self.objects >>= 1;
    }

    /// A key and its colon; the node of its value.
    #[inline]
    fn key(&mut self) -> Option<u16> {
        (self.cursor.next_token()? == b'"').then(|| self.cursor.skip(1))?;
        let start = self.cursor.at();
        let (end, escaped) = self.cursor.string()?;
        (self.cursor.next_token()? == b':').then(|| self.cursor.skip(1))?;
        match self.levels.get(self.depth) {
            Some(level) if level.node != NOWHERE => {
                let key = self.cursor.slice(start, end);
                Some(self.paths.key(level.node, key, escaped))
            }
            _ => Some(NOWHERE),
        }
    }

    #[inline]
    fn element(&mut self) -> u16 {
        match self.levels.get_mut(self.depth) {
            Some(level) if level.node != NOWHERE => {
                let index = level.index;
                level.index = index.saturating_add(1);
                self.paths.index(level.node, index)
            }
            _ => NOWHERE,
        }
    }

    #[inline]
    fn note(&mut self, node: u16, kind: Kind, start: usize, end: usize) {
        if node == NOWHERE {
            return;
        }
        if self.slots.get(usize::from(node)).is_some_and(|slot| slot.kind != Kind::Missing) {
            self.forget(node);
        }
        if let Some(slot) = self.slots.get_mut(usize::from(node)) {
            *slot = Slot { kind, start: start as u32, end: end as u32 };
        }
    }

    /// A key came again: what its first value held does not count.
    #[cold]
    fn forget(&mut self, node: u16) {
        for child in self.paths.below(node) {
            if let Some(slot) = self.slots.get_mut(usize::from(child)) {
                *slot = Slot::default();
            }
        }
    }
}
