//! Header matching: the bindings of headers exchanges.

use lockgate_message::{Table, Value};

use crate::arguments::same_value;

/// The arguments of one binding, compiled.
#[derive(Clone, Debug)]
pub(crate) struct HeaderMatch {
    any: bool,
    /// `Void` asks for presence only.
    wanted: Vec<(String, Value)>,
}

impl HeaderMatch {
    /// `x-match` is `all` (default), `any`, or one of them `-with-x`, which counts arguments
    /// whose names begin with `x-` too.
    ///
    /// # Errors
    /// Another `x-match`.
    pub(crate) fn parse(arguments: &Table) -> Result<Self, String> {
        let (any, with_x) = match arguments.get("x-match").map(|value| (value, value.as_text())) {
            None | Some((_, Some("all"))) => (false, false),
            Some((_, Some("any"))) => (true, false),
            Some((_, Some("all-with-x"))) => (false, true),
            Some((_, Some("any-with-x"))) => (true, true),
            Some((value, _)) => {
                return Err(format!(
                    "argument `x-match` is {value:?}; known are all, any, all-with-x, any-with-x"
                ));
            }
        };
        let wanted = arguments
            .iter()
            .filter(|(name, _)| name != "x-match" && (with_x || !name.starts_with("x-")))
            .cloned()
            .collect();
        Ok(Self { any, wanted })
    }

    pub(crate) fn matches(&self, headers: &Table) -> bool {
        let holds = |(name, value): &(String, Value)| {
            headers.get(name).is_some_and(|got| *value == Value::Void || same_value(value, got))
        };
        match self.any {
            true => self.wanted.iter().any(holds),
            false => self.wanted.iter().all(holds),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn table(entries: &[(&str, Value)]) -> Table {
        entries.iter().map(|(name, value)| ((*name).to_owned(), value.clone())).collect()
    }

    #[test]
    fn all_and_any_with_and_without_x() {
        let a = ("a", Value::I32(1));
        let b = ("b", Value::text("x"));
        let x = ("x-own", Value::Bool(true));
        let present = ("a", Value::Void);
        for (mode, arguments, headers, expected) in [
            (None, vec![], vec![], true),
            (Some("any"), vec![], vec![a.clone()], false),
            (None, vec![a.clone(), b.clone()], vec![b.clone(), ("a", Value::I64(1))], true),
            (Some("all"), vec![a.clone(), b.clone()], vec![a.clone()], false),
            (Some("any"), vec![a.clone(), b.clone()], vec![b.clone()], true),
            (Some("any"), vec![a.clone(), b.clone()], vec![("a", Value::text("1"))], false),
            (None, vec![present.clone()], vec![("a", Value::text("any"))], true),
            (None, vec![present], vec![b.clone()], false),
            (None, vec![a.clone(), x.clone()], vec![a.clone()], true),
            (Some("all-with-x"), vec![a.clone(), x.clone()], vec![a.clone()], false),
            (Some("any"), vec![x.clone()], vec![x.clone()], false),
            (Some("any-with-x"), vec![a, x.clone()], vec![x], true),
        ] {
            let mut arguments = table(&arguments);
            if let Some(mode) = mode {
                arguments.set("x-match", Value::text(mode));
            }
            let matching = HeaderMatch::parse(&arguments).unwrap();
            assert_eq!(matching.matches(&table(&headers)), expected, "{arguments:?} {headers:?}");
        }
    }

    #[test]
    fn refuses_another_mode() {
        for mode in [Value::text("some"), Value::I32(1)] {
            assert!(HeaderMatch::parse(&table(&[("x-match", mode)])).is_err());
        }
    }
}
