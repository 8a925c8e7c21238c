//! Reader: serde over the tree, with every unknown key and wrong type collected.
//!
//! Serde stops at the first wrong value. So the value that was wrong is left out and the whole is
//! read again, until nothing more is found; what is left out never changes the tree.

mod access;
mod error;

use std::cell::RefCell;
use std::collections::HashSet;

use serde::Deserialize;
use serde::de::value::{MapDeserializer, StrDeserializer};
use serde::de::{Deserializer, Visitor};
use serde::forward_to_deserialize_any;

use self::access::{Choice, Elements, Fields};
use self::error::ReadError;
use super::Section;
use crate::diagnostic::Diagnostic;
use crate::document::{Entry, Node, Text, Value};
use crate::suggest;

/// Rounds of reading again; more wrong values in one table than this are not all reported.
const ROUNDS_MAX: usize = 64;

/// The name of a newtype that wants the file of a secret with it, to read it again later: it is
/// given a map of `text` and `file` where there is one, else what any newtype is given.
const WITH_FILE: &str = "SecretWithFile";

/// Reads `section` into `T`, and says whether nothing was left out; `None` where even without what
/// is wrong it is not a `T`.
pub(super) fn read<'a, T: Deserialize<'a>>(
    section: &'a Section,
    diagnostics: &mut Vec<Diagnostic>,
) -> (Option<T>, bool) {
    let state = State::default();
    let mut read = None;
    for _ in 0..ROUNDS_MAX {
        match T::deserialize(Reader { node: section.node(), state: &state }) {
            Ok(value) => {
                read = Some(value);
                break;
            }
            Err(error) => {
                diagnostics.extend(error.diagnose(section, &state));
                match error.entry {
                    Some(node) if state.leave_out(node) => {}
                    _ => break,
                }
            }
        }
    }
    let unknown = state.unknown.borrow();
    diagnostics.extend(unknown.iter().map(|(entry, known)| {
        let place = section.place_of(entry.key_span.clone());
        let message = format!("unknown key `{}`", entry.key);
        let top = section.file().text().get(..entry.key_span.start).unwrap_or_default();
        let below = top.lines().any(|line| line.trim_start().starts_with('['));
        let moved = super::misplaced(&entry.key).filter(|_| below);
        let help = moved.unwrap_or_else(|| suggest::way_out(&entry.key, known.iter().copied()));
        Diagnostic::new(crate::Code::UnknownKey, message).at(place).help(help)
    }));
    let complete = unknown.is_empty() && state.left_out.borrow().is_empty();
    (read, complete)
}

/// What all the rounds of one reading share.
#[derive(Default)]
struct State<'a> {
    /// Addresses of the nodes that were wrong and are passed over.
    left_out: RefCell<HashSet<usize>>,
    unknown: RefCell<Vec<(&'a Entry, &'static [&'static str])>>,
    /// Addresses of the entries in `unknown`: a later round comes by again.
    seen: RefCell<HashSet<usize>>,
}

impl<'a> State<'a> {
    fn leave_out(&self, node: &Node) -> bool {
        self.left_out.borrow_mut().insert(address(node))
    }

    fn is_left_out(&self, node: &Node) -> bool {
        self.left_out.borrow().contains(&address(node))
    }

    fn report_unknown(&self, entry: &'a Entry, known: &'static [&'static str]) {
        if self.seen.borrow_mut().insert(address(&entry.node)) {
            self.unknown.borrow_mut().push((entry, known));
        }
    }
}

/// The tree does not move while it is read, so an address names a node.
fn address(node: &Node) -> usize {
    std::ptr::from_ref(node).addr()
}

/// Deserializes one node.
#[derive(Clone, Copy)]
struct Reader<'a, 's> {
    node: &'a Node,
    state: &'s State<'a>,
}

impl<'a> Reader<'a, '_> {
    /// Gives an error without a place this node's.
    fn here<T>(self, result: Result<T, ReadError<'a>>) -> Result<T, ReadError<'a>> {
        result.map_err(|mut error| {
            error.at.get_or_insert(self.node);
            error
        })
    }

    /// Visits the node; `known` are the only keys that a table may have.
    fn visit<V: Visitor<'a>>(
        self,
        visitor: V,
        known: Option<&'static [&'static str]>,
    ) -> Result<V::Value, ReadError<'a>> {
        self.here(match &self.node.value {
            Value::Text(text) => visitor.visit_borrowed_str(&text.value),
            Value::Integer(number) => visitor.visit_i64(*number),
            Value::Float(number) => visitor.visit_f64(*number),
            Value::Boolean(flag) => visitor.visit_bool(*flag),
            Value::Array(elements) => visitor.visit_seq(Elements::new(elements, self.state)),
            Value::Table(entries) => visitor.visit_map(Fields::new(entries, self.state, known)),
            Value::Broken => Err(ReadError::silent()),
        })
    }
}

