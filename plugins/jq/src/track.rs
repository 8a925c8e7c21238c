//! Track: a value on its way through an expression, with or without the path that leads to it.

use std::rc::Rc;

use crate::error::{Res, error, short};
use crate::value::Val;

/// What an expression takes and gives.
pub(crate) trait Track: Clone {
    fn val(&self) -> &Val;

    fn into_val(self) -> Val;

    /// A value that was calculated, and stands nowhere in the input.
    fn calculated(&self, value: Val) -> Self;

    /// What stands at `key` within this one.
    fn child(&self, key: impl FnOnce() -> Val, value: Val) -> Self;

    /// Refuses to go on from a value that stands nowhere in the input.
    fn check(&self, doing: impl FnOnce() -> String) -> Res;
}

impl Track for Val {
    fn val(&self) -> &Val {
        self
    }

    fn into_val(self) -> Val {
        self
    }

    fn calculated(&self, value: Val) -> Self {
        value
    }

    fn child(&self, _key: impl FnOnce() -> Val, value: Val) -> Self {
        value
    }

    fn check(&self, _doing: impl FnOnce() -> String) -> Res {
        Ok(())
    }
}

/// A value and its path from the input.
#[derive(Clone, Debug)]
pub(crate) struct Traced {
    value: Val,
    path: Path,
    /// Whether the value stands at the path.
    intact: bool,
}

impl Traced {
    pub(crate) fn root(value: Val) -> Self {
        Self { value, path: Path(None), intact: true }
    }

    /// The path, and what stands there.
    pub(crate) fn into_path(self) -> Res<(Vec<Val>, Val)> {
        self.check(|| format!("with result {}", short(&self.value, 29)))?;
        Ok((self.path.keys(), self.value))
    }
}

impl Track for Traced {
    fn val(&self) -> &Val {
        &self.value
    }

    fn into_val(self) -> Val {
        self.value
    }

    fn calculated(&self, value: Val) -> Self {
        // Null, truth values and numbers that are the same count as the same value, as with jq.
        let same = match (&self.value, &value) {
            (Val::Null, Val::Null) => true,
            (Val::Bool(old), Val::Bool(new)) => old == new,
            (Val::Num(old), Val::Num(new)) => old.equals(new),
            _ => false,
        };
        Self { value, path: self.path.clone(), intact: self.intact && same }
    }

    fn child(&self, key: impl FnOnce() -> Val, value: Val) -> Self {
        let path = Path(Some(Rc::new((key(), self.path.clone()))));
        Self { value, path, intact: self.intact }
    }

    fn check(&self, doing: impl FnOnce() -> String) -> Res {
        if self.intact { Ok(()) } else { error(format!("Invalid path expression {}", doing())) }
    }
}

/// Keys, the last one first.
#[derive(Clone, Debug)]
struct Path(Option<Rc<(Val, Path)>>);

impl Path {
    fn keys(&self) -> Vec<Val> {
        let mut keys = Vec::new();
        let mut rest = &self.0;
        while let Some(step) = rest {
            let (key, outer) = &**step;
            keys.push(key.clone());
            rest = &outer.0;
        }
        keys.reverse();
        keys
    }
}
