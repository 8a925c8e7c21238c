//! Decimal: a number as it is written, for those that no type of CEL holds. Whole numbers beyond 64
//! bits, and fractions with more digits than a double has, would else be one with their neighbours.

use std::cmp::Ordering;

use crate::EvalError;

/// Significant digits that the exact value of a double has at most. A text with more of them is
/// the value of no double.
const MAX_DIGITS: usize = 767;

/// Characters of a number that is written without an exponent when it stands for a text.
const MAX_PLAIN: usize = 64;

/// A number, exactly: `digits` times ten to the power of `exponent`.
#[derive(Clone, Debug)]
pub(crate) struct Decimal {
    negative: bool,
    /// Without zeros at either end; empty for zero.
    digits: Box<str>,
    /// The two ends of its range stand for whatever is beyond them.
    exponent: i64,
    /// Infinite or zero where the number is out of a double's range.
    nearest: f64,
}

impl Decimal {
    /// Reads a number in the form of JSON.
    pub(crate) fn parse(text: &str) -> Self {
        let (mantissa, exponent) = text.split_once(['e', 'E']).unwrap_or((text, "0"));
        let (negative, mantissa) = match mantissa.strip_prefix('-') {
            Some(rest) => (true, rest),
            None => (false, mantissa),
        };
        let (whole, fraction) = mantissa.split_once('.').unwrap_or((mantissa, ""));
        let all = format!("{whole}{fraction}");
        let significant = all.trim_end_matches('0');
        let dropped = all.len() - significant.len();
        let limit = if exponent.starts_with('-') { i64::MIN } else { i64::MAX };
        let shift =
            i64::try_from(dropped).unwrap_or(0) - i64::try_from(fraction.len()).unwrap_or(0);
        Self {
            negative,
            digits: significant.trim_start_matches('0').into(),
            exponent: exponent.parse::<i64>().unwrap_or(limit).saturating_add(shift),
            nearest: text.parse().unwrap_or(f64::NAN),
        }
    }

    /// The value of a finite double: a whole one to its last digit, a fraction by the fewest
    /// digits that tell it from other doubles.
    fn of_double(value: f64) -> Self {
        match value.fract() == 0.0 {
            true => Self::parse(&format!("{value:.0}")),
            false => Self::parse(&format!("{value}")),
        }
    }

    /// The double that stands for the number without loss: one of exactly this value if the number
    /// is whole, or one that is written like this with so many digits.
    pub(crate) fn lossless(&self) -> Option<f64> {
        let (double, count) = (self.nearest, self.digits.len());
        if count == 0 {
            return Some(double);
        }
        if !double.is_finite() || double == 0.0 || count > MAX_DIGITS {
            return None;
        }
        let written = match self.is_whole() {
            true => format!("{double:.0}"),
            false => format!("{double:.*e}", count - 1),
        };
        let written = Self::parse(&written);
        let same = written.digits == self.digits && written.exponent == self.exponent;
        same.then_some(double)
    }

    pub(crate) fn nearest(&self) -> f64 {
        self.nearest
    }

    pub(crate) fn negate(&self) -> Self {
        Self { negative: !self.negative, nearest: -self.nearest, ..self.clone() }
    }

    /// What counts in arithmetic: the nearest double of a fraction. A whole number that needs more
    /// than 64 bits is an overflow, as where integers are added.
    pub(crate) fn approximate(&self) -> Result<f64, EvalError> {
        let usable = !self.is_whole() && self.nearest.is_finite();
        usable.then_some(self.nearest).ok_or(EvalError::Arithmetic)
    }

    fn is_whole(&self) -> bool {
        self.exponent >= 0 || self.digits.is_empty()
    }

    fn is_beyond(&self) -> bool {
        !self.digits.is_empty() && (self.exponent == i64::MIN || self.exponent == i64::MAX)
    }

