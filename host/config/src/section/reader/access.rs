//! Access to the parts of tables, arrays and enums.

use serde::de::value::StrDeserializer;
use serde::de::{DeserializeSeed, EnumAccess, Error, MapAccess, SeqAccess, VariantAccess, Visitor};

use super::error::ReadError;
use super::{Reader, State};
use crate::document::{Entry, Node};

/// Names `node` as what an error in it leaves out, unless something deeper does.
fn within<'a, T>(node: &'a Node, result: Result<T, ReadError<'a>>) -> Result<T, ReadError<'a>> {
    result.map_err(|mut error| {
        error.entry.get_or_insert(node);
        error
    })
}

pub(super) struct Elements<'a, 's> {
    rest: std::slice::Iter<'a, Node>,
    state: &'s State<'a>,
}

impl<'a, 's> Elements<'a, 's> {
    pub(super) fn new(elements: &'a [Node], state: &'s State<'a>) -> Self {
        Self { rest: elements.iter(), state }
    }
}

impl<'a> SeqAccess<'a> for Elements<'a, '_> {
    type Error = ReadError<'a>;

    fn next_element_seed<T: DeserializeSeed<'a>>(
        &mut self,
        seed: T,
    ) -> Result<Option<T::Value>, Self::Error> {
        let state = self.state;
        match self.rest.find(|node| !state.is_left_out(node)) {
            Some(node) => within(node, seed.deserialize(Reader { node, state })).map(Some),
            None => Ok(None),
        }
    }
}

pub(super) struct Fields<'a, 's> {
    rest: std::slice::Iter<'a, Entry>,
    state: &'s State<'a>,
    /// The only keys that mean something, where that is known.
    known: Option<&'static [&'static str]>,
    value: Option<&'a Node>,
}

impl<'a, 's> Fields<'a, 's> {
    pub(super) fn new(
        entries: &'a [Entry],
        state: &'s State<'a>,
        known: Option<&'static [&'static str]>,
    ) -> Self {
        Self { rest: entries.iter(), state, known, value: None }
    }
}

impl<'a> MapAccess<'a> for Fields<'a, '_> {
    type Error = ReadError<'a>;

    fn next_key_seed<K: DeserializeSeed<'a>>(
        &mut self,
        seed: K,
    ) -> Result<Option<K::Value>, Self::Error> {
        for entry in self.rest.by_ref() {
            if let Some(known) = self.known
                && !known.contains(&entry.key.as_str())
            {
                self.state.report_unknown(entry, known);
            } else if !self.state.is_left_out(&entry.node) {
                self.value = Some(&entry.node);
                let key = seed.deserialize(StrDeserializer::new(&entry.key));
                return within(&entry.node, key).map(Some);
            }
        }
        Ok(None)
    }

    fn next_value_seed<V: DeserializeSeed<'a>>(
        &mut self,
        seed: V,
    ) -> Result<V::Value, Self::Error> {
        // Serde's contract: a key was read before.
        let Some(node) = self.value.take() else { return Err(ReadError::silent()) };
        within(node, seed.deserialize(Reader { node, state: self.state }))
    }
}

/// `{ variant = content }`.
pub(super) struct Choice<'a, 's> {
    pub(super) entry: &'a Entry,
    pub(super) state: &'s State<'a>,
}

impl<'a, 's> EnumAccess<'a> for Choice<'a, 's> {
    type Error = ReadError<'a>;
    type Variant = Content<'a, 's>;

    fn variant_seed<V: DeserializeSeed<'a>>(
        self,
        seed: V,
    ) -> Result<(V::Value, Self::Variant), Self::Error> {
        let variant = seed.deserialize(StrDeserializer::new(&self.entry.key))?;
        Ok((variant, Content(Reader { node: &self.entry.node, state: self.state })))
    }
}

pub(super) struct Content<'a, 's>(Reader<'a, 's>);

impl<'a> VariantAccess<'a> for Content<'a, '_> {
    type Error = ReadError<'a>;

    fn unit_variant(self) -> Result<(), Self::Error> {
        self.0.here(Err(ReadError::custom("this choice is a plain string")))
    }

    fn newtype_variant_seed<T: DeserializeSeed<'a>>(
        self,
        seed: T,
    ) -> Result<T::Value, Self::Error> {
        seed.deserialize(self.0)
    }

    fn tuple_variant<V: Visitor<'a>>(
        self,
        _length: usize,
        visitor: V,
    ) -> Result<V::Value, Self::Error> {
        self.0.visit(visitor, None)
    }

    fn struct_variant<V: Visitor<'a>>(
        self,
        fields: &'static [&'static str],
        visitor: V,
    ) -> Result<V::Value, Self::Error> {
        self.0.visit(visitor, Some(fields))
    }
}
