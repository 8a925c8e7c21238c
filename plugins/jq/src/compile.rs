//! Names become places: every variable and function of a program is found, or said to be missing.

mod missing;
mod pattern;

use std::collections::HashMap;

use crate::ast::{Assign, Ast, Def, Part};
use crate::functions;
use crate::node::{Arg, Body, Kind, Node};
use crate::parse::{self, CompileError};
use crate::value::Val;

/// What is written in jq itself.
const PRELUDE: &str = include_str!("prelude.jq");

/// What a program reads of a message beside its body, in the order of their places.
pub const GLOBALS: [&str; 4] = ["headers", "properties", "routing_key", "exchange"];

pub(crate) struct Compiled {
    pub(crate) main: Node,
    pub(crate) bodies: Vec<Body>,
    pub(crate) globals: [bool; GLOBALS.len()],
}

/// Compiles a program.
pub(crate) fn compile(source: &str) -> Result<Compiled, Vec<CompileError>> {
    let ast = parse::program(source).map_err(|error| vec![error])?;
    let defs = parse::definitions(PRELUDE).map_err(|error| vec![error])?;
    let prelude = defs.into_iter().map(|def| ((def.name, def.params.len()), def)).collect();
    let mut compiler = Compiler {
        scope: GLOBALS.into_iter().map(|name| Entry::Var { name, callable: false }).collect(),
        depth: GLOBALS.len(),
        bodies: Vec::new(),
        prelude,
        done: HashMap::new(),
        errors: Vec::new(),
        globals: [false; GLOBALS.len()],
        in_prelude: false,
    };
    let main = compiler.node(&ast);
    if !compiler.errors.is_empty() {
        compiler.errors.sort_by_key(|error| error.offset);
        return Err(compiler.errors);
    }
    let unreached = || Body { node: Node::new(Kind::Id) };
    let bodies = compiler.bodies.into_iter().map(|body| body.unwrap_or_else(unreached)).collect();
    Ok(Compiled { main, bodies, globals: compiler.globals })
}

enum Entry<'s> {
    /// A variable; as a function's parameter it can be called as well.
    Var {
        name: &'s str,
        callable: bool,
    },
    Param {
        name: &'s str,
    },
    Label {
        name: &'s str,
    },
    /// A function takes no place at run time.
    Def {
        name: &'s str,
        arity: usize,
        id: usize,
        depth: usize,
        values: Vec<bool>,
    },
}

