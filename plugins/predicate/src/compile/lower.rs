//! Lower: from the syntax tree to the compact form, as far as that goes.

use cel::common::ast::{CallExpr, Expr, LiteralValue, SelectExpr, operators};
use cel::parser::Expression;

use super::path::{path, text};
use super::reads::property;
use super::{names, regex};
use crate::CompileError;
use crate::interpret::Interpreted;
use crate::limits::Tokens;
use crate::node::{Comparison, Const, HeaderPath, Node, Operator, TextTest};
use crate::paths::{Paths, Step};

/// The compact form of an expression whose names are known.
///
/// # Errors
/// A regular expression that is none.
pub(super) fn lower(
    expr: &Expression,
    tokens: &Tokens<'_>,
    paths: &mut Paths,
) -> Result<Node, CompileError> {
    let mut lowering = Lowering { tokens, paths, error: None };
    let node = lowering.condition(expr);
    lowering.error.map_or(Ok(node), Err)
}

/// The compact form of an expression whose value counts, where there is one.
///
/// # Errors
/// A regular expression that is none.
pub(super) fn lower_value(
    expr: &Expression,
    tokens: &Tokens<'_>,
    paths: &mut Paths,
) -> Result<Option<Node>, CompileError> {
    let mut lowering = Lowering { tokens, paths, error: None };
    let node = lowering.value(expr);
    lowering.error.map_or(Ok(node), Err)
}

/// What a node gives that is certainly neither true nor false.
pub(super) fn never_bool(node: &Node) -> Option<&'static str> {
    match node {
        Node::Const(Const::Bool(_)) => None,
        Node::Const(Const::Null) => Some("null"),
        Node::Const(Const::Str(_) | Const::Bytes(_)) => Some("a text"),
        Node::Const(_) | Node::Negate(_) | Node::Size(_) | Node::Attempt => Some("a number"),
        Node::Arithmetic(..) => Some("a number or text"),
        Node::BodyText | Node::Exchange | Node::RoutingKey => Some("a text"),
        Node::Property(_) => Some("a text or number"),
        _ => None,
    }
}

struct Lowering<'e> {
    tokens: &'e Tokens<'e>,
    paths: &'e mut Paths,
    error: Option<CompileError>,
}

