//! From the text of a program to its expressions: jq 1.8's grammar.

mod construct;
mod term;

use crate::ast::{Assign, Ast, Def, Entry, Math, Pattern};
use crate::lex::{Token, token};

/// Expressions within each other: a bound on the stack that reading a program takes.
const MAX_NESTING: usize = 120;

/// One thing that is wrong with a program.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct CompileError {
    /// Bytes from the program's start.
    pub offset: usize,
    /// What is wrong, as one sentence.
    pub message: String,
}

type Parsed<T> = Result<T, CompileError>;

pub(crate) struct Parser<'s> {
    source: &'s str,
    at: usize,
    nesting: usize,
}

/// Reads a whole program.
pub(crate) fn program(source: &str) -> Parsed<Ast<'_>> {
    let mut parser = Parser { source, at: 0, nesting: 0 };
    let query = parser.query()?;
    match parser.peek() {
        Token::End => Ok(query),
        _ => Err(parser.unexpected("an operator or the end")),
    }
}

/// Reads functions up to the end.
pub(crate) fn definitions(source: &str) -> Parsed<Vec<Def<'_>>> {
    let mut parser = Parser { source, at: 0, nesting: 0 };
    let mut defs = Vec::new();
    while parser.take_word("def") {
        defs.push(parser.def()?);
    }
    match parser.peek() {
        Token::End => Ok(defs),
        _ => Err(parser.unexpected("a definition")),
    }
}

/// Words that are no function's name.
const KEYWORDS: [&str; 19] = [
    "as", "import", "include", "module", "def", "if", "then", "else", "elif", "and", "or", "end",
    "reduce", "foreach", "try", "catch", "label", "break", "__loc__",
];

