//! What is not there, with the reason and what to take for it.

use std::collections::HashMap;

use crate::ast::Def;
use crate::functions;

/// What jq has and this place cannot have.
const REFUSED: [(&str, &str); 12] = [
    ("env", "a plugin has no environment; settings can take `${NAME}` from the host's"),
    ("input", "a program sees one message at a time"),
    ("inputs", "a program sees one message at a time"),
    ("input_line_number", "a message has no lines; its offset is no part of it"),
    ("input_filename", "a message comes from no file"),
    ("localtime", "there is no local time here; `gmtime` is UTC"),
    ("strflocaltime", "there is no local time here; `strftime` is UTC"),
    ("modulemeta", "modules cannot be imported"),
    ("get_search_list", "modules cannot be imported"),
    ("$ENV", "a plugin has no environment; settings can take `${NAME}` from the host's"),
    ("$__prog_args", "a program has no arguments"),
    ("$named", "a program has no arguments"),
];

fn reason(name: &str) -> Option<&'static str> {
    REFUSED.iter().find(|(refused, _)| *refused == name).map(|(_, reason)| *reason)
}

pub(super) fn variable(name: &str) -> String {
    let name = format!("${name}");
    match reason(&name) {
        Some(reason) => format!("there is no `{name}`: {reason}"),
        None => format!("undefined variable `{name}`"),
    }
}

pub(super) fn function(
    name: &str,
    arity: usize,
    prelude: &HashMap<(&'static str, usize), Def<'static>>,
) -> String {
    if let Some(reason) = reason(name) {
        return format!("there is no `{name}`: {reason}");
    }
    let shown = match arity {
        0 => name.to_owned(),
        arity => format!("{name}/{arity}"),
    };
    let known =
        |arity: usize| functions::is_known(name, arity) || prelude.contains_key(&(name, arity));
    let others: Vec<_> = (0..=4_usize).filter(|arity| known(*arity)).collect();
    match others.as_slice() {
        [] => format!("undefined filter `{shown}`"),
        others => {
            let others: Vec<_> = others.iter().map(|arity| format!("{name}/{arity}")).collect();
            format!("undefined filter `{shown}`; there is {}", others.join(" and "))
        }
    }
}
