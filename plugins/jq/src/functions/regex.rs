//! Regular expressions: what `test`, `match` and those made of it call.

use std::rc::Rc;

use super::{Entry, arg};
use crate::error::{Res, error, type_error};
use crate::map::Map;
use crate::regex::{Found, Options, Regex};
use crate::value::Val;

pub(super) const FUNCTIONS: &[Entry] =
    &[("_match", 3, |_, input, args| matches(input, arg(args, 0), arg(args, 1), arg(args, 2)))];

fn matches(input: &Val, pattern: &Val, flags: &Val, test: &Val) -> Res<Val> {
    let Val::Str(text) = input else {
        return type_error(input, "cannot be matched, as it is not a string");
    };
    let Val::Str(pattern) = pattern else { return type_error(pattern, "is not a string") };
    let (mut options, mut global) = (Options::default(), false);
    match flags {
        Val::Null => {}
        Val::Str(flags) => {
            for flag in flags.chars() {
                match flag {
                    'g' => global = true,
                    'i' => options.ignore_case = true,
                    'x' => options.extended = true,
                    's' => options.dot_all = true,
                    'm' => options.dot_all = true,
                    'p' => options.dot_all = true,
                    'n' => options.not_empty = true,
                    'l' => options.longest = true,
                    _ => return error(format!("{flags} is not a valid modifier string")),
                }
            }
        }
        _ => return type_error(flags, "is not a string"),
    }
    let failure =
        |fault: &str| error(format!("{pattern} (at offset 0) is not a valid regex: {fault}"));
    let regex = match Regex::new(pattern, options) {
        Ok(regex) => regex,
        Err(fault) => return failure(fault),
    };
    let chars: Vec<char> = text.chars().collect();
    let (mut found, mut from) = (Vec::new(), 0);
    while from <= chars.len() {
        match regex.find(&chars, from) {
            Err(fault) => return failure(fault),
            Ok(None) => break,
            Ok(Some(_)) if test.is_true() => return Ok(Val::Bool(true)),
            Ok(Some(places)) => {
                let (start, end) = places.first().copied().flatten().unwrap_or((from, from));
                from = if end == start { end + 1 } else { end };
                found.push(describe(&regex, &chars, &places));
            }
        }
        if !global {
            break;
        }
    }
    Ok(if test.is_true() { Val::Bool(false) } else { Val::from(found) })
}

/// The object that `match` gives.
fn describe(regex: &Regex, chars: &[char], places: &Found) -> Val {
    let member = |name: &str, value: Val| (Rc::from(name), value);
    let piece = |place: &Option<(usize, usize)>| -> [(Rc<str>, Val); 3] {
        match place {
            Some((start, end)) => {
                let text: String = chars.get(*start..*end).unwrap_or_default().iter().collect();
                [
                    member("offset", Val::from(*start)),
                    member("length", Val::from(end - start)),
                    member("string", Val::from(text)),
                ]
            }
            None => [
                member("offset", Val::from(-1_i64)),
                member("length", Val::from(0_i64)),
                member("string", Val::Null),
            ],
        }
    };
    let captures = places.iter().enumerate().skip(1).map(|(at, place)| -> Val {
        let name = regex.name(at).map_or(Val::Null, Val::from);
        piece(place).into_iter().chain([member("name", name)]).collect()
    });
    let captures: Val = captures.collect();
    let mut whole = Map::default();
    for (name, value) in piece(places.first().unwrap_or(&None)) {
        whole.insert(name, value);
    }
    whole.insert("captures".into(), captures);
    Val::from(whole)
}
