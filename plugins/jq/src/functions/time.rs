//! Functions of time. There is no time zone but UTC here.

mod clock;
mod parse;

use super::{Entry, arg};
use crate::error::{Res, error};
use crate::value::Val;
use clock::Clock;

pub(super) const FUNCTIONS: &[Entry] = &[
    ("gmtime", 0, |_, input, _| match input.as_f64() {
        Some(seconds) => Ok(Clock::at(seconds).to_val()),
        None => error("gmtime() requires numeric inputs"),
    }),
    ("mktime", 0, |_, input, _| {
        if !matches!(input, Val::Arr(_)) {
            return error("mktime requires array of 6 numbers");
        }
        match Clock::from_val(input) {
            Some(clock) => Ok(Val::from(clock.seconds())),
            None => error("mktime requires parsed datetime inputs"),
        }
    }),
    ("timegm", 0, |_, input, _| match Clock::from_val(input) {
        Some(clock) => Ok(Val::from(clock.seconds())),
        None => error("timegm requires parsed datetime inputs"),
    }),
    ("strftime", 1, |_, input, args| {
        let clock = match input.as_f64() {
            Some(seconds) => Some(Clock::at(seconds)),
            None => Clock::from_val(input),
        };
        let Some(clock) = clock else {
            return error("strftime/1 requires parsed datetime inputs");
        };
        match arg(args, 0) {
            Val::Str(format) => Ok(Val::from(clock.format(format))),
            _ => error("strftime/1 requires a string format"),
        }
    }),
    ("strptime", 1, |_, input, args| strptime(input, arg(args, 0))),
];

fn strptime(input: &Val, format: &Val) -> Res<Val> {
    let (Val::Str(text), Val::Str(format)) = (input, format) else {
        return error("strptime/1 requires string inputs and arguments");
    };
    match parse::parse(text, format) {
        Some(clock) => Ok(clock.to_val()),
        None => error(format!("date \"{text}\" does not match format \"{format}\"")),
    }
}
