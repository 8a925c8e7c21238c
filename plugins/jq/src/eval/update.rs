//! Assignments: what stands at paths is set, or run through an expression.

use super::{Machine, Out, calculate};
use crate::ast::Assign;
use crate::env::Env;
use crate::error::{Res, Stop};
use crate::node::{Kind, Node};
use crate::ops;
use crate::track::Traced;
use crate::value::Val;

impl<'p> Machine<'p> {
    pub(super) fn assign(
        &self,
        assign: Assign,
        left: &'p Node,
        right: &'p Node,
        env: &Env<'p>,
        input: &Val,
        out: Out<'_, Val>,
    ) -> Res {
        self.assign_owned(assign, left, right, env, input.clone(), out)
    }

    pub(super) fn assign_owned(
        &self,
        assign: Assign,
        left: &'p Node,
        right: &'p Node,
        env: &Env<'p>,
        input: Val,
        out: Out<'_, Val>,
    ) -> Res {
        if assign == Assign::Update {
            let paths = self.paths(left, env, &input)?;
            return out(self.update(&paths, input, &mut |value| {
                if right.single {
                    return self.owned(right, env, value).map(Some);
                }
                self.first(right, env, value)
            })?);
        }
        if right.single {
            let value = self.one(right, env, &input)?;
            let paths = self.paths(left, env, &input)?;
            return out(self.put(assign, &paths, input, &value)?);
        }
        let paths = self.paths(left, env, &input)?;
        self.eval(right, env, input.clone(), &mut |value| {
            out(self.put(assign, &paths, input.clone(), &value)?)
        })
    }

    /// `=`, `+=` and the like, `//=` with a value.
    fn put(&self, assign: Assign, paths: &[Vec<Val>], root: Val, value: &Val) -> Res<Val> {
        self.update(paths, root, &mut |old| {
            Ok(Some(match assign {
                Assign::Math(math) => calculate(math, old, value)?,
                Assign::Alt if old.is_true() => old,
                _ => value.clone(),
            }))
        })
    }

    /// Changes what stands at each path; what has no new value is removed in the end.
    fn update(
        &self,
        paths: &[Vec<Val>],
        mut root: Val,
        change: &mut dyn FnMut(Val) -> Res<Option<Val>>,
    ) -> Res<Val> {
        let mut gone = Vec::new();
        for path in paths {
            // What is missing is made only for a value.
            if matches!(ops::get_at(&root, path)?, Val::Null) {
                match change(Val::Null)? {
                    Some(value) => ops::change_at(&mut root, path, &mut |place| {
                        *place = value.clone();
                        Ok(())
                    })?,
                    None => gone.push(Val::from(path.clone())),
                }
                continue;
            }
            ops::change_at(&mut root, path, &mut |place| {
                match change(std::mem::take(place))? {
                    Some(value) => *place = value,
                    None => gone.push(Val::from(path.clone())),
                }
                Ok(())
            })?;
        }
        if !gone.is_empty() {
            ops::delete(&mut root, &Val::from(gone))?;
        }
        Ok(root)
    }

    /// The paths that an expression leads to.
    pub(crate) fn paths(&self, node: &'p Node, env: &Env<'p>, input: &Val) -> Res<Vec<Vec<Val>>> {
        let mut path = Vec::new();
        if fixed_path(node, &mut path) {
            return Ok(vec![path]);
        }
        let mut paths = Vec::new();
        self.eval(node, env, Traced::root(input.clone()), &mut |found: Traced| {
            paths.push(found.into_path()?.0);
            Ok(())
        })?;
        Ok(paths)
    }

    /// The first result, if there is one.
    pub(crate) fn first(&self, node: &'p Node, env: &Env<'p>, input: Val) -> Res<Option<Val>> {
        let label = self.label();
        let mut first = None;
        super::caught(
            label,
            self.eval(node, env, input, &mut |value| {
                first = Some(value);
                Err(Stop::Break(label))
            }),
        )?;
        Ok(first)
    }
}

/// Fields that are written out: `.a.b`.
fn fixed_path(node: &Node, path: &mut Vec<Val>) -> bool {
    match &node.kind {
        Kind::Id => true,
        Kind::Index { of, key, optional: false } => match &key.kind {
            Kind::Const(key @ Val::Str(_)) if fixed_path(of, path) => {
                path.push(key.clone());
                true
            }
            _ => false,
        },
        Kind::Pipe(left, right) => fixed_path(left, path) && fixed_path(right, path),
        _ => false,
    }
}
