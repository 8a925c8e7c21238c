//! An endpoint: the one table that names a transport.

use crate::diagnostic::{Code, Diagnostic};
use crate::document::Value;
use crate::load::{Context, Transport};
use crate::section::{Section, misplaced};
use crate::spec::Endpoint;
use crate::suggest::{one_of, way_out};

#[derive(Clone, Copy, PartialEq)]
pub(super) enum Direction {
    Source,
    Target,
}

impl Direction {
    fn check(self, transport: &Transport<'_>) -> Option<fn(&Section) -> Vec<Diagnostic>> {
        match self {
            Self::Source => transport.source,
            Self::Target => transport.target,
        }
    }

    fn name(self) -> &'static str {
        match self {
            Self::Source => "source",
            Self::Target => "target",
        }
    }
}

/// Reads `[source]`, `[route.x]` or `[dead_letter]`: a table with one table in it, which is named
/// like a transport and is that transport's settings.
pub(super) fn parse(
    section: &Section,
    direction: Direction,
    context: &Context<'_>,
    diagnostics: &mut Vec<Diagnostic>,
) -> Option<Endpoint> {
    if !is_table(section, "a table that names a transport", diagnostics) {
        return None;
    }
    let able = context.transports.iter().filter(|one| direction.check(one).is_some());
    let known = able.clone().map(|one| one.kind);
    let mut keys: Vec<&str> = section.keys().collect();
    let title = section.title();
    // The transport first, whatever stands above it.
    let is_transport = |key: &str| context.transports.iter().any(|one| one.kind == key);
    keys.sort_by_key(|key| !is_transport(key));
    let holds_table = |key: &str| {
        section.node().child(key).is_some_and(|node| matches!(node.value, Value::Table(_)))
    };
    if let Some(first) = keys.first()
        && !is_transport(first)
        && !holds_table(first)
    {
        let example = known.clone().next().unwrap_or("amqp");
        let message = format!("{title} names no transport that `{first}` could be a setting of");
        diagnostics.push(
            Diagnostic::new(Code::NoTransport, message).at(section.key_place(first)).help(
                match misplaced(first) {
                    Some(help) => help,
                    None => format!("write `{example} = {{ {first} = …, … }}`"),
                },
            ),
        );
        return None;
    }
    for extra in keys.iter().skip(1) {
        let another = is_transport(extra) || holds_table(extra);
        let transport = keys.first().copied().unwrap_or_default();
        diagnostics.push(superfluous(section, transport, extra, another));
    }
    let Some(kind) = keys.first() else {
        let message = format!("{title} names no transport");
        let help = format!("name one: {}", one_of(known));
        diagnostics.push(section.diagnostic(Code::NoTransport, "", message).help(help));
        return None;
    };
    let settings = section.child(kind)?;
    let check = able.clone().find(|one| one.kind == *kind).and_then(|one| direction.check(one));
    let Some(check) = check else {
        let message = if context.transports.iter().any(|one| one.kind == *kind) {
            format!("the transport `{kind}` cannot be a {}", direction.name())
        } else {
            format!("there is no transport `{kind}`")
        };
        diagnostics.push(
            Diagnostic::new(Code::UnknownTransport, message)
                .at(section.key_place(kind))
                .help(way_out(kind, known)),
        );
        return None;
    };
    if !is_table(&settings, "the transport's settings, a table", diagnostics) {
        return None;
    }
    diagnostics.append(&mut check(&settings));
    Some(Endpoint { kind: (*kind).to_owned(), settings })
}

/// The report of a key beside the transport: `another` transport, or a setting out of place.
fn superfluous(section: &Section, transport: &str, extra: &str, another: bool) -> Diagnostic {
    let place = section.key_place(extra);
    if another {
        let title = section.title();
        let message = format!("{title} names a second transport, `{extra}`; it takes exactly one");
        return Diagnostic::new(Code::SeveralTransports, message).at(place);
    }
    let help = misplaced(extra).unwrap_or_else(|| {
        format!("if it is a setting of the transport, put it between the braces of `{transport}`")
    });
    Diagnostic::new(Code::UnknownKey, format!("unknown key `{extra}`")).at(place).help(help)
}

/// Whether the section is a table, and a report if not.
pub(super) fn is_table(
    section: &Section,
    expected: &str,
    diagnostics: &mut Vec<Diagnostic>,
) -> bool {
    match &section.node().value {
        Value::Table(_) => true,
        Value::Broken => false,
        _ => {
            let message = format!("expected {expected}, found {}", section.node().describe());
            diagnostics.push(section.diagnostic(Code::WrongType, "", message));
            false
        }
    }
}
