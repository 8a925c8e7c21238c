//! Functions of any value: conversion, errors, and what a value is.

use super::{Entry, arg, call_format};
use crate::error::{Res, Stop, error, type_error};
use crate::eval::Log;
use crate::json::{from_json, to_json};
use crate::map::Map;
use crate::number::parse_loose;
use crate::value::Val;

pub(super) const FUNCTIONS: &[Entry] = &[
    ("error", 0, |_, input, _| Err(Stop::Error(input.clone()))),
    ("not", 0, |_, input, _| Ok(Val::Bool(!input.is_true()))),
    ("type", 0, |_, input, _| Ok(Val::from(input.kind()))),
    ("length", 0, |_, input, _| length(input)),
    ("tostring", 0, |_, input, _| Ok(to_string(input))),
    ("tojson", 0, |_, input, _| Ok(Val::Str(to_json(input)))),
    ("fromjson", 0, |_, input, _| parse(input)),
    ("tonumber", 0, |_, input, _| to_number(input)),
    ("toboolean", 0, |_, input, _| match input {
        Val::Bool(_) => Ok(input.clone()),
        Val::Str(text) if &**text == "true" => Ok(Val::Bool(true)),
        Val::Str(text) if &**text == "false" => Ok(Val::Bool(false)),
        _ => type_error(input, "cannot be parsed as a boolean"),
    }),
    ("toarray", 0, |_, input, _| {
        Ok(if matches!(input, Val::Arr(_)) {
            input.clone()
        } else {
            Val::from(vec![input.clone()])
        })
    }),
    ("format", 1, |machine, input, args| match arg(args, 0) {
        Val::Str(name) => match call_format(machine, name, input) {
            Some(formatted) => formatted,
            None => error(format!("{name} is not a valid format")),
        },
        other => type_error(other, "is not a valid format"),
    }),
    ("keys", 0, |_, input, _| keys(input, true)),
    ("keys_unsorted", 0, |_, input, _| keys(input, false)),
    ("to_entries", 0, |_, input, _| entries(input)),
    ("has", 1, |_, input, args| has(input, arg(args, 0))),
    ("contains", 1, |_, input, args| {
        let part = arg(args, 0);
        if input.kind() == part.kind() {
            Ok(Val::Bool(contains(input, part)))
        } else {
            crate::error::type_error2(input, part, "cannot have their containment checked")
        }
    }),
    ("now", 0, |machine, _, _| Ok(Val::from(machine.now_micros as f64 / 1e6))),
    ("debug", 0, |machine, input, _| {
        (machine.log)(Log::Debug, &to_json(input));
        Ok(input.clone())
    }),
    ("stderr", 0, |machine, input, _| {
        (machine.log)(Log::Stderr, &to_json(input));
        Ok(input.clone())
    }),
    ("halt", 0, |_, _, _| Err(Stop::Halt(0, None))),
    ("halt_error", 1, |_, input, args| match arg(args, 0).as_f64() {
        Some(status) => Err(Stop::Halt(status as i32, Some(input.clone()))),
        None => error("halt_error/1: number required"),
    }),
    ("have_decnum", 0, |_, _, _| Ok(Val::Bool(true))),
    ("have_literal_numbers", 0, |_, _, _| Ok(Val::Bool(true))),
];

fn length(input: &Val) -> Res<Val> {
    Ok(match input {
        Val::Null => Val::from(0_i64),
        Val::Num(number) => Val::Num(number.abs()),
        Val::Str(text) => Val::from(text.chars().count()),
        Val::Arr(elements) => Val::from(elements.len()),
        Val::Obj(members) => Val::from(members.len()),
        Val::Bool(_) => return type_error(input, "has no length"),
    })
}

/// The text itself, of anything else its JSON.
pub(super) fn to_string(input: &Val) -> Val {
    match input {
        Val::Str(_) => input.clone(),
        input => Val::Str(to_json(input)),
    }
}

fn parse(input: &Val) -> Res<Val> {
    let Val::Str(text) = input else { return type_error(input, "only strings can be parsed") };
    match from_json(text) {
        Ok(value) => Ok(value),
        Err(fault) => {
            let fault = fault.to_string();
            let what = fault.rsplit(": ").next().unwrap_or_default().replace("the body", "it");
            error(format!("{what} (while parsing '{text}')"))
        }
    }
}

fn to_number(input: &Val) -> Res<Val> {
    match input {
        Val::Num(_) => Ok(input.clone()),
        Val::Str(text) => match parse_loose(text) {
            Some(number) => Ok(Val::Num(number)),
            None => type_error(input, "cannot be parsed as a number"),
        },
        _ => type_error(input, "cannot be parsed as a number"),
    }
}

fn keys(input: &Val, sorted: bool) -> Res<Val> {
    Ok(match input {
        Val::Obj(members) if sorted => {
            members.sorted().into_iter().map(|(key, _)| Val::Str(key)).collect()
        }
        Val::Obj(members) => members.iter().map(|(key, _)| Val::Str(key.clone())).collect(),
        Val::Arr(elements) => (0..elements.len()).map(Val::from).collect(),
        _ => return type_error(input, "has no keys"),
    })
}

fn entries(input: &Val) -> Res<Val> {
    let entry = |key: Val, value: &Val| -> Val {
        let mut entry = Map::with_capacity(2);
        entry.insert("key".into(), key);
        entry.insert("value".into(), value.clone());
        Val::from(entry)
    };
    match input {
        Val::Obj(members) => {
            Ok(members.iter().map(|(key, value)| entry(Val::Str(key.clone()), value)).collect())
        }
        Val::Arr(elements) => {
            Ok(elements.iter().enumerate().map(|(at, value)| entry(at.into(), value)).collect())
        }
        _ => type_error(input, "has no keys"),
    }
}

fn has(input: &Val, key: &Val) -> Res<Val> {
    match (input, key) {
        (Val::Null, _) => Ok(Val::Bool(false)),
        (Val::Obj(members), Val::Str(key)) => Ok(Val::Bool(members.get(key).is_some())),
        (Val::Arr(elements), Val::Num(index)) => {
            let index = if index.is_nan() { -1 } else { index.as_index() };
            Ok(Val::Bool(usize::try_from(index).is_ok_and(|at| at < elements.len())))
        }
        _ => error(format!("Cannot check whether {} has a {} key", input.kind(), key.kind())),
    }
}

fn contains(whole: &Val, part: &Val) -> bool {
    match (whole, part) {
        (Val::Obj(whole), Val::Obj(part)) => {
            part.iter().all(|(key, part)| whole.get(key).is_some_and(|whole| contains(whole, part)))
        }
        (Val::Arr(whole), Val::Arr(part)) => {
            part.iter().all(|part| whole.iter().any(|whole| contains(whole, part)))
        }
        (Val::Str(whole), Val::Str(part)) => whole.contains(&**part),
        (whole, part) => whole == part,
    }
}
