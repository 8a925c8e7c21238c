//! The order of numbers: by their doubles, and where these are the same by all their digits, so that
//! `9007199254740993` is not `9007199254740992`. NaN is less than any number, as with jq.

use std::cmp::Ordering;

use super::{EXACT_DOUBLE, Num, Repr};

impl Num {
    /// The order that sorting needs: two NaN are the same.
    pub(crate) fn cmp(&self, other: &Self) -> Ordering {
        if let (Repr::Int(left), Repr::Int(right)) = (&self.0, &other.0) {
            return left.cmp(right);
        }
        let (left, right) = (self.as_f64(), other.as_f64());
        match (left.is_nan(), right.is_nan()) {
            (true, true) => Ordering::Equal,
            (true, false) => Ordering::Less,
            (false, true) => Ordering::Greater,
            (false, false) => match left.partial_cmp(&right) {
                Some(Ordering::Equal) | None if self.is_long() || other.is_long() => {
                    Decimal::of(self).cmp(&Decimal::of(other))
                }
                Some(order) => order,
                None => Ordering::Equal,
            },
        }
    }

    /// Equality: NaN is not equal to itself.
    pub(crate) fn equals(&self, other: &Self) -> bool {
        !self.is_nan() && !other.is_nan() && self.cmp(other) == Ordering::Equal
    }

    /// Whether its double may not be all of it.
    fn is_long(&self) -> bool {
        match &self.0 {
            Repr::Int(number) => number.unsigned_abs() > EXACT_DOUBLE as u64,
            Repr::Float(_) => false,
            Repr::Text(text) => text.bytes().filter(u8::is_ascii_digit).count() > 15,
        }
    }
}

/// A number by its digits: `0.DIGITS * 10^point`, without zeros on either side.
struct Decimal {
    negative: bool,
    point: i64,
    digits: String,
}

impl Decimal {
    fn of(number: &Num) -> Self {
        let mut text = Vec::new();
        number.write(&mut text);
        let text = String::from_utf8(text).unwrap_or_default();
        let (negative, text) = match text.strip_prefix('-') {
            Some(rest) => (true, rest),
            None => (false, text.as_str()),
        };
        let (mantissa, exponent) = text.split_once(['e', 'E']).unwrap_or((text, "0"));
        let (whole, fraction) = mantissa.split_once('.').unwrap_or((mantissa, ""));
        let digits = format!("{whole}{fraction}");
        let leading = digits.len() - digits.trim_start_matches('0').len();
        let point = whole.len() as i64 - leading as i64;
        let exponent: i64 = exponent.parse().unwrap_or(i64::MAX / 2);
        let digits = digits.trim_matches('0').to_owned();
        Self {
            negative: negative && !digits.is_empty(),
            point: if digits.is_empty() { i64::MIN } else { point.saturating_add(exponent) },
            digits,
        }
    }

    fn cmp(&self, other: &Self) -> Ordering {
        let size = || self.point.cmp(&other.point).then_with(|| self.digits.cmp(&other.digits));
        match (self.negative, other.negative) {
            (true, false) => Ordering::Less,
            (false, true) => Ordering::Greater,
            (false, false) => size(),
            (true, true) => size().reverse(),
        }
    }
}
