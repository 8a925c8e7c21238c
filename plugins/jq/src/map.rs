//! Map: the members of an object, in the order in which their keys came.

use std::collections::BTreeMap;
use std::rc::Rc;

use crate::value::Val;

/// Members up to which a key is looked for one by one. Above it a tree knows where they are: it
/// takes no hash that a sender could aim at.
const SCANNED: usize = 24;

/// Values by key, in insertion order.
#[derive(Clone, Debug, Default)]
pub struct Map {
    entries: Vec<(Rc<str>, Val)>,
    /// Where each key stands; kept only for many members.
    places: Option<BTreeMap<Rc<str>, usize>>,
}

impl Map {
    /// A map with room for so many members.
    pub fn with_capacity(members: usize) -> Self {
        Self { entries: Vec::with_capacity(members), places: None }
    }

    /// How many members there are.
    pub fn len(&self) -> usize {
        self.entries.len()
    }

    /// Whether there is none.
    pub fn is_empty(&self) -> bool {
        self.entries.is_empty()
    }

    /// The value of a key.
    pub fn get(&self, key: &str) -> Option<&Val> {
        self.entries.get(self.place(key)?).map(|(_, value)| value)
    }

    /// The value of a key, to change it.
    pub fn get_mut(&mut self, key: &str) -> Option<&mut Val> {
        let place = self.place(key)?;
        self.entries.get_mut(place).map(|(_, value)| value)
    }

    /// Sets the value of a key; a new key comes last.
    pub fn insert(&mut self, key: Rc<str>, value: Val) {
        if let Some(found) = self.get_mut(&key) {
            *found = value;
            return;
        }
        if let Some(places) = &mut self.places {
            places.insert(Rc::clone(&key), self.entries.len());
        }
        self.entries.push((key, value));
        if self.places.is_none() && self.entries.len() > SCANNED {
            self.index();
        }
    }

    /// Removes a key; the others keep their order.
    pub fn remove(&mut self, key: &str) {
        if let Some(place) = self.place(key) {
            self.entries.remove(place);
            self.places = None;
            if self.entries.len() > SCANNED {
                self.index();
            }
        }
    }

    /// Keeps the members for which `keep` says so.
    pub fn retain(&mut self, keep: impl Fn(&str) -> bool) {
        self.entries.retain(|(key, _)| keep(key));
        self.places = None;
        if self.entries.len() > SCANNED {
            self.index();
        }
    }

    /// The members in order.
    pub fn iter(&self) -> impl ExactSizeIterator<Item = (&Rc<str>, &Val)> {
        self.entries.iter().map(|(key, value)| (key, value))
    }

    /// The members by key.
    pub fn sorted(&self) -> Vec<(Rc<str>, Val)> {
        let mut entries = self.entries.clone();
        entries.sort_unstable_by(|(left, _), (right, _)| left.as_bytes().cmp(right.as_bytes()));
        entries
    }

    fn place(&self, key: &str) -> Option<usize> {
        match &self.places {
            Some(places) => places.get(key).copied(),
            None => self.entries.iter().position(|(name, _)| **name == *key),
        }
    }

    fn index(&mut self) {
        let keys = self.entries.iter().enumerate();
        self.places = Some(keys.map(|(at, (key, _))| (Rc::clone(key), at)).collect());
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn many_members_keep_their_order_and_are_found() {
        let mut map = Map::default();
        for at in 0..100_usize {
            map.insert(format!("k{}", at * 7 % 100).into(), at.into());
        }
        map.insert("k7".into(), Val::Null);
        map.remove("k0");
        assert_eq!(map.len(), 99);
        let first = map.iter().next().map(|(key, value)| (&**key, value));
        assert_eq!(first, Some(("k7", &Val::Null)));
        for at in 2..100_usize {
            assert_eq!(map.get(&format!("k{}", at * 7 % 100)), Some(&Val::from(at)));
        }
        assert_eq!(map.get("k0"), None);
    }
}