    /// # Errors
    /// [`EvalError::Number`] for two whose exponents are out of all bounds.
    pub(crate) fn compare(&self, other: &Self) -> Result<Ordering, EvalError> {
        let sign = |number: &Self| match (number.digits.is_empty(), number.negative) {
            (true, _) => 0,
            (false, true) => -1,
            (false, false) => 1,
        };
        let (left, right) = (sign(self), sign(other));
        if left != right || left == 0 {
            return Ok(left.cmp(&right));
        }
        if self.is_beyond() && other.is_beyond() && self.exponent == other.exponent {
            return Err(EvalError::Number);
        }
        let places = |number: &Self| {
            i128::from(number.exponent) + i128::try_from(number.digits.len()).unwrap_or(0)
        };
        let size = places(self).cmp(&places(other)).then_with(|| self.digits.cmp(&other.digits));
        Ok(if left < 0 { size.reverse() } else { size })
    }

    /// `None` beside NaN.
    ///
    /// # Errors
    /// [`EvalError::Number`] beside the double that the number would be rounded to, with loss: what the double
    /// stands for, its exact value or the text that it was read from, cannot be told.
    pub(crate) fn compare_double(&self, other: f64) -> Result<Option<Ordering>, EvalError> {
        match self.nearest.partial_cmp(&other) {
            Some(Ordering::Equal) if other.is_infinite() => Ok(0.0_f64.partial_cmp(&other)),
            Some(Ordering::Equal) if self.lossless() == Some(other) => Ok(Some(Ordering::Equal)),
            Some(Ordering::Equal) => Err(EvalError::Number),
            order => Ok(order),
        }
    }

    /// The number as a text, the same for all ways to write it: `1e2` and `100.0` are `100`.
    ///
    /// # Errors
    /// [`EvalError::Number`] if its exponent is out of all bounds.
    pub(crate) fn text(&self) -> Result<String, EvalError> {
        if self.digits.is_empty() {
            return Ok("0".to_owned());
        }
        if self.is_beyond() {
            return Err(EvalError::Number);
        }
        let sign = if self.negative { "-" } else { "" };
        let (digits, count) = (&*self.digits, self.digits.len());
        let shift = usize::try_from(self.exponent.unsigned_abs()).unwrap_or(usize::MAX);
        if self.exponent >= 0 && count.saturating_add(shift) <= MAX_PLAIN {
            return Ok(format!("{sign}{digits}{}", "0".repeat(shift)));
        }
        if self.exponent < 0 && count.max(shift) <= MAX_PLAIN {
            let padded = format!("{digits:0>width$}", width = shift + 1);
            let (whole, fraction) = padded.split_at(padded.len() - shift);
            return Ok(format!("{sign}{whole}.{fraction}"));
        }
        Ok(format!("{sign}{digits}e{}", self.exponent))
    }
}

/// A double as a text, as [`Decimal::text`] writes the number that it is.
pub(crate) fn double_text(value: f64) -> Result<String, EvalError> {
    if value.is_finite() { Decimal::of_double(value).text() } else { Ok(value.to_string()) }
}

