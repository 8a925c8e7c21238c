//! Functions of arrays: in order, in groups, and searched.

use std::cmp::Ordering;

use super::{Entry, arg};
use crate::error::{Res, error, type_error, type_error2};
use crate::ops;
use crate::value::Val;

pub(super) const FUNCTIONS: &[Entry] = &[
    ("sort", 0, |_, input, _| {
        let mut elements = array(input, "cannot be sorted, as it is not an array")?.to_vec();
        elements.sort();
        Ok(Val::from(elements))
    }),
    ("unique", 0, |_, input, _| {
        let mut elements = array(input, "cannot be sorted, as it is not an array")?.to_vec();
        elements.sort();
        elements.dedup();
        Ok(Val::from(elements))
    }),
    ("_sort_by", 1, |_, input, args| {
        Ok(by_key(input, arg(args, 0), "sorted")?.into_iter().map(|(_, value)| value).collect())
    }),
    ("_group_by", 1, |_, input, args| {
        Ok(groups(input, args)?.into_iter().map(Val::from).collect())
    }),
    ("_unique_by", 1, |_, input, args| {
        Ok(groups(input, args)?.into_iter().filter_map(|group| group.into_iter().next()).collect())
    }),
    ("_min_by", 1, |_, input, args| extreme(input, arg(args, 0), Ordering::Less)),
    ("_max_by", 1, |_, input, args| extreme(input, arg(args, 0), Ordering::Greater)),
    ("min", 0, |_, input, _| extreme(input, input, Ordering::Less)),
    ("max", 0, |_, input, _| extreme(input, input, Ordering::Greater)),
    ("reverse", 0, |_, input, _| match input {
        Val::Null => Ok(Val::from(Vec::new())),
        Val::Arr(elements) => Ok(elements.iter().rev().cloned().collect()),
        Val::Str(text) => Ok(Val::from(text.chars().rev().collect::<String>())),
        other => error(format!("Cannot reverse {}", other.kind())),
    }),
    ("_flatten", 1, |_, input, args| {
        let depth = arg(args, 0).as_f64().unwrap_or(0.0);
        let mut flat = Vec::new();
        flatten(input, depth, &mut flat)?;
        Ok(Val::from(flat))
    }),
    ("bsearch", 1, |_, input, args| {
        let elements = array(input, "cannot be searched from")?;
        Ok(match elements.binary_search(arg(args, 0)) {
            Ok(_) => Val::from(elements.partition_point(|element| element < arg(args, 0))),
            Err(at) => Val::from(-1 - at as i64),
        })
    }),
    ("indices", 1, |_, input, args| indices(input, arg(args, 0))),
];

fn array<'v>(input: &'v Val, message: &str) -> Res<&'v [Val]> {
    match input {
        Val::Arr(elements) => Ok(elements),
        _ => type_error(input, message),
    }
}

/// The elements with their keys, in the order of the keys.
fn by_key(input: &Val, keys: &Val, what: &str) -> Res<Vec<(Val, Val)>> {
    let (Val::Arr(elements), Val::Arr(keys)) = (input, keys) else {
        return type_error2(input, keys, &format!("cannot be {what}, as they are not both arrays"));
    };
    let mut pairs: Vec<_> = keys.iter().cloned().zip(elements.iter().cloned()).collect();
    pairs.sort_by(|(left, _), (right, _)| left.cmp(right));
    Ok(pairs)
}

fn groups(input: &Val, args: &[Val]) -> Res<Vec<Vec<Val>>> {
    let mut groups: Vec<(Val, Vec<Val>)> = Vec::new();
    for (key, value) in by_key(input, arg(args, 0), "grouped")? {
        match groups.last_mut() {
            Some((last, group)) if key.cmp(last) == Ordering::Equal => group.push(value),
            _ => groups.push((key, vec![value])),
        }
    }
    Ok(groups.into_iter().map(|(_, group)| group).collect())
}

/// The least or the greatest; of several the first least and the last greatest, as with jq.
fn extreme(input: &Val, keys: &Val, wanted: Ordering) -> Res<Val> {
    let (Val::Arr(elements), Val::Arr(keys)) = (input, keys) else {
        return type_error2(input, keys, "cannot be iterated over");
    };
    let pairs = keys.iter().zip(elements.iter());
    let best = pairs.reduce(|best, next| {
        let order = next.0.cmp(best.0);
        let replace = order == wanted || (order == Ordering::Equal && wanted == Ordering::Greater);
        if replace { next } else { best }
    });
    Ok(best.map(|(_, value)| value.clone()).unwrap_or_default())
}

fn flatten(input: &Val, depth: f64, flat: &mut Vec<Val>) -> Res {
    let values: Vec<&Val> = match input {
        Val::Arr(elements) => elements.iter().collect(),
        Val::Obj(members) => members.iter().map(|(_, value)| value).collect(),
        other => {
            return error(format!(
                "Cannot iterate over {} ({})",
                other.kind(),
                crate::error::short(other, 14)
            ));
        }
    };
    for value in values {
        match value {
            Val::Arr(_) if depth != 0.0 => flatten(value, depth - 1.0, flat)?,
            value => flat.push(value.clone()),
        }
    }
    Ok(())
}

fn indices(input: &Val, wanted: &Val) -> Res<Val> {
    match (input, wanted) {
        (Val::Null, _) => Ok(Val::Null),
        (Val::Str(_), Val::Str(wanted)) if wanted.is_empty() => Ok(Val::Null),
        (Val::Str(text), Val::Str(wanted)) => {
            // Places count in characters; they may overlap.
            let mut found = Vec::new();
            for (place, (at, _)) in text.char_indices().enumerate() {
                if text.get(at..).is_some_and(|rest| rest.starts_with(&**wanted)) {
                    found.push(Val::from(place));
                }
            }
            Ok(Val::from(found))
        }
        (Val::Arr(_), Val::Arr(_)) => ops::index(input, wanted),
        (Val::Arr(_), wanted) => ops::index(input, &Val::from(vec![wanted.clone()])),
        (input, wanted) => ops::index(input, wanted),
    }
}
