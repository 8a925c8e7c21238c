//! Functions of paths.

use super::{Entry, arg};
use crate::error::{Res, Stop, error};
use crate::ops;
use crate::value::Val;

/// Levels that `tostream` goes down.
const MAX_LEVELS: usize = 256;

pub(super) const FUNCTIONS: &[Entry] = &[
    ("setpath", 2, |_, input, args| {
        let Val::Arr(path) = arg(args, 0) else {
            return error("Path must be specified as an array");
        };
        let mut root = input.clone();
        ops::change_at(&mut root, path, &mut |place| {
            *place = arg(args, 1).clone();
            Ok(())
        })?;
        Ok(root)
    }),
    ("_tostream", 0, |_, input, _| {
        let mut events = Vec::new();
        stream(input, &mut Vec::new(), &mut events, MAX_LEVELS)?;
        Ok(Val::from(events))
    }),
    ("delpaths", 1, |_, input, args| {
        let mut root = input.clone();
        ops::delete(&mut root, arg(args, 0))?;
        Ok(root)
    }),
];

/// What `tostream` gives: each leaf with its path, and behind the last member of an array or object
/// that member's path alone.
fn stream(value: &Val, path: &mut Vec<Val>, events: &mut Vec<Val>, levels: usize) -> Res {
    let below = levels.checked_sub(1).ok_or(Stop::Limit("a value is nested too deeply"))?;
    let members: Vec<(Val, &Val)> = match value {
        Val::Arr(elements) => {
            elements.iter().enumerate().map(|(at, element)| (Val::from(at), element)).collect()
        }
        Val::Obj(members) => {
            members.iter().map(|(key, member)| (Val::Str(key.clone()), member)).collect()
        }
        _ => Vec::new(),
    };
    let Some((last, _)) = members.last() else {
        events.push(Val::from(vec![Val::from(path.clone()), value.clone()]));
        return Ok(());
    };
    let last = last.clone();
    for (key, member) in members {
        path.push(key);
        stream(member, path, events, below)?;
        path.pop();
    }
    path.push(last);
    events.push(Val::from(vec![Val::from(path.clone())]));
    path.pop();
    Ok(())
}