/// Exact, where a conversion of the integer would round it. `None` beside NaN.
pub(crate) fn compare_whole(whole: i128, double: f64) -> Option<Ordering> {
    if double.is_nan() {
        return None;
    }
    // The cast saturates, which no integer of 64 bits notices.
    let order = whole.cmp(&(double.trunc() as i128));
    Some(order.then_with(|| 0.0_f64.partial_cmp(&double.fract()).unwrap_or(Ordering::Equal)))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn one_number_has_one_text() {
        for (written, text) in [
            ("0", "0"),
            ("-0", "0"),
            ("0.000e5", "0"),
            ("0e99999999999999999999999", "0"),
            ("1", "1"),
            ("1.0", "1"),
            ("10e-1", "1"),
            ("-100E+2", "-10000"),
            ("1.50", "1.5"),
            ("0.0015", "0.0015"),
            ("15e-4", "0.0015"),
            ("18446744073709551616", "18446744073709551616"),
            ("18446744073709551616.000", "18446744073709551616"),
            ("0.10000000000000000001", "0.10000000000000000001"),
            ("1e400", "1e400"),
            ("10.0e399", "1e400"),
            ("-12.5e-400", "-125e-401"),
        ] {
            assert_eq!(Decimal::parse(written).text().as_deref(), Ok(text), "{written}");
        }
        let beyond = Decimal::parse("1e99999999999999999999999");
        assert_eq!(beyond.text(), Err(EvalError::Number));
    }

    #[test]
    fn a_double_stands_for_what_it_holds() {
        for held in ["1.5", "0.1", "0.10000000000000001", "1e22", "18446744073709551616", "5e-324"]
        {
            assert_eq!(Decimal::parse(held).lossless(), held.parse().ok(), "{held}");
        }
        let exact = "0.1000000000000000055511151231257827021181583404541015625";
        assert_eq!(Decimal::parse(exact).lossless(), Some(0.1));
        for lost in [
            "1e23",
            "18446744073709551617",
            "18446744073709552000",
            "9007199254740993.0",
            "0.10000000000000000001",
            "1e400",
            "1e-400",
        ] {
            assert_eq!(Decimal::parse(lost).lossless(), None, "{lost}");
        }
        assert_eq!(
            double_text(18_446_744_073_709_551_616.0).as_deref(),
            Ok("18446744073709551616")
        );
        assert_eq!(double_text(-0.0).as_deref(), Ok("0"));
        assert_eq!(double_text(0.1).as_deref(), Ok("0.1"));
    }

    #[test]
    fn order_is_exact_or_an_error() {
        let order = |a: &str, b: &str| Decimal::parse(a).compare(&Decimal::parse(b));
        let sorted = [
            "-1e99999999999999999999",
            "-18446744073709551617",
            "-18446744073709551616",
            "-1e-400",
            "0",
            "1e-400",
            "0.1",
            "0.10000000000000000001",
            "0.11",
            "2",
            "18446744073709551616",
            "18446744073709551617",
            "1e400",
        ];
        for (at, a) in sorted.iter().enumerate() {
            for (other, b) in sorted.iter().enumerate() {
                // Out of all bounds, the number is not even equal to itself.
                let want =
                    if at == 0 && other == 0 { Err(EvalError::Number) } else { Ok(at.cmp(&other)) };
                assert_eq!(order(a, b), want, "{a} {b}");
            }
        }
        assert_eq!(order("1e20", "100000000000000000000.0"), Ok(Ordering::Equal));
        let beside = |a: &str, b: f64| Decimal::parse(a).compare_double(b);
        assert_eq!(
            beside("18446744073709551617", 18_446_744_073_709_551_616.0),
            Err(EvalError::Number)
        );
        assert_eq!(
            beside("18446744073709551616", 18_446_744_073_709_551_616.0),
            Ok(Some(Ordering::Equal))
        );
        assert_eq!(beside("18446744073709551617", 1e19), Ok(Some(Ordering::Greater)));
        assert_eq!(beside("1e400", f64::INFINITY), Ok(Some(Ordering::Less)));
        assert_eq!(beside("-1e400", f64::NEG_INFINITY), Ok(Some(Ordering::Greater)));
        assert_eq!(beside("1e400", f64::NAN), Ok(None));
        assert_eq!(
            compare_whole(9_007_199_254_740_993, 9_007_199_254_740_992.0),
            Some(Ordering::Greater)
        );
        assert_eq!(compare_whole(-1, -0.5), Some(Ordering::Less));
        assert_eq!(compare_whole(0, -0.0), Some(Ordering::Equal));
        assert_eq!(compare_whole(i128::from(u64::MAX), f64::INFINITY), Some(Ordering::Less));
        assert_eq!(compare_whole(1, f64::NAN), None);
    }
}
