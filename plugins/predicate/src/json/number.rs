//! Number: from the text of a JSON number to the CEL type that holds it.

use crate::decimal::Decimal;

/// A number as CEL knows it, or one that CEL has no type for.
#[derive(Clone, Debug)]
pub(crate) enum Number {
    Int(i64),
    Uint(u64),
    Double(f64),
    Decimal(Decimal),
}

/// Bytes of a number without exponent that has at most 15 digits: a double holds each such.
const SHORT: usize = 16;

/// An integer becomes an `int`, one above its range a `uint`, and one beyond that stays what it is;
/// everything else, `-0` included, becomes a `double` if that tells it from other numbers.
pub(crate) fn number(text: &str) -> Number {
    let whole = text.bytes().all(|byte| byte == b'-' || byte.is_ascii_digit());
    if whole && text != "-0" {
        if let Ok(value) = text.parse() {
            return Number::Int(value);
        }
        if let Ok(value) = text.parse() {
            return Number::Uint(value);
        }
        return Number::Decimal(Decimal::parse(text));
    }
    if text.len() <= SHORT && !text.contains(['e', 'E']) {
        return Number::Double(text.parse().unwrap_or(f64::NAN));
    }
    let decimal = Decimal::parse(text);
    decimal.lossless().map_or(Number::Decimal(decimal), Number::Double)
}
