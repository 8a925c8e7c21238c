//! A program as it is written.

use crate::value::Val;

/// An operator between two values.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(crate) enum Math {
    Add,
    Sub,
    Mul,
    Div,
    Rem,
    Eq,
    Ne,
    Lt,
    Le,
    Gt,
    Ge,
}

/// What an assignment does with the value on its right.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(crate) enum Assign {
    /// `=`: sets it.
    Set,
    /// `|=`: runs it on what is there.
    Update,
    /// `+=` and the like: calculates with what is there.
    Math(Math),
    /// `//=`: sets it where nothing is.
    Alt,
}

/// An expression. `at` is the byte in the program where a name stands.
#[derive(Clone, Debug)]
pub(crate) enum Ast<'s> {
    Id,
    Const(Val),
    Var { name: &'s str, at: usize },
    Text { format: Option<&'s str>, parts: Vec<Part<'s>>, at: usize },
    Format { name: &'s str, at: usize },
    Index { of: Box<Self>, key: Box<Self>, optional: bool },
    Slice { of: Box<Self>, from: Option<Box<Self>>, to: Option<Box<Self>>, optional: bool },
    Each { of: Box<Self>, optional: bool },
    Try { body: Box<Self>, catch: Option<Box<Self>> },
    Neg(Box<Self>),
    Pipe(Box<Self>, Box<Self>),
    Comma(Box<Self>, Box<Self>),
    Math(Math, Box<Self>, Box<Self>),
    Logic { or: bool, left: Box<Self>, right: Box<Self> },
    Alt(Box<Self>, Box<Self>),
    Assign(Assign, Box<Self>, Box<Self>),
    Array(Option<Box<Self>>),
    Object(Vec<(Self, Self)>),
    If { cond: Box<Self>, then: Box<Self>, other: Box<Self> },
    Fold(Box<Fold<'s>>),
    Bind { source: Box<Self>, patterns: Vec<Pattern<'s>>, body: Box<Self> },
    Label { name: &'s str, body: Box<Self> },
    Break { name: &'s str, at: usize },
    Def { def: Box<Def<'s>>, body: Box<Self> },
    Call { name: &'s str, args: Vec<Self>, at: usize },
}

/// A piece of a text with expressions in it.
#[derive(Clone, Debug)]
pub(crate) enum Part<'s> {
    Text(String),
    Query(Ast<'s>),
}

/// `reduce` or `foreach`.
#[derive(Clone, Debug)]
pub(crate) struct Fold<'s> {
    pub(crate) each: bool,
    pub(crate) source: Ast<'s>,
    pub(crate) patterns: Vec<Pattern<'s>>,
    pub(crate) init: Ast<'s>,
    pub(crate) update: Ast<'s>,
    pub(crate) extract: Option<Ast<'s>>,
}

/// What `as` binds.
#[derive(Clone, Debug)]
pub(crate) enum Pattern<'s> {
    Var(&'s str),
    Array(Vec<Self>),
    Object(Vec<Entry<'s>>),
}

/// A member of an object pattern: `key: pattern`, `$name` or `$name: pattern`.
#[derive(Clone, Debug)]
pub(crate) struct Entry<'s> {
    pub(crate) key: Ast<'s>,
    pub(crate) var: Option<&'s str>,
    pub(crate) pattern: Option<Pattern<'s>>,
}

/// A function.
#[derive(Clone, Debug)]
pub(crate) struct Def<'s> {
    pub(crate) name: &'s str,
    /// Names of the parameters, and whether each is a value (`$name`).
    pub(crate) params: Vec<(&'s str, bool)>,
    pub(crate) body: Ast<'s>,
}
