//! Numbers: what the interpreter does with them where the `cel` crate would round. It compares an
//! integer with a double as two doubles, and has no type for numbers that no double holds.

use std::any::Any;
use std::cmp::Ordering;

use cel::ExecutionError;
use cel::common::traits::Negator;
use cel::common::types::{
    CelBool, CelBytes, CelDouble, CelInt, CelList, CelMap, CelMapKey, CelOptional, CelString,
    CelUInt, Type,
};
use cel::common::value::{CowVal, StaticVal, Val};

use crate::EvalError;
use crate::decimal::{Decimal, double_text};
use crate::eval::{Value, order_numbers};

/// The functions that errors of comparison and of arithmetic name.
pub(super) const INEXACT: &str = "@inexact";
pub(super) const TOO_LONG: &str = "@too_long";

pub(super) static DECIMAL_TYPE: Type = Type::new_unspecified_type("decimal");

/// A number as it is written, as a value of the interpreter.
#[derive(Clone, Debug)]
pub(super) struct CelDecimal(pub(super) Decimal);

impl Val for CelDecimal {
    fn get_type(&self) -> &Type {
        &DECIMAL_TYPE
    }

    fn cel_type() -> &'static Type {
        &DECIMAL_TYPE
    }

    fn as_negator<'b, 'v>(&'b self) -> Option<&'b (dyn Negator + 'v)>
    where
        Self: 'v,
    {
        Some(self)
    }

    fn equals(&self, other: &dyn Val) -> bool {
        equal(self, other).unwrap_or(false)
    }

    fn clone_as_boxed<'v>(&self) -> Box<dyn Val + 'v>
    where
        Self: 'v,
    {
        Box::new(self.clone())
    }

    fn as_any(&self) -> Option<&dyn Any> {
        Some(self)
    }
}

impl StaticVal for CelDecimal {}

impl Negator for CelDecimal {
    fn negate<'v>(&self) -> Result<Box<dyn Val + 'v>, ExecutionError>
    where
        Self: 'v,
    {
        Ok(Box::new(Self(self.0.negate())))
    }
}

fn number(value: &dyn Val) -> Option<Value<'static>> {
    if let Some(value) = value.downcast_ref::<CelInt>() {
        return Some(Value::Int(*value.inner()));
    }
    if let Some(value) = value.downcast_ref::<CelUInt>() {
        return Some(Value::Uint(*value.inner()));
    }
    if let Some(value) = value.downcast_ref::<CelDouble>() {
        return Some(Value::Double(*value.inner()));
    }
    value.downcast_ref::<CelDecimal>().map(|value| Value::Decimal(value.0.clone()))
}

/// `==`, in lists, maps and optional values too.
fn equal(left: &dyn Val, right: &dyn Val) -> Result<bool, EvalError> {
    if let (Some(left), Some(right)) = (number(left), number(right)) {
        return Ok(order_numbers(&left, &right)? == Some(Ordering::Equal));
    }
    if left.downcast_ref::<CelDecimal>().is_some() {
        return Ok(false);
    }
    if let (Some(left), Some(right)) =
        (left.downcast_ref::<CelList>(), right.downcast_ref::<CelList>())
    {
        let (left, right) = (left.inner(), right.inner());
        let pairs = left.iter().zip(right);
        return match left.len() == right.len() {
            true => every(&mut pairs.map(|(a, b)| equal(a.as_ref(), b.as_ref()))),
            false => Ok(false),
        };
    }
    if let (Some(left), Some(right)) =
        (left.downcast_ref::<CelMap>(), right.downcast_ref::<CelMap>())
    {
        if left.inner().len() != right.inner().len() {
            return Ok(false);
        }
        return every(&mut left.inner().iter().map(|(key, value)| {
            entry(right, key).map_or(Ok(false), |other| equal(value.as_ref(), other))
        }));
    }
    match (held(left), held(right)) {
        (Some(Some(left)), Some(Some(right))) => equal(left, right),
        _ => Ok(left.equals(right)),
    }
}

/// The value of a map's key; an `int` and a `uint` of the same value are one key.
fn entry<'m>(map: &'m CelMap<'m>, key: &CelMapKey<'m>) -> Option<&'m (dyn Val + 'm)> {
    let other = match key {
        CelMapKey::Int(key) => {
            u64::try_from(*key.inner()).ok().map(|key| CelMapKey::UInt(key.into()))
        }
        CelMapKey::UInt(key) => {
            i64::try_from(*key.inner()).ok().map(|key| CelMapKey::Int(key.into()))
        }
        _ => None,
    };
    let entries = map.inner();
    let found = entries.get(key).or_else(|| other.and_then(|other| entries.get(&other)));
    found.map(|value| value.as_ref())
}