/// Numbers and flags: a string that variables are part of stands for what it spells, for TOML has no
/// other way to take one from the environment.
macro_rules! scalars {
    ($($deserialize:ident $visit:ident $kind:ty),* $(,)?) => {
        $(fn $deserialize<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, Self::Error> {
            match &self.node.value {
                Value::Text(text) if !text.secret && !text.substitutions.is_empty() => {
                    match text.value.trim().parse::<$kind>() {
                        Ok(value) => self.here(visitor.$visit(value)),
                        Err(_) => self.visit(visitor, None),
                    }
                }
                _ => self.visit(visitor, None),
            }
        })*
    };
}

impl<'de> Deserializer<'de> for Reader<'de, '_> {
    type Error = ReadError<'de>;

    fn deserialize_any<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, Self::Error> {
        self.visit(visitor, None)
    }

    fn deserialize_option<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, Self::Error> {
        visitor.visit_some(self)
    }

    fn deserialize_newtype_struct<V: Visitor<'de>>(
        self,
        name: &'static str,
        visitor: V,
    ) -> Result<V::Value, Self::Error> {
        if name == WITH_FILE
            && let Value::Text(Text { value, file: Some(file), .. }) = &self.node.value
            && let Some(file) = file.to_str()
        {
            let parts = [("text", value.as_str()), ("file", file)];
            return self.here(visitor.visit_map(MapDeserializer::new(parts.into_iter())));
        }
        visitor.visit_newtype_struct(self)
    }

    fn deserialize_ignored_any<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, Self::Error> {
        visitor.visit_unit()
    }

    fn deserialize_struct<V: Visitor<'de>>(
        self,
        _name: &'static str,
        fields: &'static [&'static str],
        visitor: V,
    ) -> Result<V::Value, Self::Error> {
        self.visit(visitor, Some(fields))
    }

    fn deserialize_enum<V: Visitor<'de>>(
        self,
        _name: &'static str,
        variants: &'static [&'static str],
        visitor: V,
    ) -> Result<V::Value, Self::Error> {
        self.here(match &self.node.value {
            Value::Text(text) => visitor
                .visit_enum(StrDeserializer::new(&text.value))
                .map_err(|error: ReadError<'_>| error.without_value(&text.value)),
            Value::Table(entries) => match entries.as_slice() {
                [entry] => visitor.visit_enum(Choice { entry, state: self.state }),
                _ => Err(ReadError::one_of(variants)),
            },
            Value::Broken => Err(ReadError::silent()),
            _ => Err(ReadError::one_of(variants)),
        })
    }

    scalars! {
        deserialize_bool visit_bool bool,
        deserialize_i8 visit_i64 i64, deserialize_i16 visit_i64 i64, deserialize_i32 visit_i64 i64,
        deserialize_i64 visit_i64 i64, deserialize_i128 visit_i64 i64,
        deserialize_u8 visit_i64 i64, deserialize_u16 visit_i64 i64, deserialize_u32 visit_i64 i64,
        deserialize_u64 visit_i64 i64, deserialize_u128 visit_i64 i64,
        deserialize_f32 visit_f64 f64, deserialize_f64 visit_f64 f64,
    }

    forward_to_deserialize_any! {
        char str string bytes byte_buf unit unit_struct seq tuple tuple_struct map identifier
    }
}
