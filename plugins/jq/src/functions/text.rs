//! Functions of text.

use super::{Entry, arg};
use crate::error::{Res, error, type_error};
use crate::number::Num;
use crate::ops;
use crate::value::Val;

pub(super) const FUNCTIONS: &[Entry] = &[
    ("utf8bytelength", 0, |_, input, _| match input {
        Val::Str(text) => Ok(Val::from(text.len())),
        _ => type_error(input, "only strings have UTF-8 byte length"),
    }),
    ("startswith", 1, |_, input, args| match (input, arg(args, 0)) {
        (Val::Str(text), Val::Str(start)) => Ok(Val::Bool(text.starts_with(&**start))),
        _ => error("startswith() requires string inputs"),
    }),
    ("endswith", 1, |_, input, args| match (input, arg(args, 0)) {
        (Val::Str(text), Val::Str(end)) => Ok(Val::Bool(text.ends_with(&**end))),
        _ => error("endswith() requires string inputs"),
    }),
    ("ltrimstr", 1, |_, input, args| Ok(strip(input, arg(args, 0), true, false))),
    ("rtrimstr", 1, |_, input, args| Ok(strip(input, arg(args, 0), false, true))),
    ("trimstr", 1, |_, input, args| Ok(strip(input, arg(args, 0), true, true))),
    ("trim", 0, |_, input, _| trim(input, |text| text.trim_matches(is_space))),
    ("ltrim", 0, |_, input, _| trim(input, |text| text.trim_start_matches(is_space))),
    ("rtrim", 0, |_, input, _| trim(input, |text| text.trim_end_matches(is_space))),
    ("ascii_downcase", 0, |_, input, _| match input {
        Val::Str(text) => Ok(Val::from(text.to_ascii_lowercase())),
        _ => error("ascii_downcase input must be a string"),
    }),
    ("ascii_upcase", 0, |_, input, _| match input {
        Val::Str(text) => Ok(Val::from(text.to_ascii_uppercase())),
        _ => error("ascii_upcase input must be a string"),
    }),
    ("split", 1, |_, input, args| match (input, arg(args, 0)) {
        (Val::Str(text), Val::Str(separator)) => Ok(ops::split(text, separator)),
        _ => error("split input and separator must be strings"),
    }),
    ("explode", 0, |_, input, _| match input {
        Val::Str(text) => Ok(text.chars().map(|character| Val::from(character as i64)).collect()),
        _ => error("explode input must be a string"),
    }),
    ("implode", 0, |_, input, _| implode(input)),
];

fn is_space(character: char) -> bool {
    character.is_whitespace()
}

fn trim(input: &Val, trim: impl Fn(&str) -> &str) -> Res<Val> {
    match input {
        Val::Str(text) => Ok(Val::from(trim(text))),
        _ => error("trim input must be a string"),
    }
}

/// What is no text, or has it not, stays as it is.
fn strip(input: &Val, fix: &Val, left: bool, right: bool) -> Val {
    let (Val::Str(text), Val::Str(fix)) = (input, fix) else { return input.clone() };
    let mut rest: &str = text;
    if left {
        rest = rest.strip_prefix(&**fix).unwrap_or(rest);
    }
    if right {
        rest = rest.strip_suffix(&**fix).unwrap_or(rest);
    }
    Val::from(rest)
}

fn implode(input: &Val) -> Res<Val> {
    let Val::Arr(codes) = input else { return error("implode input must be an array") };
    let mut text = String::with_capacity(codes.len());
    for code in codes.iter() {
        let Val::Num(number) = code else {
            return type_error(code, "can't be imploded, unicode codepoint needs to be numeric");
        };
        text.push(character(number));
    }
    Ok(Val::from(text))
}

/// What is no character is U+FFFD.
fn character(number: &Num) -> char {
    let code = u32::try_from(number.as_index()).ok();
    code.and_then(char::from_u32).unwrap_or(char::REPLACEMENT_CHARACTER)
}
