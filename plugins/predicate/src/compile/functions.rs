//! Functions: those that an expression may call. The `cel` crate reports an unknown one only when
//! a message reaches it, which is too late.

use std::ops::RangeInclusive;

use super::suggest::did_you_mean;

struct Function {
    name: &'static str,
    /// Called on a value, `x.f()`; else `f(x)`.
    member: bool,
    arguments: RangeInclusive<usize>,
}

const fn global(name: &'static str, count: usize) -> Function {
    Function { name, member: false, arguments: count..=count }
}

const fn member(name: &'static str, least: usize, most: usize) -> Function {
    Function { name, member: true, arguments: least..=most }
}

const FUNCTIONS: &[Function] = &[
    global("size", 1),
    global("matches", 2),
    global("int", 1),
    global("uint", 1),
    global("double", 1),
    global("string", 1),
    global("bytes", 1),
    global("bool", 1),
    global("dyn", 1),
    global("type", 1),
    global("optional.of", 1),
    global("optional.none", 0),
    global("optional.ofNonZeroValue", 1),
    member("size", 0, 0),
    member("startsWith", 1, 1),
    member("endsWith", 1, 1),
    member("contains", 1, 1),
    member("matches", 1, 1),
    member("hasValue", 0, 0),
    member("value", 0, 0),
    member("or", 1, 1),
    member("orValue", 1, 1),
    member("charAt", 1, 1),
    member("indexOf", 1, 2),
    member("lastIndexOf", 1, 2),
    member("lowerAscii", 0, 0),
    member("upperAscii", 0, 0),
    member("replace", 2, 3),
    member("split", 1, 2),
    member("substring", 1, 2),
    member("trim", 0, 0),
    member("reverse", 0, 0),
    member("join", 0, 1),
];

/// Macros of the parser, with how they are written. One that is left as a call was written
/// otherwise.
const MACROS: &[(&str, &str)] = &[
    ("has", "has(body.key)"),
    ("all", "list.all(x, condition)"),
    ("exists", "list.exists(x, condition)"),
    ("exists_one", "list.exists_one(x, condition)"),
    ("map", "list.map(x, expression)"),
    ("filter", "list.filter(x, condition)"),
];

/// Whether a call through a dotted name, such as `optional.of`, is one of ours.
pub(super) fn is_qualified(name: &str) -> bool {
    FUNCTIONS.iter().any(|function| function.name == name)
}

/// What is wrong with calling `name` this way.
pub(super) fn check(name: &str, is_member: bool, arguments: usize) -> Result<(), String> {
    let known: Vec<_> = FUNCTIONS.iter().filter(|function| function.name == name).collect();
    if let Some(function) = known.iter().find(|function| function.member == is_member) {
        if function.arguments.contains(&arguments) {
            return Ok(());
        }
        let (least, most) = (function.arguments.start(), function.arguments.end());
        let count = if least == most { least.to_string() } else { format!("{least} or {most}") };
        let plural = if most == &1 { "" } else { "s" };
        return Err(format!("`{name}` takes {count} argument{plural}, not {arguments}"));
    }
    if let Some(function) = known.first() {
        let form = if function.member { format!("x.{name}(…)") } else { format!("{name}(x)") };
        return Err(format!("`{name}` is called as `{form}`"));
    }
    if let Some((_, form)) = MACROS.iter().find(|(macro_name, _)| *macro_name == name) {
        return Err(format!("`{name}` is written `{form}`"));
    }
    if matches!(name, "timestamp" | "duration") || name.starts_with("get") {
        return Err(format!(
            "`{name}` is not available: compare RFC 3339 texts, or seconds as numbers"
        ));
    }
    let words = FUNCTIONS.iter().map(|function| function.name);
    let words = words.chain(MACROS.iter().map(|(name, _)| *name));
    Err(format!("unknown function `{name}`{}", did_you_mean(name, words)))
}