/// What is in an optional value.
fn held<'a>(value: &'a (dyn Val + 'a)) -> Option<Option<&'a (dyn Val + 'a)>> {
    value.downcast_ref::<CelOptional<'_>>().map(|optional| optional.option())
}

/// Whether all are; one that is not makes up for others that cannot be told.
fn every(answers: &mut dyn Iterator<Item = Result<bool, EvalError>>) -> Result<bool, EvalError> {
    let mut all = Ok(true);
    for answer in answers {
        match answer {
            Ok(false) => return Ok(false),
            Ok(true) => {}
            Err(error) => all = Err(error),
        }
    }
    all
}

fn inexact(error: EvalError) -> ExecutionError {
    ExecutionError::function_error(INEXACT, error)
}

/// `left == right`, as a function.
pub(super) fn equals<'b, 'v>(args: Vec<CowVal<'b, 'v>>) -> Result<CowVal<'b, 'v>, ExecutionError> {
    let [left, right] = two(&args)?;
    let answer = equal(left, right).map_err(inexact)?;
    Ok(CowVal::owned(CelBool::from(answer)))
}

/// `left != right`, as a function.
pub(super) fn differs<'b, 'v>(args: Vec<CowVal<'b, 'v>>) -> Result<CowVal<'b, 'v>, ExecutionError> {
    let [left, right] = two(&args)?;
    let answer = equal(left, right).map_err(inexact)?;
    Ok(CowVal::owned(CelBool::from(!answer)))
}

/// `left in right`, as a function.
pub(super) fn contained<'b, 'v>(
    args: Vec<CowVal<'b, 'v>>,
) -> Result<CowVal<'b, 'v>, ExecutionError> {
    let [item, container] = two(&args)?;
    let answer = if let Some(list) = container.downcast_ref::<CelList>() {
        let answers = list.inner().iter().map(|element| equal(item, element.as_ref()));
        !every(&mut answers.map(|same| same.map(|same| !same))).map_err(inexact)?
    } else if item.downcast_ref::<CelDecimal>().is_some()
        && container.downcast_ref::<CelMap>().is_some()
    {
        false
    } else {
        let error = || ExecutionError::no_such_overload("in", Vec::new());
        container.as_container().ok_or_else(error)?.contains(item)?
    };
    Ok(CowVal::owned(CelBool::from(answer)))
}

/// `<`, `<=`, `>` or `>=`, as a function; which orders it is true for.
pub(super) fn ordered<'b, 'v>(
    args: &[CowVal<'b, 'v>],
    wanted: fn(Ordering) -> bool,
) -> Result<CowVal<'b, 'v>, ExecutionError> {
    let [left, right] = two(args)?;
    let error = || ExecutionError::no_such_overload("compare", Vec::new());
    let order = match (number(left), number(right)) {
        (Some(left), Some(right)) => {
            order_numbers(&left, &right).map_err(inexact)?.ok_or_else(error)?
        }
        _ => left.as_comparer().ok_or_else(error)?.compare(right)?,
    };
    Ok(CowVal::owned(CelBool::from(wanted(order))))
}

/// What a number counts as in arithmetic.
pub(super) fn approximate(value: &CelDecimal) -> Result<CelDouble, ExecutionError> {
    let double = value.0.approximate();
    double.map(CelDouble::from).map_err(|error| ExecutionError::function_error(TOO_LONG, error))
}

/// `double(…)` of it: the nearest.
pub(super) fn to_double<'b, 'v>(
    args: Vec<CowVal<'b, 'v>>,
) -> Result<CowVal<'b, 'v>, ExecutionError> {
    let error = || ExecutionError::no_such_overload("double", Vec::new());
    let number = args.first().and_then(|arg| arg.downcast_ref::<CelDecimal>()).ok_or_else(error)?;
    Ok(CowVal::owned(CelDouble::from(number.0.nearest())))
}

/// A text, a number or a boolean as a text; of a number the same for all ways to write it.
pub(super) fn text_of(value: &dyn Val) -> Result<String, EvalError> {
    if let Some(text) = value.downcast_ref::<CelString>() {
        return Ok(text.inner().to_owned());
    }
    if let Some(truth) = value.downcast_ref::<CelBool>() {
        return Ok(truth.inner().to_string());
    }
    match number(value) {
        Some(Value::Int(number)) => Ok(number.to_string()),
        Some(Value::Uint(number)) => Ok(number.to_string()),
        Some(Value::Double(number)) => double_text(number),
        Some(Value::Decimal(number)) => number.text(),
        _ => Err(EvalError::Type),
    }
}

/// `string(…)`, which takes bytes too.
pub(super) fn to_text<'b, 'v>(args: Vec<CowVal<'b, 'v>>) -> Result<CowVal<'b, 'v>, ExecutionError> {
    let Some(value) = args.first() else {
        return Err(ExecutionError::invalid_argument_count(1, 0));
    };
    let text = match value.downcast_ref::<CelBytes>() {
        Some(bytes) => String::from_utf8(bytes.inner().to_vec())
            .map_err(|error| ExecutionError::function_error("string", error))?,
        None => text_of(value.as_ref()).map_err(|error| match error {
            EvalError::Number => inexact(error),
            _ => ExecutionError::no_such_overload("string", Vec::new()),
        })?,
    };
    Ok(CowVal::owned(CelString::from(text)))
}

pub(super) fn two<'a, 'b, 'v>(
    args: &'a [CowVal<'b, 'v>],
) -> Result<[&'a (dyn Val + 'v); 2], ExecutionError> {
    match args {
        [left, right] => Ok([left.as_ref(), right.as_ref()]),
        _ => Err(ExecutionError::invalid_argument_count(2, args.len())),
    }
}
