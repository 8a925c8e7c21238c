//! Calls: of a program's functions, and of those that are built in.

use super::{Machine, Out, lost};
use crate::env::{Bound, Env};
use crate::error::Res;
use crate::functions::Native;
use crate::node::{Arg, Node};
use crate::track::Track;
use crate::value::Val;

impl<'p> Machine<'p> {
    fn body(&self, def: usize) -> Res<&'p Node> {
        self.bodies.get(def).map_or_else(lost, |body| Ok(&body.node))
    }

    /// A function's body and its bindings; none if an argument may have several values.
    pub(super) fn enter(
        &self,
        def: usize,
        args: &'p [Arg],
        outward: usize,
        env: &Env<'p>,
        input: &Val,
    ) -> Res<Option<(&'p Node, Env<'p>)>> {
        let mut inner = env.outward(outward);
        for arg in args {
            inner = inner.bind(match arg {
                Arg::Query(query) => Bound::Query(query, env.clone()),
                Arg::Value(value) if self.is_single(value, env) => {
                    Bound::Value(self.one(value, env, input)?)
                }
                Arg::Value(_) => return Ok(None),
            });
        }
        Ok(Some((self.body(def)?, inner)))
    }

    /// Calls a function with every value of its arguments, the first one varying slowest.
    pub(super) fn call<T: Track>(
        &self,
        def: usize,
        args: &'p [Arg],
        outward: usize,
        env: &Env<'p>,
        input: &T,
        out: Out<'_, T>,
    ) -> Res {
        let body = self.body(def)?;
        self.bind_args(args, env, input.val(), env.outward(outward), &mut |inner| {
            self.eval(body, &inner, input.clone(), out)
        })
    }

    fn bind_args(
        &self,
        args: &'p [Arg],
        env: &Env<'p>,
        input: &Val,
        inner: Env<'p>,
        then: &mut dyn FnMut(Env<'p>) -> Res,
    ) -> Res {
        match args.split_first() {
            None => then(inner),
            Some((Arg::Query(query), rest)) => {
                let inner = inner.bind(Bound::Query(query, env.clone()));
                self.bind_args(rest, env, input, inner, then)
            }
            Some((Arg::Value(value), rest)) => self.values(value, env, input, &mut |value| {
                self.bind_args(rest, env, input, inner.bind(Bound::Value(value)), then)
            }),
        }
    }

    /// Calls a built-in function with every value of its arguments, the last one varying slowest.
    pub(super) fn native<T: Track>(
        &self,
        native: Native,
        args: &'p [Node],
        env: &Env<'p>,
        input: &T,
        out: Out<'_, T>,
    ) -> Res {
        let mut values = vec![Val::Null; args.len()];
        self.native_args(args, env, input.val(), &mut values, &mut |values| {
            out(input.calculated((native.run)(self, input.val(), values)?))
        })
    }

    fn native_args(
        &self,
        args: &'p [Node],
        env: &Env<'p>,
        input: &Val,
        values: &mut Vec<Val>,
        then: &mut dyn FnMut(&[Val]) -> Res,
    ) -> Res {
        let Some((last, rest)) = args.split_last() else { return then(values) };
        self.values(last, env, input, &mut |value| {
            if let Some(place) = values.get_mut(rest.len()) {
                *place = value;
            }
            self.native_args(rest, env, input, values, then)
        })
    }
}
