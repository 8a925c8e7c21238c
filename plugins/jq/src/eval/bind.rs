//! Bindings and folds: `as`, `reduce` and `foreach`.

use super::{Machine, Out};
use crate::ast::Math;
use crate::env::{Bound, Env};
use crate::error::{Res, Stop};
use crate::node::{Arm, Kind, Node, Pattern};
use crate::ops;
use crate::track::Track;
use crate::value::Val;

impl<'p> Machine<'p> {
    /// The body of a binding and its bindings, if they are one value and one variable.
    pub(super) fn bind_one(
        &self,
        source: &'p Node,
        arms: &'p [Arm],
        env: &Env<'p>,
        input: &Val,
    ) -> Res<Option<(&'p Node, Env<'p>)>> {
        match arms {
            [Arm { pattern: Pattern::Var, body, .. }] if self.is_single(source, env) => {
                let value = self.one(source, env, input)?;
                Ok(Some((body, env.bind(Bound::Value(value)))))
            }
            _ => Ok(None),
        }
    }

    pub(super) fn bind<T: Track>(
        &self,
        source: &'p Node,
        arms: &'p [Arm],
        env: &Env<'p>,
        input: &T,
        out: Out<'_, T>,
    ) -> Res {
        self.values(source, env, input.val(), &mut |value| {
            self.arms(
                arms,
                env,
                &value,
                &mut |arm, env, out: Out<'_, T>| self.eval(&arm.body, &env, input.clone(), out),
                out,
            )
        })
    }

    /// Runs `then` with the bindings of the first pattern that fits and whose body has no error.
    fn arms<T>(
        &self,
        arms: &'p [Arm],
        env: &Env<'p>,
        value: &Val,
        then: &mut dyn FnMut(&'p Arm, Env<'p>, Out<'_, T>) -> Res,
        out: Out<'_, T>,
    ) -> Res {
        let Some((arm, rest)) = arms.split_first() else { return Ok(()) };
        let mut inner = env.clone();
        for _ in 0..arm.nulls {
            inner = inner.bind(Bound::Value(Val::Null));
        }
        if rest.is_empty() {
            return self.destructure(&arm.pattern, value, inner, &mut |env| then(arm, env, out));
        }
        let mut after = None;
        let result = self.destructure(&arm.pattern, value, inner, &mut |env| {
            then(arm, env, &mut |found| {
                out(found).map_err(|stop| {
                    after = Some(stop);
                    Stop::Limit("")
                })
            })
        });
        if let Some(stop) = after {
            return Err(stop);
        }
        match result {
            Err(Stop::Error(_)) => self.arms(rest, env, value, then, out),
            result => result,
        }
    }

    fn destructure(
        &self,
        pattern: &'p Pattern,
        value: &Val,
        env: Env<'p>,
        then: &mut dyn FnMut(Env<'p>) -> Res,
    ) -> Res {
        match pattern {
            Pattern::Var => then(env.bind(Bound::Value(value.clone()))),
            Pattern::Array(elements) => self.elements(elements, 0, value, env, then),
            Pattern::Object(members) => self.members(members, value, env, then),
        }
    }

    fn elements(
        &self,
        patterns: &'p [Pattern],
        at: usize,
        value: &Val,
        env: Env<'p>,
        then: &mut dyn FnMut(Env<'p>) -> Res,
    ) -> Res {
        let Some((pattern, rest)) = patterns.split_first() else { return then(env) };
        let element = ops::index(value, &at.into())?;
        self.destructure(pattern, &element, env, &mut |env| {
            self.elements(rest, at + 1, value, env, then)
        })
    }

    fn members(
        &self,
        members: &'p [(Node, bool, Option<Pattern>)],
        value: &Val,
        env: Env<'p>,
        then: &mut dyn FnMut(Env<'p>) -> Res,
    ) -> Res {
        let Some(((key, bound, pattern), rest)) = members.split_first() else {
            return then(env);
        };
        self.values(key, &env, value, &mut |key| {
            let member = ops::index(value, &key)?;
            let env = match bound {
                true => env.bind(Bound::Value(member.clone())),
                false => env.clone(),
            };
            match pattern {
                Some(pattern) => self.destructure(pattern, &member, env, &mut |env| {
                    self.members(rest, value, env, then)
                }),
                None => self.members(rest, value, env, then),
            }
        })
    }

    #[expect(clippy::too_many_arguments, reason = "the parts of a fold, and where it runs")]
    pub(super) fn fold<T: Track>(
        &self,
        each: bool,
        source: &'p Node,
        init: &'p Node,
        arms: &'p [Arm],
        env: &Env<'p>,
        input: &T,
        out: Out<'_, T>,
    ) -> Res {
        self.eval(init, env, input.clone(), &mut |start| {
            // An update without a result leaves null, as with jq.
            let mut state = start;
            self.values(source, env, input.val(), &mut |value| {
                let null = state.calculated(Val::Null);
                let mut last = Some(std::mem::replace(&mut state, null));
                self.arms(
                    arms,
                    env,
                    &value,
                    &mut |arm, env, out: Out<'_, T>| {
                        let from = last.take().unwrap_or_else(|| input.calculated(Val::Null));
                        if arm.body.single && !each {
                            last = Some(self.owned(&arm.body, &env, from)?);
                            return Ok(());
                        }
                        self.eval(&arm.body, &env, from, &mut |next| {
                            last = Some(next.clone());
                            match &arm.extract {
                                _ if !each => Ok(()),
                                Some(extract) => self.eval(extract, &env, next, out),
                                None => out(next),
                            }
                        })
                    },
                    out,
                )?;
                if let Some(last) = last {
                    state = last;
                }
                Ok(())
            })?;
            if each { Ok(()) } else { out(state) }
        })
    }

    /// As [`Machine::one`], of an input that nobody else needs: what it builds upon is changed in
    /// place.
    pub(super) fn owned<T: Track>(&self, node: &'p Node, env: &Env<'p>, input: T) -> Res<T> {
        match &node.kind {
            Kind::Pipe(left, right) => {
                let between = self.owned(left, env, input)?;
                self.owned(right, env, between)
            }
            Kind::If { cond, then, other } => {
                let truth = self.one(cond, env, input.val())?.is_true();
                self.owned(if truth { then } else { other }, env, input)
            }
            Kind::Math(Math::Add, left, right) if matches!(left.kind, Kind::Id) => {
                let right = self.one(right, env, input.val())?;
                let without = input.calculated(Val::Null);
                Ok(without.calculated(ops::add_owned(input.into_val(), &right)?))
            }
            Kind::Assign(assign, left, right) => {
                let without = input.calculated(Val::Null);
                let mut result = Val::Null;
                self.assign_owned(*assign, left, right, env, input.into_val(), &mut |value| {
                    result = value;
                    Ok(())
                })?;
                Ok(without.calculated(result))
            }
            _ => self.one(node, env, &input),
        }
    }
}
