//! Node: the compact form of an expression. What it does not cover is a [`Node::Interpret`].

use lockgate_plugin::Property;
use regex::Regex;

use crate::interpret::Interpreted;
use crate::paths::Step;

/// A literal.
#[derive(Debug, PartialEq)]
pub(crate) enum Const {
    Null,
    Bool(bool),
    Int(i64),
    Uint(u64),
    Double(f64),
    Str(Box<str>),
    Bytes(Box<[u8]>),
}

/// An expression in compact form.
#[derive(Debug)]
pub(crate) enum Node {
    Const(Const),
    /// A place in the body, as a node of the tree of paths.
    Body(u16),
    BodyText,
    Header(Box<HeaderPath>),
    Property(Property),
    Exchange,
    RoutingKey,
    Redelivered,
    Attempt,
    /// `has(parent.child)` within the body.
    HasBody {
        parent: u16,
        child: u16,
    },
    /// `has(headers.name)`, `"name" in headers`.
    HasHeader(Box<str>),
    /// `has(headers.name.….key)`.
    HasEntry(Box<HeaderPath>, Box<str>),
    /// `has(properties.name)`, `"name" in properties`.
    HasProperty(Property),
    Not(Box<Node>),
    Negate(Box<Node>),
    And(Box<[Node; 2]>),
    Or(Box<[Node; 2]>),
    /// Condition, then, otherwise.
    Choose(Box<[Node; 3]>),
    /// `==`, or `!=` if it is to differ.
    Equal {
        sides: Box<[Node; 2]>,
        differ: bool,
    },
    Compare(Comparison, Box<[Node; 2]>),
    Arithmetic(Operator, Box<[Node; 2]>),
    InList(Box<Node>, Box<[Node]>),
    InBody(Box<Node>, u16),
    Size(Box<Node>),
    Test(TextTest, Box<[Node; 2]>),
    Matches(Box<Node>, Box<Regex>),
    /// Answers true or false only; it stands where nothing else would do.
    Interpret(Box<Interpreted>),
}

/// A header and the way into it, if it is a table or an array.
#[derive(Debug)]
pub(crate) struct HeaderPath {
    pub(crate) name: Box<str>,
    pub(crate) rest: Vec<Step>,
}

#[derive(Clone, Copy, Debug)]
pub(crate) enum Comparison {
    Less,
    LessEqual,
    Greater,
    GreaterEqual,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Operator {
    Add,
    Subtract,
    Multiply,
    Divide,
    Remainder,
}

#[derive(Clone, Copy, Debug)]
pub(crate) enum TextTest {
    StartsWith,
    EndsWith,
    Contains,
}
