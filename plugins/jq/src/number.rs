//! Numbers: exact where they are whole, as written where nothing touched them, doubles otherwise.

mod compare;
mod text;

use std::rc::Rc;

pub(crate) use text::parse_loose;

/// The largest double, for what is beyond it: JSON has no infinity.
pub(crate) const LARGEST: f64 = f64::MAX;

/// The largest whole number up to which every one is a double.
const EXACT_DOUBLE: f64 = 9_007_199_254_740_992.0;

/// A number.
#[derive(Clone, Debug)]
pub struct Num(Repr);

#[derive(Clone, Debug)]
enum Repr {
    Int(i64),
    Float(f64),
    /// A number in JSON's notation, checked: with a point or an exponent, -0, or beyond 64 bits.
    Text(Rc<str>),
}

impl From<i64> for Num {
    fn from(number: i64) -> Self {
        Self(Repr::Int(number))
    }
}

impl From<f64> for Num {
    fn from(number: f64) -> Self {
        Self(Repr::Float(number))
    }
}

impl Num {
    /// The nearest double; beyond the largest one it is that.
    pub fn as_f64(&self) -> f64 {
        match &self.0 {
            Repr::Int(number) => *number as f64,
            Repr::Float(number) => *number,
            Repr::Text(text) => text.parse::<f64>().unwrap_or(f64::NAN).clamp(-LARGEST, LARGEST),
        }
    }

    /// A whole number that is known exactly.
    fn as_int(&self) -> Option<i128> {
        match &self.0 {
            Repr::Int(number) => Some(i128::from(*number)),
            Repr::Float(number)
                if number.fract() == 0.0
                    && number.abs() <= EXACT_DOUBLE
                    && !(*number == 0.0 && number.is_sign_negative()) =>
            {
                Some(*number as i128)
            }
            Repr::Float(_) => None,
            Repr::Text(text) if &**text == "-0" => None,
            Repr::Text(text) => text.parse().ok(),
        }
    }

    fn from_int(number: i128) -> Self {
        match i64::try_from(number) {
            Ok(number) => Self(Repr::Int(number)),
            Err(_) => Self(Repr::Text(number.to_string().into())),
        }
    }

    fn whole(
        &self,
        other: &Self,
        exact: impl Fn(i128, i128) -> Option<i128>,
        double: impl Fn(f64, f64) -> f64,
    ) -> Self {
        let both = self.as_int().zip(other.as_int());
        match both.and_then(|(left, right)| exact(left, right)) {
            Some(number) => Self::from_int(number),
            None => Self::from(double(self.as_f64(), other.as_f64())),
        }
    }

    /// The sum.
    #[must_use]
    pub fn add(&self, other: &Self) -> Self {
        if let (Repr::Int(left), Repr::Int(right)) = (&self.0, &other.0)
            && let Some(sum) = left.checked_add(*right)
        {
            return Self::from(sum);
        }
        self.whole(other, i128::checked_add, |left, right| left + right)
    }

    /// The difference.
    #[must_use]
    pub fn sub(&self, other: &Self) -> Self {
        self.whole(other, i128::checked_sub, |left, right| left - right)
    }

    /// The product.
    #[must_use]
    pub fn mul(&self, other: &Self) -> Self {
        if let (Repr::Int(left), Repr::Int(right)) = (&self.0, &other.0)
            && let Some(product) = left.checked_mul(*right)
        {
            return Self::from(product);
        }
        self.whole(other, i128::checked_mul, |left, right| left * right)
    }

    /// The quotient; none of zero.
    pub fn div(&self, other: &Self) -> Option<Self> {
        if other.as_f64() == 0.0 {
            return None;
        }
        let exact = |left: i128, right: i128| {
            (left.checked_rem(right)? == 0).then(|| left.checked_div(right))?
        };
        Some(self.whole(other, exact, |left, right| left / right))
    }

    /// The remainder of whole numbers, with the sign of the first; none of zero.
    pub fn rem(&self, other: &Self) -> Option<Self> {
        if self.as_f64().is_nan() || other.as_f64().is_nan() {
            return Some(Self::from(f64::NAN));
        }
        let whole = |number: &Self| number.as_int().unwrap_or(number.as_f64() as i64 as i128);
        let (left, right) = (whole(self), whole(other));
        (right != 0).then(|| Self::from_int(left.checked_rem(right).unwrap_or(0)))
    }

    /// With the other sign.
    #[must_use]
    pub fn neg(&self) -> Self {
        match &self.0 {
            Repr::Int(0) => Self::from(-0.0),
            Repr::Int(number) => Self::from_int(-i128::from(*number)),
            Repr::Float(number) => Self::from(-number),
            Repr::Text(text) => match text.strip_prefix('-') {
                Some(positive) => Self::from_valid(positive),
                None => Self::from_valid(&format!("-{text}")),
            },
        }
    }

    /// Without its sign.
    #[must_use]
    pub fn abs(&self) -> Self {
        match &self.0 {
            Repr::Text(text) if text.starts_with('-') => self.neg(),
            Repr::Int(number) if *number < 0 => self.neg(),
            Repr::Float(number) => Self::from(number.abs()),
            _ => self.clone(),
        }
    }

    /// Whether it was computed as a double, and is not a number.
    pub fn is_nan(&self) -> bool {
        matches!(self.0, Repr::Float(number) if number.is_nan())
    }

    /// The index that it is, rounded down.
    pub(crate) fn as_index(&self) -> i64 {
        match &self.0 {
            Repr::Int(number) => *number,
            _ => self.as_f64() as i64,
        }
    }
}

#[cfg(test)]
mod tests;
