//! The operators between values, and reading and writing what stands at a key.

use std::rc::Rc;

use crate::ast::Math;
use crate::error::{Res, error, type_error2};
use crate::map::Map;
use crate::number::Num;
use crate::value::Val;

/// Bytes of a text that `*` makes of another at most: a mistyped factor is an error and not the end
/// of the sandbox's memory.
const MAX_REPEATED: usize = 16 << 20;

/// An array that assignment to an index makes at most: jq's own bound is higher, the sandbox's
/// memory is not.
const MAX_INDEX: i64 = 1 << 22;

/// `left OP right`.
pub(crate) fn math(op: Math, left: &Val, right: &Val) -> Res<Val> {
    match op {
        Math::Add => add(left, right),
        Math::Sub => sub(left, right),
        Math::Mul => mul(left, right),
        Math::Div => div(left, right),
        Math::Rem => rem(left, right),
        Math::Eq => Ok(Val::Bool(left == right)),
        Math::Ne => Ok(Val::Bool(left != right)),
        Math::Lt => Ok(Val::Bool(is_less(left, right))),
        Math::Le => Ok(Val::Bool(left <= right || is_less(left, right))),
        Math::Gt => Ok(Val::Bool(!(left <= right || is_less(left, right)))),
        Math::Ge => Ok(Val::Bool(!is_less(left, right))),
    }
}

/// NaN is less than every number, and than itself.
fn is_less(left: &Val, right: &Val) -> bool {
    matches!((left, right), (Val::Num(left), Val::Num(_)) if left.is_nan()) || left < right
}

fn add(left: &Val, right: &Val) -> Res<Val> {
    Ok(match (left, right) {
        (Val::Null, other) | (other, Val::Null) => other.clone(),
        (Val::Num(left), Val::Num(right)) => Val::Num(left.add(right)),
        (Val::Str(left), Val::Str(right)) => Val::from(format!("{left}{right}")),
        (Val::Arr(left), Val::Arr(right)) => left.iter().chain(right.iter()).cloned().collect(),
        (Val::Obj(left), Val::Obj(right)) => {
            let mut sum = (**left).clone();
            for (key, value) in right.iter() {
                sum.insert(Rc::clone(key), value.clone());
            }
            Val::from(sum)
        }
        _ => return type_error2(left, right, "cannot be added"),
    })
}

/// `left + right` where nobody else needs `left`: grows an array in place, so that building one
/// element by element takes time with its length and not with its square.
pub(crate) fn add_owned(left: Val, right: &Val) -> Res<Val> {
    match (left, right) {
        (Val::Arr(mut left), Val::Arr(right)) => {
            Rc::make_mut(&mut left).extend(right.iter().cloned());
            Ok(Val::Arr(left))
        }
        (Val::Obj(mut left), Val::Obj(right)) => {
            let sum = Rc::make_mut(&mut left);
            for (key, value) in right.iter() {
                sum.insert(Rc::clone(key), value.clone());
            }
            Ok(Val::Obj(left))
        }
        (left, right) => add(&left, right),
    }
}

fn sub(left: &Val, right: &Val) -> Res<Val> {
    match (left, right) {
        (Val::Num(left), Val::Num(right)) => Ok(Val::Num(left.sub(right))),
        (Val::Arr(left), Val::Arr(right)) => {
            Ok(left.iter().filter(|element| !right.contains(element)).cloned().collect())
        }
        _ => type_error2(left, right, "cannot be subtracted"),
    }
}

fn mul(left: &Val, right: &Val) -> Res<Val> {
    match (left, right) {
        (Val::Num(left), Val::Num(right)) => Ok(Val::Num(left.mul(right))),
        (Val::Str(text), Val::Num(times)) | (Val::Num(times), Val::Str(text)) => {
            let times = times.as_f64();
            if times.is_nan() || times < 0.0 {
                return Ok(Val::Null);
            }
            let times = times as usize;
            match text.len().checked_mul(times) {
                Some(length) if length <= MAX_REPEATED => Ok(Val::from(text.repeat(times))),
                _ => error("Repeat string result too long"),
            }
        }
        (Val::Obj(left), Val::Obj(right)) => Ok(Val::from(merge(left, right))),
        _ => type_error2(left, right, "cannot be multiplied"),
    }
}

fn merge(left: &Map, right: &Map) -> Map {
    let mut merged = left.clone();
    for (key, value) in right.iter() {
        let value = match (merged.get(key), value) {
            (Some(Val::Obj(left)), Val::Obj(right)) => Val::from(merge(left, right)),
            _ => value.clone(),
        };
        merged.insert(Rc::clone(key), value);
    }
    merged
}

