//! Patterns: what `as`, `reduce` and `foreach` bind.

use super::{Compiler, Entry};
use crate::ast::{self, Ast, Fold};
use crate::node::{Arm, Kind, Pattern};

impl<'s> Compiler<'s> {
    pub(super) fn bind(
        &mut self,
        source: &Ast<'s>,
        patterns: &[ast::Pattern<'s>],
        body: &Ast<'s>,
    ) -> Kind {
        let source = self.boxed(source);
        Kind::Bind { source, arms: self.arms(patterns, body, None) }
    }

    pub(super) fn fold(&mut self, fold: &Fold<'s>) -> Kind {
        let source = self.boxed(&fold.source);
        let init = self.boxed(&fold.init);
        let arms = self.arms(&fold.patterns, &fold.update, fold.extract.as_ref());
        Kind::Fold { each: fold.each, source, init, arms }
    }

    /// The body once for each pattern. Where there are several, each has the variables of all.
    fn arms(
        &mut self,
        patterns: &[ast::Pattern<'s>],
        body: &Ast<'s>,
        extract: Option<&Ast<'s>>,
    ) -> Vec<Arm> {
        let mut all = Vec::new();
        if patterns.len() > 1 {
            patterns.iter().for_each(|pattern| names(pattern, &mut all));
            all.sort_unstable();
            all.dedup();
        }
        let mut arms = Vec::new();
        for pattern in patterns {
            let length = self.scope.len();
            for name in &all {
                self.push(Entry::Var { name, callable: false });
            }
            let pattern = self.pattern(pattern);
            let body = self.node(body);
            let extract = extract.map(|extract| self.node(extract));
            self.leave(length);
            arms.push(Arm { nulls: all.len(), pattern, body, extract });
        }
        arms
    }

    /// Compiles a pattern, and leaves its variables in scope.
    fn pattern(&mut self, pattern: &ast::Pattern<'s>) -> Pattern {
        match pattern {
            ast::Pattern::Var(name) => {
                self.push(Entry::Var { name, callable: false });
                Pattern::Var
            }
            ast::Pattern::Array(elements) => {
                Pattern::Array(elements.iter().map(|element| self.pattern(element)).collect())
            }
            ast::Pattern::Object(entries) => {
                let mut compiled = Vec::new();
                for entry in entries {
                    let key = self.node(&entry.key);
                    if let Some(name) = entry.var {
                        self.push(Entry::Var { name, callable: false });
                    }
                    let inner = entry.pattern.as_ref().map(|pattern| self.pattern(pattern));
                    compiled.push((key, entry.var.is_some(), inner));
                }
                Pattern::Object(compiled)
            }
        }
    }
}

fn names<'s>(pattern: &ast::Pattern<'s>, out: &mut Vec<&'s str>) {
    match pattern {
        ast::Pattern::Var(name) => out.push(name),
        ast::Pattern::Array(elements) => elements.iter().for_each(|element| names(element, out)),
        ast::Pattern::Object(entries) => {
            for entry in entries {
                out.extend(entry.var);
                entry.pattern.iter().for_each(|pattern| names(pattern, out));
            }
        }
    }
}
