//! Otherwise: what becomes of a message that no rule matches.

use std::fmt;

use serde::de::{Deserialize, Deserializer, Error, SeqAccess, Visitor};

/// A word or a list of routes.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub enum Otherwise {
    /// Next stage, unrouted.
    #[default]
    Pass,
    /// Counted by reason.
    Drop,
    /// Dead letter.
    Reject,
    /// To these.
    Routes(Vec<String>),
}

impl<'de> Deserialize<'de> for Otherwise {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_any(Words)
    }
}

struct Words;

impl<'de> Visitor<'de> for Words {
    type Value = Otherwise;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a list of routes, \"drop\", \"reject\" or \"pass\"")
    }

    fn visit_str<E: Error>(self, word: &str) -> Result<Otherwise, E> {
        match word {
            "pass" => Ok(Otherwise::Pass),
            "drop" => Ok(Otherwise::Drop),
            "reject" => Ok(Otherwise::Reject),
            _ => Err(E::custom(format!(
                "unknown word `{word}`: a list of routes, `drop`, `reject` or `pass`"
            ))),
        }
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut names: A) -> Result<Otherwise, A::Error> {
        let mut routes = Vec::new();
        while let Some(name) = names.next_element()? {
            routes.push(name);
        }
        Ok(Otherwise::Routes(routes))
    }
}