impl<'s> Parser<'s> {
    fn peek(&self) -> Token<'s> {
        token(self.source, self.at).1
    }

    /// Where the next word begins.
    fn place(&self) -> usize {
        token(self.source, self.at).0
    }

    fn advance(&mut self) {
        self.at = token(self.source, self.at).2;
    }

    fn take_op(&mut self, op: &str) -> bool {
        let found = matches!(self.peek(), Token::Op(found) if found == op);
        if found {
            self.advance();
        }
        found
    }

    fn take_word(&mut self, word: &str) -> bool {
        let found = matches!(self.peek(), Token::Word(found) if found == word);
        if found {
            self.advance();
        }
        found
    }

    fn expect_op(&mut self, op: &'static str, what: &str) -> Parsed<()> {
        if self.take_op(op) { Ok(()) } else { Err(self.unexpected(what)) }
    }

    fn expect_word(&mut self, word: &str) -> Parsed<()> {
        if self.take_word(word) { Ok(()) } else { Err(self.unexpected(&format!("`{word}`"))) }
    }

    fn error(&self, offset: usize, message: impl Into<String>) -> CompileError {
        CompileError { offset, message: message.into() }
    }

    fn unexpected(&self, wanted: &str) -> CompileError {
        let (start, token, end) = token(self.source, self.at);
        let found = match token {
            Token::End => "the end".to_owned(),
            _ => format!("`{}`", self.source.get(start..end).unwrap_or_default()),
        };
        self.error(start, format!("expected {wanted}, found {found}"))
    }

    fn nested<T>(&mut self, parse: impl FnOnce(&mut Self) -> Parsed<T>) -> Parsed<T> {
        if self.nesting == MAX_NESTING {
            return Err(self.error(self.place(), "the program is nested too deeply"));
        }
        self.nesting += 1;
        let parsed = parse(self);
        self.nesting -= 1;
        parsed
    }

    /// `a | b`, `a, b`, and what reaches to the end: definitions, bindings and labels.
    fn query(&mut self) -> Parsed<Ast<'s>> {
        let mut stages = Vec::new();
        loop {
            let mut stage = self.item()?;
            while self.take_op(",") {
                stage = Ast::Comma(Box::new(stage), Box::new(self.item()?));
            }
            stages.push(stage);
            if !self.take_op("|") {
                break;
            }
        }
        // To the right, so that a long chain is a loop when it runs.
        let last = stages.pop().unwrap_or(Ast::Id);
        Ok(stages
            .into_iter()
            .rev()
            .fold(last, |right, left| Ast::Pipe(Box::new(left), Box::new(right))))
    }

    fn item(&mut self) -> Parsed<Ast<'s>> {
        match self.peek() {
            Token::Word("def") => {
                self.advance();
                let def = Box::new(self.def()?);
                let body = Box::new(self.nested(Self::query)?);
                Ok(Ast::Def { def, body })
            }
            Token::Word("label") => {
                self.advance();
                let name = self.var("a label, as `$out`")?;
                self.expect_op("|", "`|`")?;
                let body = Box::new(self.nested(Self::query)?);
                Ok(Ast::Label { name, body })
            }
            Token::Word("import" | "include" | "module") => {
                Err(self.error(self.place(), "modules cannot be imported"))
            }
            _ => {
                let source = self.expression(0)?;
                if !self.take_word("as") {
                    return Ok(source);
                }
                let patterns = self.patterns()?;
                self.expect_op("|", "`|`")?;
                let body = Box::new(self.nested(Self::query)?);
                Ok(Ast::Bind { source: Box::new(source), patterns, body })
            }
        }
    }

    fn var(&mut self, what: &str) -> Parsed<&'s str> {
        match self.peek() {
            Token::Var(name) => {
                self.advance();
                Ok(name)
            }
            _ => Err(self.unexpected(what)),
        }
    }

    /// After `def`.
    fn def(&mut self) -> Parsed<Def<'s>> {
        let Token::Word(name) = self.peek() else { return Err(self.unexpected("a name")) };
        if KEYWORDS.contains(&name) {
            return Err(self.unexpected("a name"));
        }
        self.advance();
        let mut params = Vec::new();
        if self.take_op("(") {
            loop {
                match self.peek() {
                    Token::Var(name) => params.push((name, true)),
                    Token::Word(name) if !KEYWORDS.contains(&name) => params.push((name, false)),
                    _ => return Err(self.unexpected("a parameter")),
                }
                self.advance();
                if !self.take_op(";") {
                    break;
                }
            }
            self.expect_op(")", "`)`")?;
        }
        self.expect_op(":", "`:`")?;
        let body = self.nested(Self::query)?;
        self.expect_op(";", "`;`")?;
        Ok(Def { name, params, body })
    }

    /// Operators of this binding strength or more.
    fn expression(&mut self, least: u8) -> Parsed<Ast<'s>> {
        let mut left = self.postfix()?;
        let mut compared = false;
        loop {
            let place = self.place();
            let Some((strength, right_first, operator)) = operator(self.peek()) else { break };
            if strength < least {
                break;
            }
            // Neither comparisons nor assignments stand in a row.
            let alone = matches!(strength, ASSIGNMENT | COMPARISON);
            if alone && compared {
                return Err(self.error(place, "put brackets around one of these"));
            }
            compared = alone;
            self.advance();
            let least = if right_first { strength } else { strength + 1 };
            let right = Box::new(self.nested(|parser| parser.expression(least))?);
            left = operator.apply(Box::new(left), right);
        }
        Ok(left)
    }

    fn patterns(&mut self) -> Parsed<Vec<Pattern<'s>>> {
        let mut patterns = vec![self.pattern()?];
        while self.take_op("?//") {
            patterns.push(self.pattern()?);
        }
        Ok(patterns)
    }

    fn pattern(&mut self) -> Parsed<Pattern<'s>> {
        match self.peek() {
            Token::Var(name) => {
                self.advance();
                Ok(Pattern::Var(name))
            }
            Token::Op("[") => {
                self.advance();
                let mut elements = vec![self.nested(Self::pattern)?];
                while self.take_op(",") {
                    elements.push(self.nested(Self::pattern)?);
                }
                self.expect_op("]", "`]`")?;
                Ok(Pattern::Array(elements))
            }
            Token::Op("{") => {
                self.advance();
                let mut entries = vec![self.nested(Self::entry)?];
                while self.take_op(",") {
                    entries.push(self.nested(Self::entry)?);
                }
                self.expect_op("}", "`}`")?;
                Ok(Pattern::Object(entries))
            }
            _ => Err(self.unexpected("a variable or a pattern")),
        }
    }

    fn entry(&mut self) -> Parsed<Entry<'s>> {
        let (key, var) = match self.peek() {
            Token::Var(name) => {
                self.advance();
                (Ast::Const(name.into()), Some(name))
            }
            Token::Word(name) => {
                self.advance();
                (Ast::Const(name.into()), None)
            }
            Token::Quote | Token::Format(_) => (self.text()?, None),
            Token::Op("(") => {
                self.advance();
                let key = self.nested(Self::query)?;
                self.expect_op(")", "`)`")?;
                (key, None)
            }
            _ => return Err(self.unexpected("a key")),
        };
        let pattern = match (self.take_op(":"), var) {
            (true, _) => Some(self.pattern()?),
            (false, Some(_)) => None,
            (false, None) => return Err(self.unexpected("`:`")),
        };
        Ok(Entry { key, var, pattern })
    }
}

