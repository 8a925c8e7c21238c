//! Eval: answers a compact form for one message.

mod frame;
mod operators;
mod value;

pub(crate) use frame::Frame;
pub(crate) use operators::{doubles, order_numbers};
pub(crate) use value::Value;

use operators::{arithmetic, compare, equal, negate, test, text_of};
use value::{header, in_header};

use crate::EvalError;
use crate::json::{Elements, Kind, Members, Slot};
use crate::node::{Const, Node};

/// Why there is no value.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Stop {
    /// CEL's own error, which `||` and `&&` may absorb.
    Error(EvalError),
    /// The compact form does not cover these values: the interpreter is to answer it all.
    Interpret,
}

impl From<EvalError> for Stop {
    fn from(error: EvalError) -> Self {
        Self::Error(error)
    }
}

/// True or false, or why neither.
pub(crate) fn condition<'a>(node: &'a Node, frame: &Frame<'a>) -> Result<bool, Stop> {
    match node {
        Node::Not(inner) => Ok(!condition(inner, frame)?),
        Node::And(sides) => logical(sides, frame, false),
        Node::Or(sides) => logical(sides, frame, true),
        Node::Choose(parts) => {
            let [check, yes, no] = &**parts;
            condition(if condition(check, frame)? { yes } else { no }, frame)
        }
        Node::Equal { sides, differ } => {
            let [left, right] = &**sides;
            Ok(equal(&value(left, frame)?, &value(right, frame)?)? != *differ)
        }
        Node::Compare(comparison, sides) => {
            let [left, right] = &**sides;
            compare(*comparison, &value(left, frame)?, &value(right, frame)?)
        }
        Node::HasBody { parent, child } => match frame.slot(*parent).kind {
            Kind::Object => Ok(frame.slot(*child).kind != Kind::Missing),
            Kind::Missing => Err(EvalError::Missing.into()),
            _ => Err(EvalError::Type.into()),
        },
        Node::HasHeader(name) => Ok(frame.message.header(name).is_some()),
        Node::HasEntry(path, key) => in_header(&frame.message, path, key),
        Node::HasProperty(property) => Ok(frame.property(*property).is_some()),
        Node::InList(item, list) => {
            let item = value(item, frame)?;
            let mut found = Ok(false);
            for element in list {
                found = either(found, equal(&value(element, frame)?, &item))?;
            }
            Ok(found?)
        }
        Node::InBody(item, container) => {
            in_body(&value(item, frame)?, frame.slot(*container), frame)
        }
        Node::Test(kind, sides) => {
            let [text, part] = &**sides;
            test(*kind, &value(text, frame)?, &value(part, frame)?)
        }
        Node::Matches(text, regex) => Ok(regex.is_match(text_of(&value(text, frame)?)?)),
        Node::Redelivered => Ok(frame.message.redelivered()),
        Node::Interpret(inner) => Ok(inner.eval(frame)?),
        _ => match value(node, frame)? {
            Value::Bool(answer) => Ok(answer),
            _ => Err(EvalError::NotBool.into()),
        },
    }
}

/// `&&` and `||`: one side that decides makes up for an error in the other.
fn logical<'a>(sides: &'a [Node; 2], frame: &Frame<'a>, decisive: bool) -> Result<bool, Stop> {
    let [left, right] = sides;
    let left = match condition(left, frame) {
        Err(Stop::Interpret) => return Err(Stop::Interpret),
        Ok(answer) if answer == decisive => return Ok(decisive),
        other => other,
    };
    match condition(right, frame)? {
        answer if answer == decisive => Ok(decisive),
        _ => left,
    }
}

pub(crate) fn value<'a>(node: &'a Node, frame: &Frame<'a>) -> Result<Value<'a>, Stop> {
    Ok(match node {
        Node::Const(constant) => match constant {
            Const::Null => Value::Null,
            Const::Bool(value) => Value::Bool(*value),
            Const::Int(value) => Value::Int(*value),
            Const::Uint(value) => Value::Uint(*value),
            Const::Double(value) => Value::Double(*value),
            Const::Str(text) => Value::Str(text.as_ref().into()),
            Const::Bytes(bytes) => Value::Bytes(bytes),
        },
        Node::Body(at) => Value::of_json(frame.json(), frame.slot(*at))?,
        Node::BodyText => frame.text().map_or(Value::Null, |text| Value::Str(text.into())),
        Node::Header(path) => header(&frame.message, path)?,
        Node::Property(property) => frame.property(*property).ok_or(EvalError::Missing)?,
        Node::Exchange => Value::Str(frame.message.exchange().into()),
        Node::RoutingKey => Value::Str(frame.message.routing_key().into()),
        Node::Attempt => Value::Int(frame.message.attempt().into()),
        Node::Negate(inner) => negate(&value(inner, frame)?)?,
        Node::Arithmetic(operator, sides) => {
            let [left, right] = &**sides;
            arithmetic(*operator, &value(left, frame)?, &value(right, frame)?)?
        }
        Node::Size(inner) => size(&value(inner, frame)?, frame)?,
        Node::Choose(parts) => {
            let [check, yes, no] = &**parts;
            value(if condition(check, frame)? { yes } else { no }, frame)?
        }
        _ => Value::Bool(condition(node, frame)?),
    })
}

/// Code points of a text, bytes, or elements.
fn size<'a>(value: &Value<'a>, frame: &Frame<'a>) -> Result<Value<'a>, Stop> {
    let count = match value {
        Value::Str(text) => text.chars().count(),
        Value::Bytes(bytes) => bytes.len(),
        Value::Json(slot) if slot.kind == Kind::Array => Elements::new(frame.json(), *slot).count(),
        Value::Array(array) => array.iter().count(),
        // A name that stands there twice counts once.
        Value::Json(_) | Value::Table(_) => return Err(Stop::Interpret),
        _ => return Err(EvalError::Type.into()),
    };
    Ok(Value::Int(i64::try_from(count).unwrap_or(i64::MAX)))
}

/// Whether an element is the one looked for, after others were looked at: one that is makes up for
/// others that cannot be told.
fn either(
    found: Result<bool, EvalError>,
    next: Result<bool, Stop>,
) -> Result<Result<bool, EvalError>, Stop> {
    match (found, next) {
        (_, Err(Stop::Interpret)) => Err(Stop::Interpret),
        (Ok(true), _) | (_, Ok(true)) => Ok(Ok(true)),
        (Err(error), _) | (_, Err(Stop::Error(error))) => Ok(Err(error)),
        _ => Ok(Ok(false)),
    }
}

fn in_body<'a>(item: &Value<'a>, container: Slot, frame: &Frame<'a>) -> Result<bool, Stop> {
    let json = frame.json();
    match container.kind {
        Kind::Array => {
            let mut found = Ok(false);
            for element in Elements::new(json, container) {
                found = either(found, equal(&Value::of_json(json, element)?, item))?;
                if found == Ok(true) {
                    break;
                }
            }
            Ok(found?)
        }
        Kind::Object => match item {
            Value::Str(key) => Ok(Members::new(json, container).any(
                |(name, _)| matches!(Value::of_json(json, name), Ok(Value::Str(n)) if n == *key),
            )),
            Value::Int(_)
            | Value::Uint(_)
            | Value::Double(_)
            | Value::Decimal(_)
            | Value::Bool(_) => Ok(false),
            _ => Err(EvalError::Type.into()),
        },
        Kind::Missing => Err(EvalError::Missing.into()),
        _ => Err(EvalError::Type.into()),
    }
}