struct Compiler<'s> {
    scope: Vec<Entry<'s>>,
    /// Places that the scope takes.
    depth: usize,
    bodies: Vec<Option<Body>>,
    prelude: HashMap<(&'static str, usize), Def<'static>>,
    /// Functions of the prelude that are compiled, or being compiled.
    done: HashMap<(&'static str, usize), usize>,
    errors: Vec<CompileError>,
    globals: [bool; GLOBALS.len()],
    in_prelude: bool,
}

impl<'s> Compiler<'s> {
    fn push(&mut self, entry: Entry<'s>) {
        if !matches!(entry, Entry::Def { .. }) {
            self.depth += 1;
        }
        self.scope.push(entry);
    }

    /// Takes what was pushed since off again.
    fn leave(&mut self, length: usize) {
        while self.scope.len() > length {
            if !matches!(self.scope.pop(), Some(Entry::Def { .. })) {
                self.depth -= 1;
            }
        }
    }

    fn error(&mut self, offset: usize, message: String) -> Kind {
        // The prelude is ours: what is missing in it is told by its test.
        let offset = if self.in_prelude { 0 } else { offset };
        self.errors.push(CompileError { offset, message });
        Kind::Const(Val::Null)
    }

    fn boxed(&mut self, ast: &Ast<'s>) -> Box<Node> {
        Box::new(self.node(ast))
    }

    fn node(&mut self, ast: &Ast<'s>) -> Node {
        let kind = self.kind(ast);
        let mut node = Node::new(kind);
        if let Kind::Call { def, args, .. } = &node.kind {
            let body = self.bodies.get(*def).and_then(Option::as_ref);
            node.single = body.is_some_and(|body| body.node.single)
                && args.iter().all(|arg| matches!(arg, Arg::Query(_)) || is_single(arg));
        }
        node
    }

    fn kind(&mut self, ast: &Ast<'s>) -> Kind {
        match ast {
            Ast::Id => Kind::Id,
            Ast::Const(value) => Kind::Const(value.clone()),
            Ast::Var { name, at } => self.var(name, *at),
            Ast::Text { format, parts, at } => self.text(format.unwrap_or("text"), parts, *at),
            Ast::Format { name, at } => self.format(name, *at, None),
            Ast::Index { of, key, optional } => {
                Kind::Index { of: self.boxed(of), key: self.boxed(key), optional: *optional }
            }
            Ast::Slice { of, from, to, optional } => {
                let mut bound = |bound: &Option<Box<Ast<'s>>>| match bound {
                    Some(bound) => self.boxed(bound),
                    None => Box::new(Node::new(Kind::Const(Val::Null))),
                };
                let (from, to) = (bound(from), bound(to));
                Kind::Slice { of: self.boxed(of), from, to, optional: *optional }
            }
            Ast::Each { of, optional } => Kind::Each { of: self.boxed(of), optional: *optional },
            Ast::Try { body, catch } => {
                let body = self.boxed(body);
                Kind::Try { body, catch: catch.as_ref().map(|catch| self.boxed(catch)) }
            }
            Ast::Neg(inner) => match self.node(inner) {
                Node { kind: Kind::Const(Val::Num(number)), .. } => {
                    Kind::Const(Val::Num(number.neg()))
                }
                node => Kind::Neg(Box::new(node)),
            },
            Ast::Pipe(left, right) => Kind::Pipe(self.boxed(left), self.boxed(right)),
            Ast::Comma(left, right) => Kind::Comma(self.boxed(left), self.boxed(right)),
            Ast::Math(math, left, right) => Kind::Math(*math, self.boxed(left), self.boxed(right)),
            Ast::Logic { or, left, right } => {
                Kind::Logic { or: *or, left: self.boxed(left), right: self.boxed(right) }
            }
            Ast::Alt(left, right) => Kind::Alt(self.boxed(left), self.boxed(right)),
            Ast::Assign(assign, left, right) => self.assign(*assign, left, right),
            Ast::Array(None) => Kind::Const(Val::from(Vec::new())),
            Ast::Array(Some(inner)) => Kind::Array(self.boxed(inner)),
            Ast::Object(members) => {
                let member = |(key, value): &(Ast<'s>, Ast<'s>)| (self.node(key), self.node(value));
                Kind::Object(members.iter().map(member).collect())
            }
            Ast::If { cond, then, other } => Kind::If {
                cond: self.boxed(cond),
                then: self.boxed(then),
                other: self.boxed(other),
            },
            Ast::Fold(fold) => self.fold(fold),
            Ast::Bind { source, patterns, body } => self.bind(source, patterns, body),
            Ast::Label { name, body } => {
                let length = self.scope.len();
                self.push(Entry::Label { name });
                let body = self.boxed(body);
                self.leave(length);
                Kind::Label(body)
            }
            Ast::Break { name, at } => self.break_to(name, *at),
            Ast::Def { def, body } => {
                let length = self.scope.len();
                self.define(def);
                let kind = self.kind(body);
                self.leave(length);
                kind
            }
            Ast::Call { name, args, at } => self.call(name, args, *at),
        }
    }

    fn assign(&mut self, assign: Assign, left: &Ast<'s>, right: &Ast<'s>) -> Kind {
        Kind::Assign(assign, self.boxed(left), self.boxed(right))
    }

    fn break_to(&mut self, name: &str, at: usize) -> Kind {
        let is_label =
            |entry: &Entry<'_>| matches!(entry, Entry::Label { name: found } if *found == name);
        match self.place(is_label) {
            Some(place) => Kind::Break(place),
            None => self.error(at, format!("undefined label `${name}`")),
        }
    }

    /// How far out the innermost such entry is.
    fn place(&self, is: impl Fn(&Entry<'_>) -> bool) -> Option<usize> {
        let places = self.scope.iter().rev().filter(|entry| !matches!(entry, Entry::Def { .. }));
        places.enumerate().find(|(_, entry)| is(entry)).map(|(place, _)| place)
    }

    fn var(&mut self, name: &str, at: usize) -> Kind {
        let is_var =
            |entry: &Entry<'_>| matches!(entry, Entry::Var { name: found, .. } if *found == name);
        let Some(place) = self.place(is_var) else {
            let message = missing::variable(name);
            return self.error(at, message);
        };
        let from_start = self.depth - 1 - place;
        if let Some(used) = self.globals.get_mut(from_start).filter(|_| !self.in_prelude) {
            *used = true;
        }
        Kind::Var(place)
    }

    fn text(&mut self, format: &'s str, parts: &[Part<'s>], at: usize) -> Kind {
        let parts = parts.iter().map(|part| match part {
            Part::Text(text) => Node::new(Kind::Const(Val::from(text.as_str()))),
            Part::Query(query) => {
                let query = self.node(query);
                Node::new(self.format(format, at, Some(query)))
            }
        });
        Kind::Text(parts.collect())
    }

    fn format(&mut self, name: &str, at: usize, of: Option<Node>) -> Kind {
        let Some(native) = functions::format(name) else {
            let message = format!("`@{name}` is not a format");
            return self.error(at, message);
        };
        let format = Kind::Native(native, Vec::new());
        match of {
            Some(of) => Kind::Pipe(Box::new(of), Box::new(Node::new(format))),
            None => format,
        }
    }

    /// Compiles a function and puts it into scope, for itself as well.
    fn define(&mut self, def: &Def<'s>) -> usize {
        let id = self.bodies.len();
        self.bodies.push(None);
        let depth = self.depth;
        let values = def.params.iter().map(|(_, value)| *value).collect();
        self.push(Entry::Def { name: def.name, arity: def.params.len(), id, depth, values });
        let length = self.scope.len();
        for (name, value) in &def.params {
            self.push(match value {
                true => Entry::Var { name, callable: true },
                false => Entry::Param { name },
            });
        }
        let node = self.node(&def.body);
        self.leave(length);
        if let Some(body) = self.bodies.get_mut(id) {
            *body = Some(Body { node });
        }
        id
    }

    fn call(&mut self, name: &'s str, args: &[Ast<'s>], at: usize) -> Kind {
        let arity = args.len();
        let (mut place, mut found) = (0, None);
        for entry in self.scope.iter().rev() {
            match entry {
                Entry::Def { name: def, arity: params, id, depth, values }
                    if *def == name && *params == arity =>
                {
                    found = Some(Ok((*id, *depth, values.clone())));
                }
                Entry::Param { name: param } if *param == name && arity == 0 => {
                    found = Some(Err(Kind::Param(place)));
                }
                Entry::Var { name: var, callable: true } if *var == name && arity == 0 => {
                    found = Some(Err(Kind::Var(place)));
                }
                _ => {}
            }
            if found.is_some() {
                break;
            }
            place += usize::from(!matches!(entry, Entry::Def { .. }));
        }
        match found {
            Some(Err(kind)) => kind,
            Some(Ok((id, depth, values))) => self.call_def(id, depth, &values, args),
            None => self.builtin(name, args, at),
        }
    }

    fn call_def(&mut self, def: usize, depth: usize, values: &[bool], args: &[Ast<'s>]) -> Kind {
        let outward = self.depth - depth;
        let args = args.iter().zip(values).map(|(arg, value)| match value {
            true => Arg::Value(self.node(arg)),
            false => Arg::Query(self.node(arg)),
        });
        Kind::Call { def, args: args.collect(), outward }
    }

    /// A function that is not the program's own.
    fn builtin(&mut self, name: &'s str, args: &[Ast<'s>], at: usize) -> Kind {
        if self.in_prelude || !name.starts_with('_') {
            if let Some(native) = functions::native(name, args.len()) {
                return Kind::Native(native, args.iter().map(|arg| self.node(arg)).collect());
            }
            if let Some(form) = functions::form(name, args.len()) {
                return Kind::Form(form, args.iter().map(|arg| self.node(arg)).collect());
            }
            if let Some((id, values)) = self.prelude_def(name, args.len()) {
                return self.call_def(id, 0, &values, args);
            }
        }
        let message = missing::function(name, args.len(), &self.prelude);
        self.error(at, message)
    }

    /// A function of the prelude, compiled when it is first called.
    fn prelude_def(&mut self, name: &str, arity: usize) -> Option<(usize, Vec<bool>)> {
        let is_it = |key: &&(&str, usize)| key.0 == name && key.1 == arity;
        let key = *self.prelude.keys().find(is_it)?;
        let def = self.prelude.get(&key)?.clone();
        let values = def.params.iter().map(|(_, value)| *value).collect();
        if let Some(id) = self.done.get(&key) {
            return Some((*id, values));
        }
        let scope = std::mem::take(&mut self.scope);
        let depth = std::mem::replace(&mut self.depth, 0);
        let outside = std::mem::replace(&mut self.in_prelude, true);
        self.done.insert(key, self.bodies.len());
        let id = self.define(&def);
        self.scope = scope;
        self.depth = depth;
        self.in_prelude = outside;
        Some((id, values))
    }
}

fn is_single(arg: &Arg) -> bool {
    let (Arg::Value(node) | Arg::Query(node)) = arg;
    node.single
}