fn div(left: &Val, right: &Val) -> Res<Val> {
    match (left, right) {
        (Val::Num(dividend), Val::Num(divisor)) => match dividend.div(divisor) {
            Some(quotient) => Ok(Val::Num(quotient)),
            None => type_error2(left, right, "cannot be divided because the divisor is zero"),
        },
        (Val::Str(left), Val::Str(right)) => Ok(split(left, right)),
        _ => type_error2(left, right, "cannot be divided"),
    }
}

fn rem(left: &Val, right: &Val) -> Res<Val> {
    match (left, right) {
        (Val::Num(dividend), Val::Num(divisor)) => match dividend.rem(divisor) {
            Some(rest) => Ok(Val::Num(rest)),
            None => type_error2(
                left,
                right,
                "cannot be divided (remainder) because the divisor is zero",
            ),
        },
        _ => type_error2(left, right, "cannot be divided (remainder)"),
    }
}

/// The pieces of a text between a separator; its characters if that is empty.
pub(crate) fn split(text: &str, separator: &str) -> Val {
    match (text, separator) {
        ("", _) => Val::from(Vec::new()),
        (text, "") => text.chars().map(|character| Val::from(character.to_string())).collect(),
        (text, separator) => text.split(separator).map(Val::from).collect(),
    }
}

/// `value[key]`.
pub(crate) fn index(value: &Val, key: &Val) -> Res<Val> {
    Ok(match (value, key) {
        (Val::Obj(members), Val::Str(key)) => members.get(key).cloned().unwrap_or_default(),
        (Val::Arr(elements), Val::Num(index)) => match place(index, elements.len()) {
            Some(at) => elements.get(at).cloned().unwrap_or_default(),
            None => Val::Null,
        },
        (Val::Arr(elements), Val::Obj(range)) => {
            let (start, end) = bounds(range, elements.len())?;
            elements.get(start..end).unwrap_or_default().iter().cloned().collect()
        }
        (Val::Str(text), Val::Obj(range)) => {
            let (start, end) = bounds(range, text.chars().count())?;
            Val::from(text.chars().skip(start).take(end - start).collect::<String>())
        }
        (Val::Arr(elements), Val::Arr(wanted)) => indices(elements, wanted),
        (Val::Null, Val::Str(_) | Val::Num(_) | Val::Obj(_)) => Val::Null,
        (value, Val::Str(key)) if key.len() < 30 => {
            return error(format!("Cannot index {} with string \"{key}\"", value.kind()));
        }
        (value, key) => {
            return error(format!("Cannot index {} with {}", value.kind(), key.kind()));
        }
    })
}

/// The element that an index means; from the end if it is negative.
fn place(index: &Num, length: usize) -> Option<usize> {
    if index.is_nan() {
        return None;
    }
    let index = index.as_index();
    let at = if index < 0 { index.checked_add(i64::try_from(length).ok()?)? } else { index };
    usize::try_from(at).ok()
}

/// Where `wanted` begins in `elements`.
fn indices(elements: &[Val], wanted: &[Val]) -> Val {
    if wanted.is_empty() {
        return Val::Null;
    }
    let windows = elements.windows(wanted.len()).enumerate();
    windows.filter(|(_, window)| *window == wanted).map(|(at, _)| Val::from(at)).collect()
}

/// Start and end of a slice, within `0..=length`. The start rounds down, the end up.
pub(crate) fn bounds(range: &Map, length: usize) -> Res<(usize, usize)> {
    let length = length as f64;
    let bound = |key, missing: f64| match range.get(key) {
        None | Some(Val::Null) => Ok(missing),
        Some(Val::Num(number)) => {
            let number = number.as_f64();
            let number = if number.is_nan() { missing } else { number };
            Ok(if number < 0.0 { (number + length).max(0.0) } else { number.min(length) })
        }
        Some(_) => error("Start and end indices of an array slice must be numbers"),
    };
    let (start, end) = (bound("start", 0.0)?.floor(), bound("end", length)?.ceil());
    Ok((start as usize, end.max(start) as usize))
}

