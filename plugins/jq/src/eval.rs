//! Running a program: every result of an expression is given to what comes after it, one by one.

mod bind;
mod call;
mod form;
mod one;
mod update;

use std::cell::Cell;

use crate::ast::Math;
use crate::env::{Bound, Env};
use crate::error::{Res, Stop, error, short, type_error};
use crate::node::{Body, Kind, Node};
use crate::ops;
use crate::track::Track;
use crate::value::Val;

/// Evaluations within each other. Calls in tail position do not count, so that loops can be long.
const MAX_NESTING: usize = 300;

/// Takes the results of an expression.
pub(crate) type Out<'o, T> = &'o mut dyn FnMut(T) -> Res;

/// A run of a program.
pub(crate) struct Machine<'p> {
    pub(crate) bodies: &'p [Body],
    /// Microseconds since the Unix epoch, for `now`.
    pub(crate) now_micros: u64,
    /// Where `debug` and `stderr` write to.
    pub(crate) log: &'p dyn Fn(Log, &str),
    labels: Cell<u64>,
    nesting: Cell<usize>,
}

/// What wrote a line.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Log {
    /// `debug`.
    Debug,
    /// `stderr`, or `halt_error`.
    Stderr,
}

impl<'p> Machine<'p> {
    pub(crate) fn new(bodies: &'p [Body], now_micros: u64, log: &'p dyn Fn(Log, &str)) -> Self {
        Self { bodies, now_micros, log, labels: Cell::new(0), nesting: Cell::new(0) }
    }

    /// A label that nothing else breaks to.
    fn label(&self) -> u64 {
        self.labels.set(self.labels.get() + 1);
        self.labels.get()
    }

    /// Gives every result of an expression to `out`.
    pub(crate) fn eval<T: Track>(
        &self,
        node: &'p Node,
        env: &Env<'p>,
        input: T,
        out: Out<'_, T>,
    ) -> Res {
        if self.nesting.get() == MAX_NESTING {
            return Err(Stop::Limit("the program calls itself too deeply"));
        }
        self.nesting.set(self.nesting.get() + 1);
        let result = self.run(node, env.clone(), input, out);
        self.nesting.set(self.nesting.get() - 1);
        result
    }

    /// All results as values.
    pub(crate) fn values(
        &self,
        node: &'p Node,
        env: &Env<'p>,
        input: &Val,
        out: Out<'_, Val>,
    ) -> Res {
        if node.single {
            return out(self.one(node, env, input)?);
        }
        self.eval(node, env, input.clone(), out)
    }

    /// Goes on in the loop with what stands in tail position, and calls itself for the rest.
    fn run<T: Track>(
        &self,
        mut node: &'p Node,
        mut env: Env<'p>,
        mut input: T,
        out: Out<'_, T>,
    ) -> Res {
        loop {
            if node.single && !matches!(node.kind, Kind::Call { .. } | Kind::Form(..)) {
                return out(self.owned(node, &env, input)?);
            }
            match &node.kind {
                Kind::Pipe(left, right) => {
                    if self.is_single(left, &env) {
                        input = self.one(left, &env, &input)?;
                        node = right;
                        continue;
                    }
                    return self
                        .eval(left, &env, input, &mut |value| self.eval(right, &env, value, out));
                }
                Kind::Comma(left, right) => {
                    self.eval(left, &env, input.clone(), out)?;
                    node = right;
                }
                Kind::If { cond, then, other } => {
                    if self.is_single(cond, &env) {
                        let truth = self.one(cond, &env, input.val())?.is_true();
                        node = if truth { then } else { other };
                        continue;
                    }
                    return self.eval(cond, &env, input.val().clone(), &mut |truth| {
                        let node = if truth.is_true() { then } else { other };
                        self.eval(node, &env, input.clone(), out)
                    });
                }
                Kind::Call { def, args, outward } => {
                    match self.enter(*def, args, *outward, &env, input.val())? {
                        Some((body, inner)) => {
                            node = body;
                            env = inner;
                        }
                        None => return self.call(*def, args, *outward, &env, &input, out),
                    }
                }
                Kind::Param(place) => match env.get(*place) {
                    Some(Bound::Query(query, outer)) => {
                        node = query;
                        env = outer.clone();
                    }
                    _ => return lost(),
                },
                Kind::Bind { source, arms } if arms.len() == 1 => {
                    match self.bind_one(source, arms, &env, input.val())? {
                        Some((body, inner)) => {
                            node = body;
                            env = inner;
                        }
                        None => return self.bind(source, arms, &env, &input, out),
                    }
                }
                _ => return self.branch(node, &env, input, out),
            }
        }
    }

