//! Operators: CEL's, on values. The `cel` crate is the reference, with one difference that both
//! forms share: arithmetic takes an integer beside a double (see the README).

use std::borrow::Cow;
use std::cmp::Ordering;

use super::Stop;
use super::value::Value;
use crate::EvalError;
use crate::node::{Comparison, Operator, TextTest};

/// `==`. Numbers compare across their types; other values of different types are not equal.
#[inline]
pub(super) fn equal(left: &Value<'_>, right: &Value<'_>) -> Result<bool, Stop> {
    Ok(match (left, right) {
        (Value::Str(a), Value::Str(b)) => a == b,
        (Value::Null, Value::Null) => true,
        (Value::Bool(a), Value::Bool(b)) => a == b,
        (Value::Bytes(a), Value::Bytes(b)) => a == b,
        _ if left.is_container() && right.is_container() => return Err(Stop::Interpret),
        _ => order_numbers(left, right) == Some(Ordering::Equal),
    })
}

/// `<`, `<=`, `>`, `>=`: between numbers, texts, bytes or booleans.
pub(super) fn compare(
    comparison: Comparison,
    left: &Value<'_>,
    right: &Value<'_>,
) -> Result<bool, Stop> {
    let order = match (left, right) {
        (Value::Str(a), Value::Str(b)) => a.cmp(b),
        (Value::Bool(a), Value::Bool(b)) => a.cmp(b),
        (Value::Bytes(a), Value::Bytes(b)) => a.cmp(b),
        _ => order_numbers(left, right).ok_or(EvalError::Type)?,
    };
    Ok(match comparison {
        Comparison::Less => order.is_lt(),
        Comparison::LessEqual => order.is_le(),
        Comparison::Greater => order.is_gt(),
        Comparison::GreaterEqual => order.is_ge(),
    })
}

/// `None` if one is no number, or NaN.
fn order_numbers(left: &Value<'_>, right: &Value<'_>) -> Option<Ordering> {
    match (left, right) {
        (Value::Int(a), Value::Int(b)) => Some(a.cmp(b)),
        (Value::Uint(a), Value::Uint(b)) => Some(a.cmp(b)),
        (Value::Int(a), Value::Uint(b)) => Some(i128::from(*a).cmp(&i128::from(*b))),
        (Value::Uint(a), Value::Int(b)) => Some(i128::from(*a).cmp(&i128::from(*b))),
        _ => double(left)?.partial_cmp(&double(right)?),
    }
}

fn double(value: &Value<'_>) -> Option<f64> {
    match value {
        Value::Int(value) => Some(*value as f64),
        Value::Uint(value) => Some(*value as f64),
        Value::Double(value) => Some(*value),
        _ => None,
    }
}

pub(super) fn negate<'a>(value: &Value<'a>) -> Result<Value<'a>, Stop> {
    match value {
        Value::Int(value) => Ok(Value::Int(value.checked_neg().ok_or(EvalError::Arithmetic)?)),
        Value::Double(value) => Ok(Value::Double(-value)),
        _ => Err(EvalError::Type.into()),
    }
}

pub(super) fn arithmetic<'a>(
    operator: Operator,
    left: &Value<'a>,
    right: &Value<'a>,
) -> Result<Value<'a>, Stop> {
    let result = match (left, right) {
        (Value::Int(a), Value::Int(b)) => match operator {
            Operator::Add => a.checked_add(*b),
            Operator::Subtract => a.checked_sub(*b),
            Operator::Multiply => a.checked_mul(*b),
            Operator::Divide => a.checked_div(*b),
            Operator::Remainder => a.checked_rem(*b),
        }
        .map(Value::Int),
        (Value::Uint(a), Value::Uint(b)) => match operator {
            Operator::Add => a.checked_add(*b),
            Operator::Subtract => a.checked_sub(*b),
            Operator::Multiply => a.checked_mul(*b),
            Operator::Divide => a.checked_div(*b),
            Operator::Remainder => a.checked_rem(*b),
        }
        .map(Value::Uint),
        (Value::Double(_), _) | (_, Value::Double(_)) => {
            let (Some(a), Some(b)) = (double(left), double(right)) else {
                return Err(EvalError::Type.into());
            };
            Some(Value::Double(doubles(operator, a, b)?))
        }
        (Value::Str(a), Value::Str(b)) if operator == Operator::Add => {
            Some(Value::Str(Cow::Owned(format!("{a}{b}"))))
        }
        (Value::Bytes(_), Value::Bytes(_)) if operator == Operator::Add => {
            return Err(Stop::Interpret);
        }
        _ if left.is_container() && right.is_container() => return Err(Stop::Interpret),
        _ => return Err(EvalError::Type.into()),
    };
    Ok(result.ok_or(EvalError::Arithmetic)?)
}

/// Doubles follow IEEE 754; CEL has no remainder of them.
pub(crate) fn doubles(operator: Operator, a: f64, b: f64) -> Result<f64, EvalError> {
    Ok(match operator {
        Operator::Add => a + b,
        Operator::Subtract => a - b,
        Operator::Multiply => a * b,
        Operator::Divide => a / b,
        Operator::Remainder => return Err(EvalError::Type),
    })
}

pub(super) fn text_of<'v>(value: &'v Value<'_>) -> Result<&'v str, Stop> {
    match value {
        Value::Str(text) => Ok(text),
        _ => Err(EvalError::Type.into()),
    }
}

pub(super) fn test(kind: TextTest, text: &Value<'_>, part: &Value<'_>) -> Result<bool, Stop> {
    let (text, part) = (text_of(text)?, text_of(part)?);
    Ok(match kind {
        TextTest::StartsWith => text.starts_with(part),
        TextTest::EndsWith => text.ends_with(part),
        TextTest::Contains => text.contains(part),
    })
}
