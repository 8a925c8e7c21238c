//! Terms: names, numbers, brackets, and what follows them.

use super::{KEYWORDS, Parsed, Parser};
use crate::ast::{Ast, Fold};
use crate::lex::Token;
use crate::number::parse_loose;
use crate::value::Val;

impl<'s> Parser<'s> {
    /// A term with its fields, indices and question marks.
    pub(super) fn postfix(&mut self) -> Parsed<Ast<'s>> {
        if self.take_op("-") {
            return Ok(Ast::Neg(Box::new(self.nested(Self::postfix)?)));
        }
        let mut term = self.nested(Self::term)?;
        loop {
            term = match self.peek() {
                Token::Field(name) => {
                    self.advance();
                    self.index(term, Ast::Const(name.into()))
                }
                Token::Op("[") => self.nested(|parser| parser.bracket(term))?,
                Token::Op(".") => {
                    self.advance();
                    match self.peek() {
                        Token::Quote | Token::Format(_) => {
                            let key = self.text()?;
                            self.index(term, key)
                        }
                        Token::Op("[") => self.nested(|parser| parser.bracket(term))?,
                        _ => return Err(self.unexpected("a field")),
                    }
                }
                _ if self.take_question() => Ast::Try { body: Box::new(term), catch: None },
                _ => return Ok(term),
            };
        }
    }

    /// A `?`, also where `//` follows.
    fn take_question(&mut self) -> bool {
        let found = matches!(self.peek(), Token::Op("?" | "?//"));
        if found {
            self.at = self.place() + 1;
        }
        found
    }

    fn index(&mut self, of: Ast<'s>, key: Ast<'s>) -> Ast<'s> {
        let optional = self.take_question();
        Ast::Index { of: Box::new(of), key: Box::new(key), optional }
    }

    /// `[]`, `[key]`, `[from:to]` behind a term.
    fn bracket(&mut self, of: Ast<'s>) -> Parsed<Ast<'s>> {
        self.expect_op("[", "`[`")?;
        let of = Box::new(of);
        if self.take_op("]") {
            let optional = self.take_question();
            return Ok(Ast::Each { of, optional });
        }
        let from = match self.peek() {
            Token::Op(":") => None,
            _ => Some(self.query()?),
        };
        if !self.take_op(":") {
            self.expect_op("]", "closing bracket")?;
            return Ok(self.index(*of, from.unwrap_or(Ast::Id)));
        }
        let to = match self.peek() {
            Token::Op("]") if from.is_some() => None,
            _ => Some(Box::new(self.query()?)),
        };
        self.expect_op("]", "closing bracket")?;
        let optional = self.take_question();
        Ok(Ast::Slice { of, from: from.map(Box::new), to, optional })
    }

    fn term(&mut self) -> Parsed<Ast<'s>> {
        let at = self.place();
        let token = self.peek();
        match token {
            Token::Quote => return self.text(),
            Token::Format(name) => {
                let before = self.at;
                self.advance();
                if self.peek() == Token::Quote {
                    self.at = before;
                    return self.text();
                }
                return Ok(Ast::Format { name, at });
            }
            Token::Word(name) => return self.word(name, at),
            _ => {}
        }
        self.advance();
        match token {
            Token::Op(".") => match self.peek() {
                Token::Quote | Token::Format(_) => {
                    let key = self.text()?;
                    Ok(self.index(Ast::Id, key))
                }
                _ => Ok(Ast::Id),
            },
            Token::Op("..") => Ok(Ast::Call { name: "recurse", args: Vec::new(), at }),
            Token::Field(name) => Ok(self.index(Ast::Id, Ast::Const(name.into()))),
            Token::Var("__loc__") => Ok(Ast::Const(self.location(at))),
            Token::Var(name) => Ok(Ast::Var { name, at }),
            Token::Number(text) => {
                let number = parse_loose(text).ok_or_else(|| self.error(at, "not a number"))?;
                Ok(Ast::Const(Val::Num(number)))
            }
            Token::Op("(") => {
                let inner = self.query()?;
                self.expect_op(")", "closing bracket")?;
                Ok(inner)
            }
            Token::Op("[") if self.take_op("]") => Ok(Ast::Array(None)),
            Token::Op("[") => {
                let inner = self.query()?;
                self.expect_op("]", "closing bracket")?;
                Ok(Ast::Array(Some(Box::new(inner))))
            }
            Token::Op("{") => self.object(),
            _ => {
                self.at = at;
                Err(self.unexpected("term"))
            }
        }
    }

    /// The object that `$__loc__` is.
    pub(super) fn location(&self, at: usize) -> Val {
        let lines = self.source.get(..at).unwrap_or_default().matches('\n').count();
        [("file".into(), Val::from("<top-level>")), ("line".into(), Val::from(lines + 1))]
            .into_iter()
            .collect()
    }

    fn word(&mut self, name: &'s str, at: usize) -> Parsed<Ast<'s>> {
        match name {
            "if" => {
                self.advance();
                self.conditional()
            }
            "try" => {
                self.advance();
                let body = Box::new(self.postfix()?);
                let caught = self.take_word("catch");
                let catch = caught.then(|| self.postfix().map(Box::new)).transpose()?;
                Ok(Ast::Try { body, catch })
            }
            "reduce" | "foreach" => {
                self.advance();
                self.fold(name == "foreach")
            }
            "def" | "label" => self.query(),
            "break" => {
                self.advance();
                let name = self.var("a label, as `$out`")?;
                Ok(Ast::Break { name, at })
            }
            name if KEYWORDS.contains(&name) => Err(self.unexpected("term")),
            name => {
                self.advance();
                match name {
                    "null" => return Ok(Ast::Const(Val::Null)),
                    "true" => return Ok(Ast::Const(Val::Bool(true))),
                    "false" => return Ok(Ast::Const(Val::Bool(false))),
                    _ => {}
                }
                let mut args = Vec::new();
                if self.take_op("(") {
                    args.push(self.query()?);
                    while self.take_op(";") {
                        args.push(self.query()?);
                    }
                    self.expect_op(")", "closing bracket")?;
                }
                Ok(Ast::Call { name, args, at })
            }
        }
    }

    /// After `if` or `elif`.
    fn conditional(&mut self) -> Parsed<Ast<'s>> {
        let cond = Box::new(self.query()?);
        self.expect_word("then")?;
        let then = Box::new(self.query()?);
        let other = if self.take_word("elif") {
            self.nested(Self::conditional)?
        } else {
            let other = if self.take_word("else") { self.query()? } else { Ast::Id };
            self.expect_word("end")?;
            other
        };
        Ok(Ast::If { cond, then, other: Box::new(other) })
    }

    /// After `reduce` or `foreach`.
    fn fold(&mut self, each: bool) -> Parsed<Ast<'s>> {
        let source = self.expression(0)?;
        self.expect_word("as")?;
        let patterns = self.patterns()?;
        self.expect_op("(", "`(`")?;
        let init = self.query()?;
        self.expect_op(";", "`;`")?;
        let update = self.query()?;
        let extract = if each && self.take_op(";") { Some(self.query()?) } else { None };
        self.expect_op(")", "closing bracket")?;
        Ok(Ast::Fold(Box::new(Fold { each, source, patterns, init, update, extract })))
    }
}
