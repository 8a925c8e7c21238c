//! Number: from the text of a JSON number to the CEL type that holds it.

/// A number as CEL knows it.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(crate) enum Number {
    Int(i64),
    Uint(u64),
    Double(f64),
}

/// An integer becomes an `int`, one above its range a `uint`; everything else, `-0` included, a
/// `double`, as near as it holds it (infinity beyond its range).
pub(crate) fn number(text: &str) -> Number {
    let whole = text.bytes().all(|byte| byte == b'-' || byte.is_ascii_digit());
    if whole && text != "-0" {
        if let Ok(value) = text.parse() {
            return Number::Int(value);
        }
        if let Ok(value) = text.parse() {
            return Number::Uint(value);
        }
    }
    Number::Double(text.parse().unwrap_or(f64::NAN))
}
