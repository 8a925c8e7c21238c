//! Numbers as text: read as JSON has them, written so that JSON can have them.

use super::{LARGEST, Num, Repr};

impl Num {
    /// A number in JSON's notation; none if it is none.
    pub fn from_json(text: &str) -> Option<Self> {
        let (int, rest) = integer_part(text.strip_prefix('-').unwrap_or(text));
        (!int.is_empty() && (int == "0" || !int.starts_with('0')) && is_tail(rest, 1))
            .then(|| Self::from_valid(text))
    }

    /// A number that is known to be in JSON's notation.
    pub(super) fn from_valid(text: &str) -> Self {
        let whole = text.bytes().all(|byte| byte.is_ascii_digit() || byte == b'-');
        match text.parse() {
            Ok(number) if whole && text != "-0" => Self(Repr::Int(number)),
            _ => Self(Repr::Text(text.into())),
        }
    }

    /// Appends the number as JSON. Not-a-number is null and what is infinite the largest double,
    /// as with jq.
    pub(crate) fn write(&self, out: &mut Vec<u8>) {
        match &self.0 {
            Repr::Int(number) => {
                out.extend_from_slice(itoa::Buffer::new().format(*number).as_bytes());
            }
            Repr::Text(text) => out.extend_from_slice(text.as_bytes()),
            Repr::Float(number) if number.is_nan() => out.extend_from_slice(b"null"),
            Repr::Float(number) => write_double(number.clamp(-LARGEST, LARGEST), out),
        }
    }
}

/// The digits at the start, and what comes after.
fn integer_part(text: &str) -> (&str, &str) {
    let end = text.bytes().position(|byte| !byte.is_ascii_digit()).unwrap_or(text.len());
    text.split_at(end)
}

/// Whether this is a fraction of at least so many digits, an exponent, both, or nothing.
fn is_tail(text: &str, fraction_digits: usize) -> bool {
    let rest = match text.strip_prefix('.') {
        Some(fraction) => {
            let (digits, rest) = integer_part(fraction);
            if digits.len() < fraction_digits {
                return false;
            }
            rest
        }
        None => text,
    };
    match rest.strip_prefix(['e', 'E']) {
        Some(exponent) => {
            let (digits, end) = integer_part(exponent.strip_prefix(['+', '-']).unwrap_or(exponent));
            !digits.is_empty() && end.is_empty()
        }
        None => rest.is_empty(),
    }
}

/// A number as jq's `tonumber` and its programs take it: also `+5`, `00.5`, `.5` and `5.`, which
/// become what JSON writes for them.
pub(crate) fn parse_loose(text: &str) -> Option<Num> {
    if let Some(number) = Num::from_json(text) {
        return Some(number);
    }
    let (sign, rest) = match text.strip_prefix('-') {
        Some(rest) => ("-", rest),
        None => ("", text.strip_prefix('+').unwrap_or(text)),
    };
    let (int, tail) = integer_part(rest);
    let digits_follow = tail
        .strip_prefix('.')
        .is_some_and(|fraction| fraction.bytes().next().is_some_and(|byte| byte.is_ascii_digit()));
    if !is_tail(tail, 0) || (int.is_empty() && !digits_follow) {
        return None;
    }
    let int = int.trim_start_matches('0');
    let int = if int.is_empty() { "0" } else { int };
    let tail = if digits_follow { tail } else { tail.strip_prefix('.').unwrap_or(tail) };
    Num::from_json(&format!("{sign}{int}{tail}"))
}

/// As jq writes a double: the fewest digits that read as the same, without an exponent from 1e-5
/// to 16 zeros behind the digits.
fn write_double(number: f64, out: &mut Vec<u8>) {
    let shortest = format!("{number:e}");
    let (mantissa, exponent) = shortest.split_once('e').unwrap_or((&shortest, "0"));
    let digits: String = mantissa.chars().filter(char::is_ascii_digit).collect();
    // Where the point stands, counted in digits from the start.
    let point = exponent.parse::<i32>().unwrap_or(0) + 1;
    let count = i32::try_from(digits.len()).unwrap_or(0);
    if number.is_sign_negative() {
        out.push(b'-');
    }
    let zeros = |count: i32| std::iter::repeat_n(b'0', usize::try_from(count).unwrap_or(0));
    if point <= -4 || point > count + 15 {
        let (first, rest) = digits.split_at(1);
        out.extend_from_slice(first.as_bytes());
        if !rest.is_empty() {
            out.push(b'.');
            out.extend_from_slice(rest.as_bytes());
        }
        let sign = if point < 1 { '-' } else { '+' };
        out.extend_from_slice(format!("e{sign}{:02}", (point - 1).abs()).as_bytes());
    } else if point <= 0 {
        out.extend_from_slice(b"0.");
        out.extend(zeros(-point));
        out.extend_from_slice(digits.as_bytes());
    } else if point >= count {
        out.extend_from_slice(digits.as_bytes());
        out.extend(zeros(point - count));
    } else {
        let (whole, fraction) = digits.split_at(usize::try_from(point).unwrap_or(0));
        out.extend_from_slice(whole.as_bytes());
        out.push(b'.');
        out.extend_from_slice(fraction.as_bytes());
    }
}
