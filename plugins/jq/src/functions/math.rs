//! Functions of numbers.

use super::{Entry, arg};
use crate::error::{Res, type_error};
use crate::number::Num;
use crate::value::Val;

/// `name` of a double, by a function of libm.
macro_rules! of_one {
    ($($name:literal $function:expr;)*) => {
        &[$(($name, 0, |_, input, _| Ok(Val::from($function(double(input)?)))),)*]
    };
}

pub(super) const FUNCTIONS: &[Entry] = &[
    ("abs", 0, |_, input, _| match input {
        Val::Num(number) => Ok(Val::Num(number.abs())),
        _ => type_error(input, "has no absolute value"),
    }),
    ("floor", 0, |_, input, _| rounded(input, f64::floor)),
    ("ceil", 0, |_, input, _| rounded(input, f64::ceil)),
    ("round", 0, |_, input, _| rounded(input, f64::round)),
    ("trunc", 0, |_, input, _| rounded(input, f64::trunc)),
    ("rint", 0, |_, input, _| rounded(input, f64::round_ties_even)),
    ("nearbyint", 0, |_, input, _| rounded(input, f64::round_ties_even)),
    ("fabs", 0, |_, input, _| match input {
        Val::Num(number) => Ok(Val::Num(number.abs())),
        _ => type_error(input, "number required"),
    }),
    ("infinite", 0, |_, _, _| Ok(Val::from(f64::INFINITY))),
    ("nan", 0, |_, _, _| Ok(Val::from(f64::NAN))),
    ("isinfinite", 0, |_, input, _| Ok(Val::Bool(double(input)?.is_infinite()))),
    ("isnan", 0, |_, input, _| Ok(Val::Bool(double(input)?.is_nan()))),
    ("isnormal", 0, |_, input, _| Ok(Val::Bool(double(input)?.is_normal()))),
    ("frexp", 0, |_, input, _| {
        let (fraction, exponent) = libm::frexp(double(input)?);
        let exponent = if fraction.is_finite() { exponent } else { 0 };
        Ok(Val::from(vec![Val::from(fraction), Val::from(i64::from(exponent))]))
    }),
    ("modf", 0, |_, input, _| {
        let number = double(input)?;
        let fraction = if number.is_infinite() { 0.0 } else { number.fract() };
        Ok(Val::from(vec![Val::from(fraction.copysign(number)), Val::from(number.trunc())]))
    }),
    ("lgamma_r", 0, |_, input, _| {
        let (value, sign) = libm::lgamma_r(double(input)?);
        Ok(Val::from(vec![Val::from(value), Val::from(i64::from(sign))]))
    }),
    ("fma", 3, |_, _, args| {
        let (x, y, z) = (double(arg(args, 0))?, double(arg(args, 1))?, double(arg(args, 2))?);
        Ok(Val::from(libm::fma(x, y, z)))
    }),
    ("pow", 2, |_, _, args| of_two(args, libm::pow)),
    ("atan2", 2, |_, _, args| of_two(args, libm::atan2)),
    ("copysign", 2, |_, _, args| of_two(args, f64::copysign)),
    ("drem", 2, |_, _, args| of_two(args, libm::remainder)),
    ("remainder", 2, |_, _, args| of_two(args, libm::remainder)),
    ("fdim", 2, |_, _, args| of_two(args, libm::fdim)),
    ("fmax", 2, |_, _, args| of_two(args, libm::fmax)),
    ("fmin", 2, |_, _, args| of_two(args, libm::fmin)),
    ("fmod", 2, |_, _, args| of_two(args, libm::fmod)),
    ("hypot", 2, |_, _, args| of_two(args, libm::hypot)),
    ("ldexp", 2, |_, _, args| of_two(args, scaled)),
    ("scalb", 2, |_, _, args| of_two(args, scaled)),
    ("scalbln", 2, |_, _, args| of_two(args, scaled)),
    ("nextafter", 2, |_, _, args| of_two(args, libm::nextafter)),
    ("nexttoward", 2, |_, _, args| of_two(args, libm::nextafter)),
    ("jn", 2, |_, _, args| of_two(args, |n, x| libm::jn(n as i32, x))),
    ("yn", 2, |_, _, args| of_two(args, |n, x| libm::yn(n as i32, x))),
];

pub(super) const LIBM: &[Entry] = of_one! {
    "acos" libm::acos;
    "acosh" libm::acosh;
    "asin" libm::asin;
    "asinh" libm::asinh;
    "atan" libm::atan;
    "atanh" libm::atanh;
    "cbrt" libm::cbrt;
    "cos" libm::cos;
    "cosh" libm::cosh;
    "erf" libm::erf;
    "erfc" libm::erfc;
    "exp" libm::exp;
    "exp10" libm::exp10;
    "pow10" libm::exp10;
    "exp2" libm::exp2;
    "expm1" libm::expm1;
    "gamma" libm::lgamma;
    "lgamma" libm::lgamma;
    "tgamma" libm::tgamma;
    "j0" libm::j0;
    "j1" libm::j1;
    "y0" libm::y0;
    "y1" libm::y1;
    "log" libm::log;
    "log10" libm::log10;
    "log1p" libm::log1p;
    "log2" libm::log2;
    "logb" logb;
    "significand" significand;
    "sin" libm::sin;
    "sinh" libm::sinh;
    "sqrt" f64::sqrt;
    "tan" libm::tan;
    "tanh" libm::tanh;
};

fn double(value: &Val) -> Res<f64> {
    match value.as_f64() {
        Some(number) => Ok(number),
        None => type_error(value, "number required"),
    }
}

fn of_two(args: &[Val], function: impl Fn(f64, f64) -> f64) -> Res<Val> {
    Ok(Val::from(function(double(arg(args, 0))?, double(arg(args, 1))?)))
}

/// A whole number stays as it is, however large.
fn rounded(value: &Val, function: impl Fn(f64) -> f64) -> Res<Val> {
    let number = double(value)?;
    match value {
        Val::Num(whole) if function(number) == number => {
            // What is written with a point, as 1.0, becomes the whole number.
            Ok(Val::Num(whole.add(&Num::from(0_i64))))
        }
        _ => Ok(Val::from(function(number))),
    }
}

/// `number * 2^exponent`.
fn scaled(number: f64, exponent: f64) -> f64 {
    libm::scalbn(number, exponent.clamp(-10_000.0, 10_000.0) as i32)
}

fn logb(number: f64) -> f64 {
    if number == 0.0 {
        f64::NEG_INFINITY
    } else if number.is_infinite() {
        f64::INFINITY
    } else if number.is_nan() {
        number
    } else {
        f64::from(libm::ilogb(number))
    }
}

fn significand(number: f64) -> f64 {
    if number == 0.0 || !number.is_finite() {
        return number;
    }
    libm::scalbn(number, -libm::ilogb(number))
}
