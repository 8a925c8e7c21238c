//! Tables: how entries stand in the file, and one transaction of changes to them.
//!
//! Entries, the ends of those that end, and what each stage uses are changed in one transaction,
//! so that they agree after any crash.

use std::collections::HashMap;

use lockgate_message::state::Space;
use redb::{
    Database, ReadableDatabase, ReadableTable, Table, TableDefinition, TableError, WriteTransaction,
};

use crate::clock::{NEVER, now};

/// From a [`full_key`] to the entry's end, eight bytes, and its payload.
const ENTRIES: TableDefinition<'_, &[u8], &[u8]> = TableDefinition::new("entries");
/// Ends first, so that what is over stands in front.
const ENDS: TableDefinition<'_, (u64, &[u8]), ()> = TableDefinition::new("ends");
/// From a [`prefix`] to the keys and bytes of it.
const USED: TableDefinition<'_, &[u8], (u64, u64)> = TableDefinition::new("used");

/// What a transaction can meet; boxed, for it is large.
pub(crate) type Failure = Box<redb::Error>;

/// The three kinds of entries, which do not see each other.
#[derive(Clone, Copy)]
pub(crate) enum Kind {
    Value = b'v' as isize,
    Claim = b'c' as isize,
    Counter = b'n' as isize,
}

/// Where an entry stands: `pipeline` and `stage`, each after its length, the kind, the key.
pub(crate) fn full_key(space: &Space, kind: Kind, key: &[u8]) -> Vec<u8> {
    let mut full = prefix(space);
    full.reserve(1 + key.len());
    full.push(kind as u8);
    full.extend_from_slice(key);
    full
}

/// What all keys of a stage begin with. Names are at most 255 bytes: longer ones are refused.
pub(crate) fn prefix(space: &Space) -> Vec<u8> {
    let mut prefix = Vec::with_capacity(2 + space.pipeline.len() + space.stage.len());
    for name in [&space.pipeline, &space.stage] {
        prefix.push(u8::try_from(name.len()).unwrap_or(u8::MAX));
        prefix.extend_from_slice(name.as_bytes());
    }
    prefix
}

/// The part of a full key that [`prefix`] made.
pub(crate) fn prefix_of(full: &[u8]) -> &[u8] {
    let name = |at: usize| full.get(at).map_or(full.len(), |length| at + 1 + usize::from(*length));
    full.get(..name(name(0))).unwrap_or(full)
}

/// The stage that a prefix is of.
pub(crate) fn space_of(prefix: &[u8]) -> Option<Space> {
    let (length, rest) = prefix.split_first()?;
    let (pipeline, rest) = rest.split_at_checked(usize::from(*length))?;
    let (_, stage) = rest.split_first()?;
    let text = |bytes| std::str::from_utf8(bytes).ok().map(Into::into);
    Some(Space { pipeline: text(pipeline)?, stage: text(stage)? })
}

/// Keys and bytes: of a stage, or by how much they change.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Change {
    pub(crate) keys: i64,
    pub(crate) bytes: i64,
}

/// An entry that has not ended: its end and its payload.
pub(crate) fn read(db: &Database, full: &[u8]) -> Result<Option<(u64, Vec<u8>)>, Failure> {
    let reading = db.begin_read().map_err(boxed)?;
    let entries = match reading.open_table(ENTRIES) {
        Ok(entries) => entries,
        Err(TableError::TableDoesNotExist(_)) => return Ok(None),
        Err(error) => return Err(boxed(error)),
    };
    let found = entries.get(full).map_err(boxed)?;
    let found = found.and_then(|entry| split(entry.value()).map(|(end, p)| (end, p.to_vec())));
    Ok(found.filter(|(end, _)| now() < *end))
}

/// Keys and bytes that every stage uses, by prefix.
pub(crate) type UsedBy = HashMap<Vec<u8>, (u64, u64)>;

pub(crate) fn used(db: &Database) -> Result<UsedBy, Failure> {
    let reading = db.begin_read().map_err(boxed)?;
    let mut all = HashMap::new();
    let used = match reading.open_table(USED) {
        Ok(used) => used,
        Err(TableError::TableDoesNotExist(_)) => return Ok(all),
        Err(error) => return Err(boxed(error)),
    };
    for entry in used.iter().map_err(boxed)? {
        let (prefix, used) = entry.map_err(boxed)?;
        all.insert(prefix.value().to_vec(), used.value());
    }
    Ok(all)
}

/// Whether no entry has ended.
pub(crate) fn is_swept(db: &Database) -> Result<bool, Failure> {
    let reading = db.begin_read().map_err(boxed)?;
    let ends = match reading.open_table(ENDS) {
        Ok(ends) => ends,
        Err(TableError::TableDoesNotExist(_)) => return Ok(true),
        Err(error) => return Err(boxed(error)),
    };
    let first = ends.first().map_err(boxed)?;
    Ok(first.is_none_or(|(at, _)| now() < at.value().0))
}