    /// What has no tail.
    fn branch<T: Track>(&self, node: &'p Node, env: &Env<'p>, input: T, out: Out<'_, T>) -> Res {
        match &node.kind {
            Kind::Index { of, key, optional } => self.values(key, env, input.val(), &mut |key| {
                self.index(of, &key, *optional, env, &input, out)
            }),
            Kind::Slice { of, from, to, optional } => {
                self.values(to, env, input.val(), &mut |to| {
                    self.values(from, env, input.val(), &mut |from| {
                        let key = range_key(from, to.clone());
                        self.index(of, &key, *optional, env, &input, out)
                    })
                })
            }
            Kind::Each { of, optional } => self.eval(of, env, input, &mut |of: T| {
                of.check(|| format!("near attempt to iterate through {}", short(of.val(), 29)))?;
                each(&of, *optional, out)
            }),
            Kind::Try { body, catch } => self.attempt(body, catch.as_deref(), env, input, out),
            Kind::Neg(inner) => self.values(inner, env, input.val(), &mut |value| {
                out(input.calculated(negate(&value)?))
            }),
            Kind::Math(math, left, right) => self.values(right, env, input.val(), &mut |right| {
                self.values(left, env, input.val(), &mut |left| {
                    out(input.calculated(calculate(*math, left, &right)?))
                })
            }),
            Kind::Logic { or, left, right } => self.values(left, env, input.val(), &mut |left| {
                if left.is_true() == *or {
                    return out(input.calculated(Val::Bool(*or)));
                }
                self.values(right, env, input.val(), &mut |right| {
                    out(input.calculated(Val::Bool(right.is_true())))
                })
            }),
            Kind::Alt(left, right) => self.alternative(left, right, env, input, out),
            Kind::Text(parts) => self.text(parts, env, &input, String::new(), out),
            Kind::Object(members) => self.object(members, env, &input, Vec::new(), out),
            Kind::Assign(assign, left, right) => {
                self.assign(*assign, left, right, env, input.val(), &mut |value| {
                    out(input.calculated(value))
                })
            }
            Kind::Fold { each, source, init, arms } => {
                self.fold(*each, source, init, arms, env, &input, out)
            }
            Kind::Bind { source, arms } => self.bind(source, arms, env, &input, out),
            Kind::Label(body) => {
                let label = self.label();
                caught(label, self.eval(body, &env.bind(Bound::Label(label)), input, out))
            }
            Kind::Break(place) => match env.get(*place) {
                Some(Bound::Label(label)) => Err(Stop::Break(*label)),
                _ => lost(),
            },
            Kind::Native(native, args) => self.native(*native, args, env, &input, out),
            Kind::Form(form, args) => self.form(*form, args, env, input, out),
            // These are in the loop, or have one result.
            _ => out(self.one(node, env, &input)?),
        }
    }

    fn index<T: Track>(
        &self,
        of: &'p Node,
        key: &Val,
        optional: bool,
        env: &Env<'p>,
        input: &T,
        out: Out<'_, T>,
    ) -> Res {
        self.eval(of, env, input.clone(), &mut |of| match index(&of, key) {
            Err(Stop::Error(_)) if optional => Ok(()),
            found => out(found?),
        })
    }

    /// `try body catch …`: what comes after has its own errors.
    fn attempt<T: Track>(
        &self,
        body: &'p Node,
        catch: Option<&'p Node>,
        env: &Env<'p>,
        input: T,
        out: Out<'_, T>,
    ) -> Res {
        let mut after = None;
        let result = self.eval(body, env, input.clone(), &mut |value| {
            out(value).map_err(|stop| {
                after = Some(stop);
                Stop::Limit("")
            })
        });
        if let Some(stop) = after {
            return Err(stop);
        }
        match result {
            Err(Stop::Error(value)) => match catch {
                Some(catch) => self.eval(catch, env, input.calculated(value), out),
                None => Ok(()),
            },
            result => result,
        }
    }