/// What stands at `key` is replaced; what is null becomes an object or array for it. The value is
/// taken out, given to `change` and put back, so that nothing is copied that only we hold.
pub(crate) fn change(root: &mut Val, key: &Val, change: &mut dyn FnMut(&mut Val) -> Res) -> Res {
    if matches!(root, Val::Null) {
        match key {
            Val::Str(_) => *root = Val::from(Map::default()),
            Val::Num(_) | Val::Obj(_) => *root = Val::from(Vec::new()),
            _ => {}
        }
    }
    match (root, key) {
        (Val::Obj(members), Val::Str(key)) => {
            let members = Rc::make_mut(members);
            match members.get_mut(key) {
                Some(value) => change(value),
                None => {
                    let mut value = Val::Null;
                    change(&mut value)?;
                    members.insert(Rc::clone(key), value);
                    Ok(())
                }
            }
        }
        (Val::Arr(elements), Val::Num(index)) => {
            if index.is_nan() {
                return error("Cannot set array element at NaN index");
            }
            let Some(at) = place(index, elements.len()) else {
                return error("Out of bounds negative array index");
            };
            if index.as_index() >= MAX_INDEX {
                return error("Array index too large");
            }
            let elements = Rc::make_mut(elements);
            if elements.len() <= at {
                let mut value = Val::Null;
                change(&mut value)?;
                elements.resize(at, Val::Null);
                elements.push(value);
                return Ok(());
            }
            elements.get_mut(at).map_or(Ok(()), change)
        }
        (Val::Arr(elements), Val::Obj(range)) => {
            let (start, end) = bounds(range, elements.len())?;
            let mut slice: Val =
                elements.get(start..end).unwrap_or_default().iter().cloned().collect();
            change(&mut slice)?;
            let Val::Arr(slice) = slice else {
                return error("A slice of an array can only be assigned another array");
            };
            Rc::make_mut(elements).splice(start..end, slice.iter().cloned());
            Ok(())
        }
        (Val::Str(_), Val::Obj(_)) => error("Cannot update string slices"),
        (Val::Arr(_), Val::Arr(_)) => error("Cannot update field at array index of array"),
        (root, key) => {
            // What cannot be read is said in the words of reading.
            index(root, key)?;
            error(format!("Cannot update field at {} index of {}", key.kind(), root.kind()))
        }
    }
}

/// As [`change`], along a path.
pub(crate) fn change_at(
    root: &mut Val,
    path: &[Val],
    last: &mut dyn FnMut(&mut Val) -> Res,
) -> Res {
    match path.split_first() {
        None => last(root),
        Some((key, rest)) => change(root, key, &mut |value| change_at(value, rest, last)),
    }
}

/// What stands at the end of a path.
pub(crate) fn get_at(root: &Val, path: &[Val]) -> Res<Val> {
    path.iter().try_fold(root.clone(), |value, key| index(&value, key))
}

/// Removes what stands at these paths, which are sorted and of the length `done` at least.
fn delete_sorted(root: &mut Val, mut paths: &[&[Val]], done: usize) -> Res {
    let mut whole: Vec<Val> = Vec::new();
    while let Some(key) = paths.first().and_then(|path| path.get(done)) {
        let same = paths.iter().take_while(|path| path.get(done) == Some(key)).count();
        let (group, rest) = paths.split_at(same);
        paths = rest;
        if group.first().is_some_and(|path| path.len() == done + 1) {
            whole.push(key.clone());
        } else if !matches!(index(root, key)?, Val::Null) {
            change(root, key, &mut |value| delete_sorted(value, group, done + 1))?;
        }
    }
    delete_keys(root, &whole)
}

fn delete_keys(root: &mut Val, keys: &[Val]) -> Res {
    match root {
        _ if keys.is_empty() => Ok(()),
        Val::Null => Ok(()),
        Val::Obj(members) => {
            for key in keys {
                let Val::Str(name) = key else {
                    return error(format!("Cannot delete {} field of object", key.kind()));
                };
                Rc::make_mut(members).remove(name);
            }
            Ok(())
        }
        Val::Arr(elements) => {
            let mut gone = vec![false; elements.len()];
            for key in keys {
                let range = match key {
                    Val::Num(index) => {
                        place(index, elements.len()).map_or(0..0, |at| at..at.saturating_add(1))
                    }
                    Val::Obj(range) => {
                        let (start, end) = bounds(range, elements.len())?;
                        start..end
                    }
                    _ => {
                        return error(format!("Cannot delete {} element of array", key.kind()));
                    }
                };
                gone.iter_mut().take(range.end).skip(range.start).for_each(|gone| *gone = true);
            }
            let mut gone = gone.into_iter();
            Rc::make_mut(elements).retain(|_| !gone.next().unwrap_or(false));
            Ok(())
        }
        root => error(format!("Cannot delete fields from {}", root.kind())),
    }
}

/// Removes what stands at these paths.
pub(crate) fn delete(root: &mut Val, paths: &Val) -> Res {
    let Val::Arr(paths) = paths else { return error("Paths must be specified as an array") };
    let mut sorted: Vec<&Val> = paths.iter().collect();
    sorted.sort();
    let mut arrays: Vec<&[Val]> = Vec::with_capacity(sorted.len());
    for path in sorted {
        let Val::Arr(path) = path else {
            return error(format!("Path must be specified as array, not {}", path.kind()));
        };
        arrays.push(path);
    }
    match arrays.first() {
        None => Ok(()),
        Some([]) => {
            *root = Val::Null;
            Ok(())
        }
        Some(_) => delete_sorted(root, &arrays, 0),
    }
}