/// Runs `work` in one durable transaction, and says how each stage's use changed by it.
pub(crate) fn transact(
    db: &Database,
    work: impl FnOnce(&mut Changes<'_>) -> Result<(), Failure>,
) -> Result<HashMap<Vec<u8>, Change>, Failure> {
    let writing: WriteTransaction = db.begin_write().map_err(boxed)?;
    let changed = {
        let mut changes = Changes {
            entries: writing.open_table(ENTRIES).map_err(boxed)?,
            ends: writing.open_table(ENDS).map_err(boxed)?,
            changed: HashMap::new(),
        };
        work(&mut changes)?;
        let mut used = writing.open_table(USED).map_err(boxed)?;
        for (prefix, change) in &changes.changed {
            let prefix = prefix.as_slice();
            let (keys, bytes) =
                used.get(prefix).map_err(boxed)?.map_or((0, 0), |entry| entry.value());
            let sum = (
                keys.saturating_add_signed(change.keys),
                bytes.saturating_add_signed(change.bytes),
            );
            if sum == (0, 0) {
                used.remove(prefix).map_err(boxed)?;
            } else {
                used.insert(prefix, sum).map_err(boxed)?;
            }
        }
        changes.changed
    };
    // `Durability::Immediate`, redb's default: on the disk when this returns.
    writing.commit().map_err(boxed)?;
    Ok(changed)
}

/// One transaction's view of the tables.
pub(crate) struct Changes<'t> {
    entries: Table<'t, &'static [u8], &'static [u8]>,
    ends: Table<'t, (u64, &'static [u8]), ()>,
    changed: HashMap<Vec<u8>, Change>,
}

impl Changes<'_> {
    pub(crate) fn put(&mut self, full: &[u8], end: u64, payload: &[u8]) -> Result<(), Failure> {
        let mut value = Vec::with_capacity(8 + payload.len());
        value.extend_from_slice(&end.to_be_bytes());
        value.extend_from_slice(payload);
        let old = self.entries.insert(full, value.as_slice()).map_err(boxed)?;
        let old = old.and_then(|old| split(old.value()).map(|(end, p)| (end, p.len())));
        self.forget(full, old)?;
        if end != NEVER {
            self.ends.insert((end, full), ()).map_err(boxed)?;
        }
        self.count(full, payload.len(), 1);
        Ok(())
    }

    pub(crate) fn delete(&mut self, full: &[u8]) -> Result<(), Failure> {
        let old = self.entries.remove(full).map_err(boxed)?;
        let old = old.and_then(|old| split(old.value()).map(|(end, p)| (end, p.len())));
        self.forget(full, old)
    }

    /// Takes out at most `most` entries that are over; how many there were.
    pub(crate) fn sweep(&mut self, most: usize) -> Result<usize, Failure> {
        let none: &[u8] = &[];
        let mut over = Vec::new();
        let until = now().saturating_add(1);
        for entry in self.ends.range(..(until, none)).map_err(boxed)?.take(most) {
            over.push(entry.map_err(boxed)?.0.value().1.to_vec());
        }
        for full in &over {
            self.delete(full)?;
        }
        Ok(over.len())
    }

    /// Accounts for an entry that is no more.
    fn forget(&mut self, full: &[u8], old: Option<(u64, usize)>) -> Result<(), Failure> {
        if let Some((end, length)) = old {
            if end != NEVER {
                self.ends.remove((end, full)).map_err(boxed)?;
            }
            self.count(full, length, -1);
        }
        Ok(())
    }

    fn count(&mut self, full: &[u8], payload: usize, sign: i64) {
        let prefix = prefix_of(full);
        let bytes = i64::try_from(full.len() - prefix.len() + payload).unwrap_or(i64::MAX);
        let change = match self.changed.get_mut(prefix) {
            Some(change) => change,
            None => self.changed.entry(prefix.to_vec()).or_default(),
        };
        change.keys = change.keys.saturating_add(sign);
        change.bytes = change.bytes.saturating_add(sign.saturating_mul(bytes));
    }
}

fn split(value: &[u8]) -> Option<(u64, &[u8])> {
    let (end, payload) = value.split_first_chunk()?;
    Some((u64::from_be_bytes(*end), payload))
}

pub(crate) fn boxed(error: impl Into<redb::Error>) -> Failure {
    Box::new(error.into())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_do_not_run_into_each_other() {
        let space =
            |pipeline: &str, stage: &str| Space { pipeline: pipeline.into(), stage: stage.into() };
        for one in [space("a", "bc"), space("", ""), space(&"p".repeat(255), &"s".repeat(255))] {
            let full = full_key(&one, Kind::Value, b"k\0\xff");
            assert_eq!(prefix_of(&full), prefix(&one));
            assert_eq!(space_of(prefix_of(&full)), Some(one));
        }
        assert_ne!(prefix(&space("ab", "c")), prefix(&space("a", "bc")));
        assert_eq!(prefix_of(&[200, 1]), &[200, 1]);
        assert_eq!(space_of(&[200, 1]), None);
    }
}
