//! Functions that run their arguments themselves: paths, loops, and those that end early.

use std::rc::Rc;

use super::{Machine, Out, caught, each};
use crate::env::Env;
use crate::error::{Res, Stop, error, short, type_error};
use crate::functions::Form;
use crate::map::Map;
use crate::node::Node;
use crate::number::Num;
use crate::ops;
use crate::track::{Traced, Track};
use crate::value::Val;

/// Levels that `recurse` and `walk` go down.
const MAX_LEVELS: usize = 256;

impl<'p> Machine<'p> {
    pub(super) fn form<T: Track>(
        &self,
        form: Form,
        args: &'p [Node],
        env: &Env<'p>,
        input: T,
        out: Out<'_, T>,
    ) -> Res {
        match (form, args) {
            (Form::Empty, _) => Ok(()),
            (Form::Path, [query]) => {
                self.eval(query, env, Traced::root(input.val().clone()), &mut |found: Traced| {
                    out(input.calculated(Val::from(found.into_path()?.0)))
                })
            }
            (Form::GetPath, [path]) => self.values(path, env, input.val(), &mut |path| {
                let Val::Arr(keys) = path else {
                    return error("Path must be specified as an array");
                };
                input.check(|| {
                    let (path, value) = (Val::Arr(Rc::clone(&keys)), input.val());
                    format!(
                        "near attempt to access element {} of {}",
                        short(&path, 14),
                        short(value, 29)
                    )
                })?;
                let found = keys.iter().try_fold(input.clone(), |value, key| {
                    Ok(value.child(|| key.clone(), ops::index(value.val(), key)?))
                });
                out(found?)
            }),
            (Form::Select, [cond]) => self.values(cond, env, input.val(), &mut |truth| {
                if truth.is_true() { out(input.clone()) } else { Ok(()) }
            }),
            (Form::Recurse, _) => recurse(&input, MAX_LEVELS, out),
            (Form::Walk, [query]) => self.walk(query, env, input.val(), MAX_LEVELS, &mut |value| {
                out(input.calculated(value))
            }),
            (Form::First, [query]) => {
                let label = self.label();
                let mut first = None;
                let result = self.eval(query, env, input, &mut |value| {
                    first = Some(value);
                    Err(Stop::Break(label))
                });
                caught(label, result)?;
                first.map_or(Ok(()), out)
            }
            (Form::Last, [query]) => {
                let mut last = None;
                self.eval(query, env, input, &mut |value| {
                    last = Some(value);
                    Ok(())
                })?;
                last.map_or(Ok(()), out)
            }
            (Form::IsEmpty, [query]) => {
                let empty = self.first(query, env, input.val().clone())?.is_none();
                out(input.calculated(Val::Bool(empty)))
            }
            (Form::Limit, [count, query]) => self.values(count, env, input.val(), &mut |count| {
                self.limit(&count, query, env, &input, out)
            }),
            (Form::Range, [from, to]) => self.values(from, env, input.val(), &mut |from| {
                self.values(to, env, input.val(), &mut |to| {
                    range(&from, &to, &Val::from(1_i64), &mut |value| out(input.calculated(value)))
                })
            }),
            (Form::Range, [from, to, by]) => self.values(from, env, input.val(), &mut |from| {
                self.values(to, env, input.val(), &mut |to| {
                    self.values(by, env, input.val(), &mut |by| {
                        range(&from, &to, &by, &mut |value| out(input.calculated(value)))
                    })
                })
            }),
            _ => Err(Stop::Limit("a function has not its arguments")),
        }
    }

    fn limit<T: Track>(
        &self,
        count: &Val,
        query: &'p Node,
        env: &Env<'p>,
        input: &T,
        out: Out<'_, T>,
    ) -> Res {
        let Some(count) = count.as_f64() else {
            return type_error(count, "cannot be a count");
        };
        if count < 0.0 {
            return error("limit doesn't support negative count");
        }
        if count == 0.0 {
            return Ok(());
        }
        let (label, mut done) = (self.label(), 0.0);
        let result = self.eval(query, env, input.clone(), &mut |value| {
            done += 1.0;
            out(value)?;
            if done >= count { Err(Stop::Break(label)) } else { Ok(()) }
        });
        caught(label, result)
    }

    /// Runs an expression on everything within a value, then on what comes of it.
    fn walk(
        &self,
        query: &'p Node,
        env: &Env<'p>,
        value: &Val,
        levels: usize,
        out: Out<'_, Val>,
    ) -> Res {
        let below = levels.checked_sub(1).ok_or(Stop::Limit("a value is nested too deeply"))?;
        let built = match value {
            Val::Arr(elements) => {
                let mut built = Vec::with_capacity(elements.len());
                for element in elements.iter() {
                    self.walk(query, env, element, below, &mut |value| {
                        built.push(value);
                        Ok(())
                    })?;
                }
                Val::from(built)
            }
            Val::Obj(members) => {
                let mut built = Map::with_capacity(members.len());
                for (key, member) in members.iter() {
                    let mut first = None;
                    self.walk(query, env, member, below, &mut |value| {
                        first.get_or_insert(value);
                        Ok(())
                    })?;
                    if let Some(first) = first {
                        built.insert(Rc::clone(key), first);
                    }
                }
                Val::from(built)
            }
            value => value.clone(),
        };
        self.values(query, env, &built, out)
    }
}

/// A value, and all that is in it.
fn recurse<T: Track>(value: &T, levels: usize, out: Out<'_, T>) -> Res {
    let below = levels.checked_sub(1).ok_or(Stop::Limit("a value is nested too deeply"))?;
    out(value.clone())?;
    each(value, true, &mut |child| recurse(&child, below, out))
}

/// Numbers from one to before another.
fn range(from: &Val, to: &Val, by: &Val, out: Out<'_, Val>) -> Res {
    let (Val::Num(from), Val::Num(to), Val::Num(by)) = (from, to, by) else {
        return error("Range bounds must be numeric");
    };
    let (to, step) = (to.as_f64(), by.as_f64());
    let mut at: Num = from.clone();
    while (step > 0.0 && at.as_f64() < to) || (step < 0.0 && at.as_f64() > to) {
        out(Val::Num(at.clone()))?;
        at = at.add(by);
    }
    Ok(())
}
