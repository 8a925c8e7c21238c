//! What is written out: texts with expressions in them, and objects.

use super::{Parsed, Parser};
use crate::ast::{Ast, Part};
use crate::json::unescape;
use crate::lex::Token;
use crate::value::Val;

impl<'s> Parser<'s> {
    /// A string, with the format before it.
    pub(super) fn text(&mut self) -> Parsed<Ast<'s>> {
        let at = self.place();
        let mut format = None;
        if let Token::Format(name) = self.peek() {
            format = Some(name);
            self.advance();
        }
        if self.peek() != Token::Quote {
            return Err(self.unexpected("a string"));
        }
        self.advance();
        let (mut parts, mut text) = (Vec::new(), String::new());
        loop {
            let rest = self.source.get(self.at..).unwrap_or_default();
            let Some(next) = rest.chars().next() else {
                return Err(self.error(at, "this string has no end"));
            };
            match next {
                '"' => {
                    self.at += 1;
                    break;
                }
                '\\' if rest.starts_with("\\(") => {
                    self.at += 2;
                    let query = self.nested(Self::query)?;
                    self.expect_op(")", "closing bracket")?;
                    parts.push(Part::Text(std::mem::take(&mut text)));
                    parts.push(Part::Query(query));
                }
                '\\' => {
                    let Some((character, length)) = unescape(rest) else {
                        return Err(self.error(self.at, "an escape that there is not"));
                    };
                    text.push(character);
                    self.at += length;
                }
                next => {
                    text.push(next);
                    self.at += next.len_utf8();
                }
            }
        }
        if parts.is_empty() {
            return Ok(Ast::Const(Val::from(text)));
        }
        parts.push(Part::Text(text));
        parts.retain(|part| !matches!(part, Part::Text(text) if text.is_empty()));
        Ok(Ast::Text { format, parts, at })
    }

    /// After `{`.
    pub(super) fn object(&mut self) -> Parsed<Ast<'s>> {
        let mut members = Vec::new();
        while !self.take_op("}") {
            members.push(self.nested(Self::member)?);
            if !self.take_op(",") {
                self.expect_op("}", "closing bracket")?;
                break;
            }
        }
        Ok(Ast::Object(members))
    }

    fn member(&mut self) -> Parsed<(Ast<'s>, Ast<'s>)> {
        let at = self.place();
        let field = |key: Ast<'s>| Ast::Index {
            of: Box::new(Ast::Id),
            key: Box::new(key),
            optional: false,
        };
        let (key, short) = match self.peek() {
            Token::Word(name) => {
                self.advance();
                let key = Ast::Const(name.into());
                (key.clone(), Some(field(key)))
            }
            Token::Var(name) => {
                self.advance();
                let value = match name {
                    "__loc__" => Ast::Const(self.location(at)),
                    _ => Ast::Var { name, at },
                };
                if self.take_op(":") {
                    return Ok((value, self.member_value()?));
                }
                (Ast::Const(name.into()), Some(value))
            }
            Token::Quote | Token::Format(_) => {
                let key = self.text()?;
                (key.clone(), Some(field(key)))
            }
            Token::Op("(") => {
                self.advance();
                let key = self.query()?;
                self.expect_op(")", "closing bracket")?;
                (key, None)
            }
            _ => return Err(self.unexpected("a key")),
        };
        if self.take_op(":") {
            return Ok((key, self.member_value()?));
        }
        match short {
            Some(value) => Ok((key, value)),
            None => Err(self.unexpected("`:`")),
        }
    }

    /// A member's value: no comma outside of brackets.
    fn member_value(&mut self) -> Parsed<Ast<'s>> {
        let mut value = self.expression(0)?;
        while self.take_op("|") {
            value = Ast::Pipe(Box::new(value), Box::new(self.expression(0)?));
        }
        Ok(value)
    }
}
