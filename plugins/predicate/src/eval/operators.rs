//! Operators: CEL's, on values. The `cel` crate is the reference, with one difference that both
//! forms share: arithmetic takes an integer beside a double (see the README).

use std::borrow::Cow;
use std::cmp::Ordering;

use super::Stop;
use super::value::Value;
use crate::EvalError;
use crate::decimal::{Decimal, compare_whole};
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
        _ => order_numbers(left, right)? == Some(Ordering::Equal),
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
        _ => order_numbers(left, right)?.ok_or(EvalError::Type)?,
    };
    Ok(match comparison {
        Comparison::Less => order.is_lt(),
        Comparison::LessEqual => order.is_le(),
        Comparison::Greater => order.is_gt(),
        Comparison::GreaterEqual => order.is_ge(),
    })
}

/// By their exact values. `None` if one is no number, or NaN.
///
/// # Errors
/// [`EvalError::Number`] where the exact values cannot be told.
pub(crate) fn order_numbers(
    left: &Value<'_>,
    right: &Value<'_>,
) -> Result<Option<Ordering>, EvalError> {
    match (left, right) {
        (Value::Double(a), Value::Double(b)) => Ok(a.partial_cmp(b)),
        (Value::Decimal(a), Value::Decimal(b)) => a.compare(b).map(Some),
        (Value::Decimal(a), Value::Double(b)) => a.compare_double(*b),
        (Value::Double(a), Value::Decimal(b)) => Ok(b.compare_double(*a)?.map(Ordering::reverse)),
        (Value::Decimal(a), _) => {
            whole(right).map(|b| a.compare(&Decimal::parse(&b.to_string()))).transpose()
        }
        (_, Value::Decimal(b)) => {
            whole(left).map(|a| Decimal::parse(&a.to_string()).compare(b)).transpose()
        }
        (_, Value::Double(b)) => Ok(whole(left).and_then(|a| compare_whole(a, *b))),
        (Value::Double(a), _) => {
            Ok(whole(right).and_then(|b| compare_whole(b, *a)).map(Ordering::reverse))
        }
        _ => Ok(whole(left).zip(whole(right)).map(|(a, b)| a.cmp(&b))),
    }
}

fn whole(value: &Value<'_>) -> Option<i128> {
    match value {
        Value::Int(value) => Some((*value).into()),
        Value::Uint(value) => Some((*value).into()),
        _ => None,
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
        Value::Decimal(value) => Ok(Value::Decimal(value.negate())),
        _ => Err(EvalError::Type.into()),
    }
}

pub(super) fn arithmetic<'a>(
    operator: Operator,
    left: &Value<'a>,
    right: &Value<'a>,
) -> Result<Value<'a>, Stop> {
    let result = match (left, right) {
        (Value::Decimal(a), _) => {
            return arithmetic(operator, &Value::Double(a.approximate()?), right);
        }
        (_, Value::Decimal(b)) => {
            return arithmetic(operator, left, &Value::Double(b.approximate()?));
        }
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