impl Lowering<'_> {
    /// An expression in a place where only true and false are of use.
    fn condition(&mut self, expr: &Expression) -> Node {
        if let Expr::Call(call) = &expr.expr
            && call.func_name == operators::CONDITIONAL
            && let [condition, yes, no] = call.args.as_slice()
        {
            let parts = [condition, yes, no].map(|part| self.condition(part));
            return Node::Choose(Box::new(parts));
        }
        self.value(expr).unwrap_or_else(|| {
            // The names were looked up for the whole expression before.
            let reads = names::check(expr, self.tokens).unwrap_or_default();
            Node::Interpret(Box::new(Interpreted::new(expr.clone(), reads, self.paths)))
        })
    }

    /// `None` where the compact form does not cover it.
    fn value(&mut self, expr: &Expression) -> Option<Node> {
        if let Some((root, steps)) = path(expr) {
            return self.variable(root, &steps);
        }
        match &expr.expr {
            Expr::Literal(literal) => Some(Node::Const(constant(literal))),
            Expr::Select(select) if select.test => self.has(select),
            Expr::Call(call) => match (&call.target, call.args.as_slice()) {
                (None, [only]) => self.unary(&call.func_name, only),
                (None, [left, right]) => self.binary(call, left, right),
                (None, [condition, yes, no]) if call.func_name == operators::CONDITIONAL => {
                    let parts = [self.condition(condition), self.value(yes)?, self.value(no)?];
                    Some(Node::Choose(Box::new(parts)))
                }
                (Some(target), []) if call.func_name == "size" => {
                    Some(Node::Size(Box::new(self.value(target)?)))
                }
                (Some(target), [argument]) => self.method(&call.func_name, target, argument),
                _ => None,
            },
            _ => None,
        }
    }

    fn variable(&mut self, root: &str, steps: &[Step]) -> Option<Node> {
        match (root, steps) {
            ("body", steps) => self.paths.intern(steps).map(Node::Body),
            ("headers", [Step::Key(name), rest @ ..]) => {
                let rest = rest.to_vec();
                Some(Node::Header(Box::new(HeaderPath { name: name.as_str().into(), rest })))
            }
            ("properties", [Step::Key(name)]) => property(name).map(Node::Property),
            ("body_text", []) => Some(Node::BodyText),
            ("exchange", []) => Some(Node::Exchange),
            ("routing_key", []) => Some(Node::RoutingKey),
            ("redelivered", []) => Some(Node::Redelivered),
            ("attempt", []) => Some(Node::Attempt),
            _ => None,
        }
    }

    fn has(&mut self, select: &SelectExpr) -> Option<Node> {
        let key = select.field.as_str();
        let (root, steps) = path(&select.operand)?;
        match (root, steps.as_slice()) {
            ("body", steps) => {
                let child: Vec<_> = steps.iter().cloned().chain([Step::Key(key.into())]).collect();
                let child = self.paths.intern(&child)?;
                Some(Node::HasBody { parent: self.paths.intern(steps)?, child })
            }
            ("headers", []) => Some(Node::HasHeader(key.into())),
            ("headers", [Step::Key(name), rest @ ..]) => {
                let path = HeaderPath { name: name.as_str().into(), rest: rest.to_vec() };
                Some(Node::HasEntry(Box::new(path), key.into()))
            }
            ("properties", []) => property(key).map(Node::HasProperty),
            _ => None,
        }
    }

    fn unary(&mut self, name: &str, only: &Expression) -> Option<Node> {
        match name {
            operators::LOGICAL_NOT => Some(Node::Not(Box::new(self.condition(only)))),
            operators::NEGATE => Some(Node::Negate(Box::new(self.value(only)?))),
            "size" => Some(Node::Size(Box::new(self.value(only)?))),
            _ => None,
        }
    }

    fn binary(&mut self, call: &CallExpr, left: &Expression, right: &Expression) -> Option<Node> {
        let name = call.func_name.as_str();
        match name {
            operators::LOGICAL_AND => {
                return Some(Node::And(Box::new([self.condition(left), self.condition(right)])));
            }
            operators::LOGICAL_OR => {
                return Some(Node::Or(Box::new([self.condition(left), self.condition(right)])));
            }
            operators::IN => return self.contained(left, right),
            "matches" => return self.matches(left, right),
            _ => {}
        }
        let differ = name == operators::NOT_EQUALS;
        if differ || name == operators::EQUALS {
            let sides = Box::new([self.value(left)?, self.value(right)?]);
            return Some(Node::Equal { sides, differ });
        }
        if let Some(comparison) = comparison(name) {
            let sides = Box::new([self.value(left)?, self.value(right)?]);
            return Some(Node::Compare(comparison, sides));
        }
        let operator = operator(name)?;
        Some(Node::Arithmetic(operator, Box::new([self.value(left)?, self.value(right)?])))
    }

    fn contained(&mut self, value: &Expression, container: &Expression) -> Option<Node> {
        if let Expr::List(list) = &container.expr {
            if !list.optional_indices.is_empty() {
                return None;
            }
            let elements: Option<Box<[Node]>> =
                list.elements.iter().map(|element| self.value(element)).collect();
            return Some(Node::InList(Box::new(self.value(value)?), elements?));
        }
        match path(container)? {
            ("body", steps) => {
                let container = self.paths.intern(&steps)?;
                Some(Node::InBody(Box::new(self.value(value)?), container))
            }
            ("headers", steps) if steps.is_empty() => Some(Node::HasHeader(text(value)?.into())),
            ("properties", steps) if steps.is_empty() => {
                property(text(value)?).map(Node::HasProperty)
            }
            _ => None,
        }
    }

    fn method(&mut self, name: &str, target: &Expression, argument: &Expression) -> Option<Node> {
        let test = match name {
            "startsWith" => TextTest::StartsWith,
            "endsWith" => TextTest::EndsWith,
            "contains" => TextTest::Contains,
            "matches" => return self.matches(target, argument),
            _ => return None,
        };
        Some(Node::Test(test, Box::new([self.value(target)?, self.value(argument)?])))
    }

    fn matches(&mut self, target: &Expression, pattern: &Expression) -> Option<Node> {
        let pattern = text(pattern)?;
        match regex(pattern) {
            Ok(regex) => Some(Node::Matches(Box::new(self.value(target)?), Box::new(regex))),
            Err(error) => {
                let at = self.tokens.strings.iter().find(|(text, _)| text.contains(pattern));
                let text = error.to_string();
                let text = text.lines().last().unwrap_or_default();
                let text = text.strip_prefix("error: ").unwrap_or(text);
                let message = format!("not a regular expression: {text}");
                let at = at.map_or(0, |&(_, at)| at);
                self.error.get_or_insert(CompileError::new(at, message));
                None
            }
        }
    }
}

fn constant(literal: &LiteralValue) -> Const {
    match literal {
        LiteralValue::Null => Const::Null,
        LiteralValue::Boolean(value) => Const::Bool(*value.inner()),
        LiteralValue::Int(value) => Const::Int(*value.inner()),
        LiteralValue::UInt(value) => Const::Uint(*value.inner()),
        LiteralValue::Double(value) => Const::Double(*value.inner()),
        LiteralValue::String(text) => Const::Str(text.inner().into()),
        LiteralValue::Bytes(bytes) => Const::Bytes(bytes.inner().into()),
    }
}

fn comparison(name: &str) -> Option<Comparison> {
    Some(match name {
        operators::LESS => Comparison::Less,
        operators::LESS_EQUALS => Comparison::LessEqual,
        operators::GREATER => Comparison::Greater,
        operators::GREATER_EQUALS => Comparison::GreaterEqual,
        _ => return None,
    })
}

fn operator(name: &str) -> Option<Operator> {
    Some(match name {
        operators::ADD => Operator::Add,
        operators::SUBSTRACT => Operator::Subtract,
        operators::MULTIPLY => Operator::Multiply,
        operators::DIVIDE => Operator::Divide,
        operators::MODULO => Operator::Remainder,
        _ => return None,
    })
}
