//! Exchange: bindings, and which of them a message takes.

use std::collections::HashMap;
use std::sync::Arc;

use lockgate_message::{Table, Value};

use crate::arguments::same_table;
use crate::matching::HeaderMatch;
use crate::pattern::Pattern;
use crate::{BrokerError, ExchangeKind, ExchangeOptions};

/// What a binding leads to, by its place in the topology.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Destination {
    Queue(usize),
    Exchange(usize),
}

pub(crate) struct Exchange {
    pub(crate) options: ExchangeOptions,
    pub(crate) alternate: Option<Arc<str>>,
    /// By the key they match exactly: direct bindings, and topics without a wildcard.
    exact: HashMap<Box<str>, Vec<Bound>>,
    /// All others.
    matched: Vec<(Matcher, Bound)>,
}

struct Bound {
    to: Destination,
    key: Box<str>,
    arguments: Table,
}

enum Matcher {
    Always,
    Topic(Pattern),
    Headers(HeaderMatch),
}

impl Exchange {
    /// # Errors
    /// An alternate exchange that is not text.
    pub(crate) fn new(options: ExchangeOptions) -> Result<Self, BrokerError> {
        let alternate = match options.arguments.get("alternate-exchange").map(Value::as_text) {
            None => None,
            Some(Some(name)) => Some(name.into()),
            Some(None) => {
                let text = "argument `alternate-exchange` must be text";
                return Err(BrokerError::Precondition(text.into()));
            }
        };
        Ok(Self { options, alternate, exact: HashMap::new(), matched: Vec::new() })
    }

    /// Adds a binding unless there is the same; says whether it is new.
    ///
    /// # Errors
    /// Arguments that no headers exchange understands.
    pub(crate) fn bind(
        &mut self,
        to: Destination,
        key: &str,
        arguments: &Table,
    ) -> Result<bool, BrokerError> {
        let matcher = match self.options.kind {
            ExchangeKind::Direct => None,
            ExchangeKind::Fanout => Some(Matcher::Always),
            ExchangeKind::Topic => {
                let pattern = Pattern::new(key);
                (!pattern.is_exact()).then_some(Matcher::Topic(pattern))
            }
            ExchangeKind::Headers => Some(Matcher::Headers(
                HeaderMatch::parse(arguments).map_err(BrokerError::Precondition)?,
            )),
        };
        let same = |bound: &Bound| {
            bound.to == to && *bound.key == *key && same_table(&bound.arguments, arguments)
        };
        let exists = match &matcher {
            None => self.exact.get(key).is_some_and(|there| there.iter().any(same)),
            Some(_) => self.matched.iter().any(|(_, bound)| same(bound)),
        };
        if exists {
            return Ok(false);
        }
        let bound = Bound { to, key: key.into(), arguments: arguments.clone() };
        match matcher {
            None => self.exact.entry(key.into()).or_default().push(bound),
            Some(matcher) => self.matched.push((matcher, bound)),
        }
        Ok(true)
    }

    /// Calls `found` for each binding that a message takes.
    pub(crate) fn each(&self, key: &str, headers: &Table, mut found: impl FnMut(Destination)) {
        if let Some(exact) = self.exact.get(key) {
            exact.iter().for_each(|bound| found(bound.to));
        }
        for (matcher, bound) in &self.matched {
            let takes = match matcher {
                Matcher::Always => true,
                Matcher::Topic(pattern) => pattern.matches(key),
                Matcher::Headers(matching) => matching.matches(headers),
            };
            if takes {
                found(bound.to);
            }
        }
    }
}
