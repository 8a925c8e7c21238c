//! A program as it runs: names are places, and it is known what has exactly one result.

use crate::ast::{Assign, Math};
use crate::functions::{Form, Native};
use crate::value::Val;

/// An expression.
#[derive(Debug)]
pub(crate) struct Node {
    pub(crate) kind: Kind,
    /// Whether it has exactly one result, or an error, whatever its input.
    pub(crate) single: bool,
}

/// What an expression is. Places count from the innermost binding outwards.
#[derive(Debug)]
pub(crate) enum Kind {
    Id,
    Const(Val),
    Var(usize),
    /// A text of pieces, the later ones varying slowest.
    Text(Vec<Node>),
    Index {
        of: Box<Node>,
        key: Box<Node>,
        optional: bool,
    },
    Slice {
        of: Box<Node>,
        from: Box<Node>,
        to: Box<Node>,
        optional: bool,
    },
    Each {
        of: Box<Node>,
        optional: bool,
    },
    Try {
        body: Box<Node>,
        catch: Option<Box<Node>>,
    },
    Neg(Box<Node>),
    Pipe(Box<Node>, Box<Node>),
    Comma(Box<Node>, Box<Node>),
    Math(Math, Box<Node>, Box<Node>),
    Logic {
        or: bool,
        left: Box<Node>,
        right: Box<Node>,
    },
    Alt(Box<Node>, Box<Node>),
    Assign(Assign, Box<Node>, Box<Node>),
    Array(Box<Node>),
    Object(Vec<(Node, Node)>),
    If {
        cond: Box<Node>,
        then: Box<Node>,
        other: Box<Node>,
    },
    Fold {
        each: bool,
        source: Box<Node>,
        init: Box<Node>,
        arms: Vec<Arm>,
    },
    Bind {
        source: Box<Node>,
        arms: Vec<Arm>,
    },
    Label(Box<Node>),
    Break(usize),
    /// A function's body, in the scope that is `outward` bindings further out.
    Call {
        def: usize,
        args: Vec<Arg>,
        outward: usize,
    },
    /// The expression that a caller passed.
    Param(usize),
    Native(Native, Vec<Node>),
    /// A function that runs its arguments itself.
    Form(Form, Vec<Node>),
}

/// A pattern, and what runs with it bound.
#[derive(Debug)]
pub(crate) struct Arm {
    /// Variables of the other patterns, null in this one.
    pub(crate) nulls: usize,
    pub(crate) pattern: Pattern,
    pub(crate) body: Node,
    /// Of `foreach` with three parts.
    pub(crate) extract: Option<Node>,
}

/// Where bound values come from.
#[derive(Debug)]
pub(crate) enum Pattern {
    Var,
    Array(Vec<Pattern>),
    /// Key, whether the value itself is bound, and what is bound of it.
    Object(Vec<(Node, bool, Option<Pattern>)>),
}

/// What a caller passes.
#[derive(Debug)]
pub(crate) enum Arg {
    Value(Node),
    Query(Node),
}

/// A function.
#[derive(Debug)]
pub(crate) struct Body {
    pub(crate) node: Node,
}

impl Node {
    pub(crate) fn new(kind: Kind) -> Self {
        let single = match &kind {
            Kind::Id | Kind::Const(_) | Kind::Var(_) | Kind::Array(_) => true,
            Kind::Text(parts) => parts.iter().all(|part| part.single),
            Kind::Index { of, key, optional } => !optional && of.single && key.single,
            Kind::Slice { of, from, to, optional } => {
                !optional && of.single && from.single && to.single
            }
            Kind::Neg(inner) => inner.single,
            Kind::Pipe(left, right)
            | Kind::Math(_, left, right)
            | Kind::Logic { left, right, .. } => left.single && right.single,
            Kind::Assign(Assign::Update, ..) => true,
            Kind::Assign(_, _, right) => right.single,
            Kind::Object(members) => members.iter().all(|(key, value)| key.single && value.single),
            Kind::If { cond, then, other } => cond.single && then.single && other.single,
            Kind::Fold { each, init, arms, .. } => {
                !each && init.single && arms.iter().all(|arm| arm.body.single)
            }
            Kind::Native(_, args) => args.iter().all(|arg| arg.single),
            Kind::Form(form, _) => form.is_single(),
            Kind::Bind { .. }
            | Kind::Alt(..)
            | Kind::Each { .. }
            | Kind::Try { .. }
            | Kind::Comma(..)
            | Kind::Label(_)
            | Kind::Break(_)
            | Kind::Call { .. }
            | Kind::Param(_) => false,
        };
        Self { kind, single }
    }

    /// Whether what it gives depends on its input, as far as that can be told. A function's body is
    /// asked for with `def`.
    pub(crate) fn reads_input(&self, def: &mut dyn FnMut(usize) -> bool) -> bool {
        let mut any = |nodes: &[&Node]| nodes.iter().any(|node| node.reads_input(def));
        match &self.kind {
            Kind::Id | Kind::Assign(..) => true,
            Kind::Const(_) | Kind::Var(_) | Kind::Break(_) | Kind::Param(_) => false,
            Kind::Text(parts) => any(&parts.iter().collect::<Vec<_>>()),
            Kind::Index { of, key, .. } => any(&[of, key]),
            Kind::Slice { of, from, to, .. } => any(&[of, from, to]),
            Kind::Each { of, .. } => any(&[of]),
            Kind::Try { body, .. } => any(&[body]),
            Kind::Neg(inner) | Kind::Array(inner) | Kind::Label(inner) => any(&[inner]),
            // What stands behind a pipe reads what stands before it.
            Kind::Pipe(left, _) => any(&[left]),
            Kind::Comma(left, right)
            | Kind::Math(_, left, right)
            | Kind::Logic { left, right, .. }
            | Kind::Alt(left, right) => any(&[left, right]),
            Kind::Object(members) => {
                any(&members.iter().flat_map(|(key, value)| [key, value]).collect::<Vec<_>>())
            }
            Kind::If { cond, then, other } => any(&[cond, then, other]),
            Kind::Fold { source, init, .. } => any(&[source, init]),
            Kind::Bind { source, arms } => {
                any(&[source]) || arms.iter().any(|arm| arm.body.reads_input(def))
            }
            Kind::Call { def: id, args, .. } => {
                let args = args.iter().map(|arg| match arg {
                    Arg::Value(node) | Arg::Query(node) => node,
                });
                any(&args.collect::<Vec<_>>()) || def(*id)
            }
            Kind::Native(native, args) => {
                !native.ignores_input || any(&args.iter().collect::<Vec<_>>())
            }
            Kind::Form(form, args) => form.reads_input() || any(&args.iter().collect::<Vec<_>>()),
        }
    }
}
