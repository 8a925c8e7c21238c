//! Variables: a message as values of the `cel` crate, as far as an expression reads it. Texts stay
//! borrowed from the message.

use std::collections::HashMap;
use std::collections::hash_map::Entry;

use cel::Context;
use cel::common::types::{
    CelBool, CelBytes, CelDouble, CelInt, CelList, CelMap, CelMapKey, CelNull, CelString, CelUInt,
};
use cel::common::value::Val;
use lockgate_plugin::{Array, Table};

use super::MAX_VALUES;
use super::numbers::CelDecimal;
use crate::EvalError;
use crate::compile::{Filter, HeaderReads, PROPERTIES, Reads};
use crate::eval::{Frame, Value};
use crate::json::{Elements, Kind, Members, Slot};

type Boxed<'v> = Box<dyn Val + 'v>;
type Map<'v> = HashMap<CelMapKey<'v>, Boxed<'v>>;

/// Adds the variables that `reads` names.
pub(super) fn add<'v>(
    context: &mut Context<'_, 'v>,
    frame: &Frame<'v>,
    reads: &Reads,
) -> Result<(), EvalError> {
    let message = frame.message;
    let mut builder = Builder { json: frame.json(), left: MAX_VALUES };
    if let Some(filter) = &reads.body {
        context.add_variable_as_val("body", builder.body(frame, frame.slot(0), filter)?);
    }
    if reads.body_text {
        let text = frame.body_text().map_or(Value::Null, |text| Value::Str(text.into()));
        context.add_variable_as_val("body_text", builder.value(text)?);
    }
    if !matches!(reads.headers, HeaderReads::None) {
        context.add_variable_as_val("headers", builder.headers(frame, &reads.headers)?);
    }
    if reads.properties {
        let mut properties = Map::new();
        for (name, property) in PROPERTIES {
            if let Some(value) = frame.property(property) {
                properties.insert(key(name), builder.value(value)?);
            }
        }
        context.add_variable_as_val("properties", boxed_map(properties));
    }
    let mut plain = |wanted: bool, name: &str, value: Boxed<'v>| {
        if wanted {
            context.add_variable_as_val(name, value);
        }
    };
    plain(reads.exchange, "exchange", Box::new(CelString::from(message.exchange())));
    plain(reads.routing_key, "routing_key", Box::new(CelString::from(message.routing_key())));
    plain(reads.redelivered, "redelivered", Box::new(CelBool::from(message.redelivered())));
    plain(reads.attempt, "attempt", Box::new(CelInt::from(i64::from(message.attempt()))));
    Ok(())
}

fn key(name: &str) -> CelMapKey<'_> {
    CelMapKey::String(CelString::from(name))
}

fn boxed_map<'v>(map: Map<'v>) -> Boxed<'v> {
    Box::new(CelMap::from(map))
}

struct Builder<'v> {
    json: &'v str,
    /// Values that may still be made.
    left: usize,
}

impl<'v> Builder<'v> {
    fn count(&mut self) -> Result<(), EvalError> {
        self.left = self.left.checked_sub(1).ok_or(EvalError::TooLarge)?;
        Ok(())
    }

    /// Recurses as deep as a path is long.
    fn body(
        &mut self,
        frame: &Frame<'v>,
        slot: Slot,
        filter: &Filter,
    ) -> Result<Boxed<'v>, EvalError> {
        let (Kind::Object, Filter::Keys(keys)) = (slot.kind, filter) else {
            return self.json(slot);
        };
        let mut map = Map::new();
        for (name, (node, inner)) in keys {
            let member = frame.slot(*node);
            if member.kind != Kind::Missing {
                let name = CelMapKey::String(CelString::from(name.clone()));
                map.insert(name, self.body(frame, member, inner)?);
            }
        }
        Ok(boxed_map(map))
    }

    /// Recurses as deep as the body nests, which the scan has bounded.
    fn json(&mut self, slot: Slot) -> Result<Boxed<'v>, EvalError> {
        self.count()?;
        match slot.kind {
            Kind::Array => {
                let elements = Elements::new(self.json, slot);
                let list: Result<Vec<_>, _> = elements.map(|element| self.json(element)).collect();
                Ok(Box::new(CelList::from(list?)))
            }
            Kind::Object => {
                let mut map = Map::new();
                for (name, member) in Members::new(self.json, slot) {
                    let Value::Str(name) = Value::of_json(self.json, name)? else { continue };
                    map.insert(CelMapKey::String(CelString::from(name)), self.json(member)?);
                }
                Ok(boxed_map(map))
            }
            _ => self.value(Value::of_json(self.json, slot)?),
        }
    }

    fn headers(&mut self, frame: &Frame<'v>, reads: &HeaderReads) -> Result<Boxed<'v>, EvalError> {
        let mut map = Map::new();
        for (name, field) in frame.message.headers() {
            let wanted = match reads {
                HeaderReads::None => false,
                HeaderReads::Names(names) => names.contains(name),
                HeaderReads::All => true,
            };
            if wanted && let Entry::Vacant(entry) = map.entry(key(name)) {
                entry.insert(self.value(Value::of_field(field))?);
            }
        }
        Ok(boxed_map(map))
    }

    /// Recurses as deep as headers nest, which the frame format bounds.
    fn value(&mut self, value: Value<'v>) -> Result<Boxed<'v>, EvalError> {
        self.count()?;
        Ok(match value {
            Value::Null => Box::new(CelNull),
            Value::Bool(value) => Box::new(CelBool::from(value)),
            Value::Int(value) => Box::new(CelInt::from(value)),
            Value::Uint(value) => Box::new(CelUInt::from(value)),
            Value::Double(value) => Box::new(CelDouble::from(value)),
            Value::Decimal(value) => Box::new(CelDecimal(value)),
            Value::Str(text) => Box::new(CelString::from(text)),
            Value::Bytes(bytes) => Box::new(CelBytes::from(bytes)),
            Value::Json(slot) => return self.json(slot),
            Value::Array(array) => self.array(array)?,
            Value::Table(table) => self.table(table)?,
        })
    }

    fn array(&mut self, array: Array<'v>) -> Result<Boxed<'v>, EvalError> {
        let list: Result<Vec<_>, _> =
            array.iter().map(|field| self.value(Value::of_field(field))).collect();
        Ok(Box::new(CelList::from(list?)))
    }

    fn table(&mut self, table: Table<'v>) -> Result<Boxed<'v>, EvalError> {
        let mut map = Map::new();
        for (name, field) in table.iter() {
            if let Entry::Vacant(entry) = map.entry(key(name)) {
                entry.insert(self.value(Value::of_field(field))?);
            }
        }
        Ok(boxed_map(map))
    }
}