const ASSIGNMENT: u8 = 1;
const COMPARISON: u8 = 4;

enum Operator {
    Math(Math),
    Logic(bool),
    Alt,
    Assign(Assign),
}

impl Operator {
    fn apply<'s>(self, left: Box<Ast<'s>>, right: Box<Ast<'s>>) -> Ast<'s> {
        match self {
            Self::Math(math) => Ast::Math(math, left, right),
            Self::Logic(or) => Ast::Logic { or, left, right },
            Self::Alt => Ast::Alt(left, right),
            Self::Assign(assign) => Ast::Assign(assign, left, right),
        }
    }
}

/// Binding strength, whether a row of it is read from the right, and what it does.
fn operator(token: Token<'_>) -> Option<(u8, bool, Operator)> {
    use Operator::{Alt, Assign as Set, Logic, Math as Calculate};
    let (strength, operator) = match token {
        Token::Op("//") => return Some((0, true, Alt)),
        Token::Op("=") => (ASSIGNMENT, Set(Assign::Set)),
        Token::Op("|=") => (ASSIGNMENT, Set(Assign::Update)),
        Token::Op("+=") => (ASSIGNMENT, Set(Assign::Math(Math::Add))),
        Token::Op("-=") => (ASSIGNMENT, Set(Assign::Math(Math::Sub))),
        Token::Op("*=") => (ASSIGNMENT, Set(Assign::Math(Math::Mul))),
        Token::Op("/=") => (ASSIGNMENT, Set(Assign::Math(Math::Div))),
        Token::Op("%=") => (ASSIGNMENT, Set(Assign::Math(Math::Rem))),
        Token::Op("//=") => (ASSIGNMENT, Set(Assign::Alt)),
        Token::Word("or") => (2, Logic(true)),
        Token::Word("and") => (3, Logic(false)),
        Token::Op("==") => (COMPARISON, Calculate(Math::Eq)),
        Token::Op("!=") => (COMPARISON, Calculate(Math::Ne)),
        Token::Op("<") => (COMPARISON, Calculate(Math::Lt)),
        Token::Op("<=") => (COMPARISON, Calculate(Math::Le)),
        Token::Op(">") => (COMPARISON, Calculate(Math::Gt)),
        Token::Op(">=") => (COMPARISON, Calculate(Math::Ge)),
        Token::Op("+") => (5, Calculate(Math::Add)),
        Token::Op("-") => (5, Calculate(Math::Sub)),
        Token::Op("*") => (6, Calculate(Math::Mul)),
        Token::Op("/") => (6, Calculate(Math::Div)),
        Token::Op("%") => (6, Calculate(Math::Rem)),
        _ => return None,
    };
    Some((strength, false, operator))
}
