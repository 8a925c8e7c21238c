//! Paths: the places in the body that a set of predicates reads, as one tree, so that a single
//! pass over the body finds them all.

use crate::json::unescape;

/// Steps that a path can have; a longer one is left to the interpreter.
pub(crate) const MAX_PATH: usize = 16;

/// The node of a place that nobody asked for.
pub(crate) const NOWHERE: u16 = u16::MAX;

/// Nodes of the tree at most.
const MAX_NODES: usize = 1024;

/// One step of a path.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Step {
    /// Into an object.
    Key(String),
    /// Into an array.
    Index(u32),
}

/// The tree. Node 0 is the body itself, and every other node has a larger number than its parent.
#[derive(Debug)]
pub(crate) struct Paths {
    nodes: Vec<Node>,
}

#[derive(Debug, Default)]
struct Node {
    keys: Vec<(Box<[u8]>, u16)>,
    indexes: Vec<(u32, u16)>,
}

impl Paths {
    pub(crate) fn new() -> Self {
        Self { nodes: vec![Node::default()] }
    }

    /// Nodes in the tree.
    pub(crate) fn len(&self) -> usize {
        self.nodes.len()
    }

    /// The node of this path, made if need be; `None` where it would be too long or one too many.
    pub(crate) fn intern(&mut self, path: &[Step]) -> Option<u16> {
        if path.len() > MAX_PATH {
            return None;
        }
        let mut node = 0;
        for step in path {
            let found = match step {
                Step::Key(key) => self.key(node, key.as_bytes(), false),
                Step::Index(index) => self.index(node, *index),
            };
            node = if found == NOWHERE { self.add(node, step)? } else { found };
        }
        Some(node)
    }

    fn add(&mut self, parent: u16, step: &Step) -> Option<u16> {
        if self.nodes.len() >= MAX_NODES {
            return None;
        }
        let child = u16::try_from(self.nodes.len()).ok()?;
        let parent = self.nodes.get_mut(usize::from(parent))?;
        match step {
            Step::Key(key) => parent.keys.push((key.as_bytes().into(), child)),
            Step::Index(index) => parent.indexes.push((*index, child)),
        }
        self.nodes.push(Node::default());
        Some(child)
    }

    /// The node of an object's member, by the key as it stands in the text.
    #[inline]
    pub(crate) fn key(&self, node: u16, key: &[u8], escaped: bool) -> u16 {
        if escaped {
            let key = unescape(str::from_utf8(key).unwrap_or_default());
            return self.key(node, key.as_bytes(), false);
        }
        let Some(node) = self.nodes.get(usize::from(node)) else { return NOWHERE };
        node.keys.iter().find(|(name, _)| **name == *key).map_or(NOWHERE, |&(_, child)| child)
    }

    /// The node of an array's element.
    #[inline]
    pub(crate) fn index(&self, node: u16, index: u32) -> u16 {
        let Some(node) = self.nodes.get(usize::from(node)) else { return NOWHERE };
        node.indexes.iter().find(|(at, _)| *at == index).map_or(NOWHERE, |&(_, child)| child)
    }

    /// All nodes below this one.
    pub(crate) fn below(&self, node: u16) -> Vec<u16> {
        let mut found = vec![node];
        let mut next = 0;
        while let Some(node) = found.get(next).and_then(|&at| self.nodes.get(usize::from(at))) {
            found.extend(node.keys.iter().map(|&(_, child)| child));
            found.extend(node.indexes.iter().map(|&(_, child)| child));
            next += 1;
        }
        found.split_off(1)
    }
}
