//! Expressions that have exactly one result: evaluated without passing it on.

use super::{Machine, calculate, index, lost, member_key, negate, range_key};
use crate::env::{Bound, Env};
use crate::error::{Res, Stop};
use crate::map::Map;
use crate::node::{Kind, Node};
use crate::ops;
use crate::track::Track;
use crate::value::Val;

impl<'p> Machine<'p> {
    /// Whether an expression has exactly one result here: what a caller passed is looked at.
    pub(super) fn is_single(&self, node: &'p Node, env: &Env<'p>) -> bool {
        node.single || passed(node, env).is_some_and(|(query, _)| query.single)
    }

    /// The result of an expression that has exactly one.
    pub(crate) fn one<T: Track>(&self, node: &'p Node, env: &Env<'p>, input: &T) -> Res<T> {
        Ok(match &node.kind {
            Kind::Id => input.clone(),
            Kind::Const(value) => input.calculated(value.clone()),
            Kind::Var(place) => match env.get(*place) {
                Some(Bound::Value(value)) => input.calculated(value.clone()),
                _ => return lost(),
            },
            Kind::Index { of, key, .. } => match (&of.kind, &key.kind) {
                (Kind::Id, Kind::Const(key)) => index(input, key)?,
                _ => {
                    let key = self.one(key, env, input.val())?;
                    index(&self.one(of, env, input)?, &key)?
                }
            },
            Kind::Slice { of, from, to, .. } => {
                let to = self.one(to, env, input.val())?;
                let key = range_key(self.one(from, env, input.val())?, to);
                index(&self.one(of, env, input)?, &key)?
            }
            Kind::Pipe(left, right) => self.one(right, env, &self.one(left, env, input)?)?,
            Kind::If { cond, then, other } => {
                let truth = self.one(cond, env, input.val())?.is_true();
                self.one(if truth { then } else { other }, env, input)?
            }
            Kind::Param(_) => match passed(node, env) {
                Some((query, outer)) => self.one(query, &outer, input)?,
                None => return lost(),
            },
            Kind::Form(..) | Kind::Call { .. } => {
                let mut result = None;
                self.eval(node, env, input.clone(), &mut |value| {
                    result = Some(value);
                    Ok(())
                })?;
                return result.ok_or(Stop::Limit("an expression has no result"));
            }
            _ => input.calculated(self.plain(node, env, input.val())?),
        })
    }

    /// What is calculated, and stands nowhere in the input.
    fn plain(&self, node: &'p Node, env: &Env<'p>, input: &Val) -> Res<Val> {
        match &node.kind {
            Kind::Neg(inner) => negate(&self.one(inner, env, input)?),
            Kind::Math(math, left, right) => {
                let right = self.one(right, env, input)?;
                calculate(*math, self.one(left, env, input)?, &right)
            }
            Kind::Logic { or, left, right } => {
                let left = self.one(left, env, input)?.is_true();
                Ok(Val::Bool(match left == *or {
                    true => left,
                    false => self.one(right, env, input)?.is_true(),
                }))
            }
            Kind::Array(inner) => {
                let mut elements = Vec::new();
                self.values(inner, env, input, &mut |element| {
                    elements.push(element);
                    Ok(())
                })?;
                Ok(Val::from(elements))
            }
            Kind::Object(members) => {
                let mut object = Map::with_capacity(members.len());
                for (key, value) in members {
                    let key = member_key(&self.one(key, env, input)?)?;
                    object.insert(key, self.one(value, env, input)?);
                }
                Ok(Val::from(object))
            }
            Kind::Text(parts) => {
                let mut text = String::new();
                for part in parts.iter().rev() {
                    // The last one is calculated first, for that is whose error counts.
                    let part = self.one(part, env, input)?;
                    text.insert_str(0, part.as_str().unwrap_or_default());
                }
                Ok(Val::from(text))
            }
            Kind::Assign(assign, left, right) => {
                let mut result = Val::Null;
                self.assign(*assign, left, right, env, input, &mut |value| {
                    result = value;
                    Ok(())
                })?;
                Ok(result)
            }
            Kind::Fold { each, source, init, arms } => {
                let mut result = Val::Null;
                self.fold(*each, source, init, arms, env, input, &mut |value| {
                    result = value;
                    Ok(())
                })?;
                Ok(result)
            }
            Kind::Native(native, args) => match args.as_slice() {
                [] => (native.run)(self, input, &[]),
                [only] => (native.run)(self, input, &[self.one(only, env, input)?]),
                args => {
                    let mut values = vec![Val::Null; args.len()];
                    for (value, arg) in values.iter_mut().zip(args).rev() {
                        *value = self.one(arg, env, input)?;
                    }
                    (native.run)(self, input, &values)
                }
            },
            Kind::Const(value) => ops::get_at(value, &[]),
            _ => Err(Stop::Limit("an expression has not one result")),
        }
    }
}

/// What a caller passed, through all callers that only passed it on.
fn passed<'p>(node: &'p Node, env: &Env<'p>) -> Option<(&'p Node, Env<'p>)> {
    let Kind::Param(place) = node.kind else { return None };
    let Some(Bound::Query(query, outer)) = env.get(place) else { return None };
    let (mut query, mut outer) = (*query, outer.clone());
    while let Kind::Param(place) = query.kind {
        let Some(Bound::Query(next, further)) = outer.get(place) else { return None };
        let further = further.clone();
        query = *next;
        outer = further;
    }
    Some((query, outer))
}
