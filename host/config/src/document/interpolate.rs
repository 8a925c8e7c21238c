//! Interpolation of `${VAR}`, `${VAR:-default}` and `$$` in one string.

use std::ops::Range;

use super::{Substitution, Text};

/// Problems told of one string; finding the place of each costs the string's length.
const PROBLEMS_MAX: usize = 20;

/// What is wrong, and which bytes of the string it is about.
#[derive(Debug, PartialEq)]
pub(super) enum Problem {
    /// `${` without a name and `}`.
    Malformed(Range<usize>),
    /// Neither set nor given a default.
    Unset(String, Range<usize>),
    /// Longer than allowed.
    TooLarge(Range<usize>),
}

/// Resolves the references of `written`. A variable that is empty counts as unset for
/// `${VAR:-default}` alone, as in a shell; a default is taken as it stands and ends at the first
/// `}`. A dollar sign before anything else is itself. What references put in takes from
/// `allowance`, in bytes.
pub(super) fn interpolate(
    written: String,
    environment: &dyn Fn(&str) -> Option<String>,
    allowance: &mut usize,
) -> Result<Text, Vec<Problem>> {
    if !written.contains("$$") && !written.contains("${") {
        return Ok(Text { value: written, ..Text::default() });
    }
    let mut text = Text::default();
    let mut problems = Vec::new();
    let mut at = 0;
    while let Some(dollar) = written.get(at..).and_then(|rest| rest.find('$'))
        && problems.len() < PROBLEMS_MAX
    {
        let start = at + dollar;
        text.value.push_str(written.get(at..start).unwrap_or_default());
        let rest = written.get(start + 1..).unwrap_or_default();
        let value_start = text.value.len();
        if rest.starts_with('$') {
            text.value.push('$');
            at = start + 2;
        } else if let Some(body) = rest.strip_prefix('{') {
            let close = body.find('}');
            let reference = body.get(..close.unwrap_or(body.len())).unwrap_or_default();
            at = start + 2 + reference.len() + usize::from(close.is_some());
            let name = reference.split(":-").next().unwrap_or_default();
            match resolve(reference, environment) {
                _ if close.is_none() => problems.push(Problem::Malformed(start..at)),
                Resolved::Malformed => problems.push(Problem::Malformed(start..at)),
                Resolved::Unset => problems.push(Problem::Unset(name.to_owned(), start..at)),
                Resolved::Value(value) if value.len() > *allowance => {
                    problems.push(Problem::TooLarge(start..at));
                    // No later one would fit either.
                    break;
                }
                Resolved::Value(value) => {
                    *allowance -= value.len();
                    text.value.push_str(&value);
                }
            }
        } else {
            text.value.push('$');
            at = start + 1;
            continue;
        }
        let value = value_start..text.value.len();
        text.substitutions.push(Substitution { value, written: start..at });
    }
    text.value.push_str(written.get(at..).unwrap_or_default());
    if problems.is_empty() { Ok(text) } else { Err(problems) }
}

enum Resolved {
    Value(String),
    Unset,
    Malformed,
}

/// Resolves what stands between the braces.
fn resolve(reference: &str, environment: &dyn Fn(&str) -> Option<String>) -> Resolved {
    let (name, default) = match reference.split_once(":-") {
        Some((name, default)) => (name, Some(default)),
        None => (reference, None),
    };
    let valid = |c: char| c.is_ascii_alphanumeric() || c == '_';
    if name.is_empty() || !name.chars().all(valid) || name.starts_with(|c: char| c.is_ascii_digit())
    {
        return Resolved::Malformed;
    }
    match (environment(name), default) {
        (Some(value), None) => Resolved::Value(value),
        (Some(value), Some(_)) if !value.is_empty() => Resolved::Value(value),
        (_, Some(default)) => Resolved::Value(default.to_owned()),
        (None, None) => Resolved::Unset,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn environment(name: &str) -> Option<String> {
        match name {
            "A" => Some("value".into()),
            "EMPTY" => Some(String::new()),
            _ => None,
        }
    }

    #[test]
    fn resolved() {
        let check = |written: &str, expected: &str| {
            let text = interpolate(written.into(), &environment, &mut 100).unwrap();
            assert_eq!(text.value, expected, "{written}");
            for one in &text.substitutions {
                assert!(written[one.written.clone()].starts_with('$'), "{written}");
            }
        };
        check("plain $x $ end$", "plain $x $ end$");
        check("${A}", "value");
        check("x${A}y${A}z", "xvalueyvaluez");
        check("${B:-d:-e}", "d:-e");
        check("${B:-}", "");
        check("${EMPTY}|${EMPTY:-d}", "|d");
        check("$${A} $$", "${A} $");
        check("$$$${B:-é}", "$$é".replace("é", "{B:-é}").as_str());
    }

    #[test]
    fn refused() {
        let check = |written: &str, expected: Vec<Problem>| {
            let result = interpolate(written.into(), &environment, &mut 12);
            assert_eq!(result.err().unwrap(), expected, "{written}");
        };
        check("${", vec![Problem::Malformed(0..2)]);
        check("a${A", vec![Problem::Malformed(1..4)]);
        check(
            "${}${1A}${a b}",
            vec![Problem::Malformed(0..3), Problem::Malformed(3..8), Problem::Malformed(8..14)],
        );
        check(
            "${B} ${C}",
            vec![Problem::Unset("B".into(), 0..4), Problem::Unset("C".into(), 5..9)],
        );
        check("${A}${A}${A}", vec![Problem::TooLarge(8..12)]);
    }
}