    /// `left // right`: what of `left` is true; if nothing is, `right`. Errors of `left` end it.
    fn alternative<T: Track>(
        &self,
        left: &'p Node,
        right: &'p Node,
        env: &Env<'p>,
        input: T,
        out: Out<'_, T>,
    ) -> Res {
        let (mut any, mut after) = (false, false);
        let result = self.eval(left, env, input.clone(), &mut |value: T| {
            if !value.val().is_true() {
                return Ok(());
            }
            any = true;
            out(value).inspect_err(|_| after = true)
        });
        match result {
            Err(Stop::Error(_)) if !after => {}
            result => result?,
        }
        if any { Ok(()) } else { self.eval(right, env, input, out) }
    }

    /// The pieces of a text; the last one varies slowest.
    fn text<T: Track>(
        &self,
        parts: &'p [Node],
        env: &Env<'p>,
        input: &T,
        tail: String,
        out: Out<'_, T>,
    ) -> Res {
        let Some((last, rest)) = parts.split_last() else {
            return out(input.calculated(Val::from(tail)));
        };
        self.values(last, env, input.val(), &mut |part| {
            self.text(rest, env, input, format!("{}{tail}", part.as_str().unwrap_or_default()), out)
        })
    }

    /// The members of an object; the first one varies slowest.
    fn object<T: Track>(
        &self,
        members: &'p [(Node, Node)],
        env: &Env<'p>,
        input: &T,
        done: Vec<(std::rc::Rc<str>, Val)>,
        out: Out<'_, T>,
    ) -> Res {
        let Some(((key, value), rest)) = members.split_first() else {
            return out(input.calculated(done.into_iter().collect()));
        };
        self.values(key, env, input.val(), &mut |key| {
            self.values(value, env, input.val(), &mut |value| {
                let mut done = done.clone();
                done.push((member_key(&key)?, value));
                self.object(rest, env, input, done, out)
            })
        })
    }
}

/// A key of an object that is written out.
fn member_key(key: &Val) -> Res<std::rc::Rc<str>> {
    match key {
        Val::Str(key) => Ok(std::rc::Rc::clone(key)),
        key => error(format!("Cannot use {} ({}) as object key", key.kind(), short(key, 14))),
    }
}

/// A program refers to something that is not there: never, if the compiler is right.
fn lost<T>() -> Res<T> {
    Err(Stop::Limit("a variable is lost"))
}

/// The end of what a label stands before.
fn caught(label: u64, result: Res) -> Res {
    match result {
        Err(Stop::Break(found)) if found == label => Ok(()),
        result => result,
    }
}

fn range_key(from: Val, to: Val) -> Val {
    [("start".into(), from), ("end".into(), to)].into_iter().collect()
}

fn index<T: Track>(of: &T, key: &Val) -> Res<T> {
    of.check(|| {
        let (key, of) = (short(key, 14), short(of.val(), 29));
        format!("near attempt to access element {key} of {of}")
    })?;
    Ok(of.child(|| key.clone(), ops::index(of.val(), key)?))
}

/// All elements of an array, or values of an object.
fn each<T: Track>(of: &T, optional: bool, out: Out<'_, T>) -> Res {
    match of.val() {
        Val::Arr(elements) => elements
            .iter()
            .enumerate()
            .try_for_each(|(at, element)| out(of.child(|| at.into(), element.clone()))),
        Val::Obj(members) => members.iter().try_for_each(|(key, value)| {
            out(of.child(|| Val::Str(std::rc::Rc::clone(key)), value.clone()))
        }),
        _ if optional => Ok(()),
        other => error(format!("Cannot iterate over {} ({})", other.kind(), short(other, 14))),
    }
}

fn negate(value: &Val) -> Res<Val> {
    match value {
        Val::Num(number) => Ok(Val::Num(number.neg())),
        other => type_error(other, "cannot be negated"),
    }
}

fn calculate(math: Math, left: Val, right: &Val) -> Res<Val> {
    match math {
        Math::Add => ops::add_owned(left, right),
        math => ops::math(math, &left, right),
    }
}
