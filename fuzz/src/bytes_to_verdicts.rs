//! Reads a guest's output as the host does, and checks that every limit of `frame.md` holds.

use lockgate_message::{Change, Delta, Fault, FaultKind, Property, PropertyValue, Reason, Verdict};

use crate::frame::decode::{Bounds, read};

/// Levels of nesting of header values, the headers themselves being the first.
const DEPTH: usize = 32;
/// Changes and values in one verdict.
const NODES: usize = 65_536;
/// Bytes of a text for people.
const TEXT: usize = 1024;

/// One verdict for each of `count` messages, `None` where the guest gave none; or `None` when the
/// output cannot be read.
pub(crate) fn verdicts(
    output: &[u8],
    count: usize,
    reasons: &[Reason],
    emitted: usize,
) -> Option<Vec<Option<Verdict>>> {
    let mut slots: Vec<Option<Verdict>> = vec![None; count];
    let read = read(output, &Bounds { reasons, emitted }, &mut slots);
    assert_eq!(slots.len(), count);
    for verdict in slots.iter().flatten() {
        check(verdict, reasons, emitted);
    }
    read.is_ok().then_some(slots)
}

fn check(verdict: &Verdict, reasons: &[Reason], emitted: usize) {
    match verdict {
        Verdict::Pass => {}
        Verdict::Modify(delta) => delta_within(&[delta]),
        Verdict::Route { routes, delta } => {
            assert!((1..=255).contains(&routes.len()));
            assert!(routes.iter().all(|route| route.len() <= 255));
            delta_within(&[delta]);
        }
        Verdict::Emit(children) => {
            assert!(children.len() <= emitted);
            let named = children.iter().filter_map(|child| child.route.as_ref());
            assert!(named.into_iter().all(|route| (1..=255).contains(&route.len())));
            delta_within(&children.iter().map(|child| &child.delta).collect::<Vec<_>>());
        }
        Verdict::Drop { reason } => listed(reason.as_ref(), reasons),
        Verdict::Reject { reason, text } => {
            listed(reason.as_ref(), reasons);
            clean(text);
        }
        Verdict::Retry { text, .. } | Verdict::Wait { text, .. } | Verdict::Fail { text, .. } => {
            clean(text);
        }
        Verdict::Fault(Fault { kind, text }) => {
            assert!(matches!(kind, FaultKind::BadOutput | FaultKind::OutputTooLarge));
            clean(text);
        }
    }
}

fn listed(reason: Option<&Reason>, reasons: &[Reason]) {
    assert!(reason.is_none_or(|reason| reasons.contains(reason)));
}

fn clean(text: &str) {
    assert!(text.len() <= TEXT && !text.contains(char::is_control), "{text:?}");
}

fn delta_within(deltas: &[&Delta]) {
    let mut nodes = 0;
    for change in deltas.iter().flat_map(|delta| &delta.0) {
        nodes += 1;
        match change {
            Change::RoutingKey(text) | Change::RemoveHeader(text) => assert!(text.len() <= 255),
            Change::SetProperty(property, value) => match (property, value) {
                (Property::DeliveryMode | Property::Priority, PropertyValue::Number(n)) => {
                    assert!(*n <= 255);
                }
                (property, PropertyValue::Number(_)) => assert!(property.is_number()),
                (property, PropertyValue::Text(text)) => {
                    assert!(!property.is_number() && text.len() <= 255);
                }
            },
            Change::SetHeader(name, value) => {
                assert!(name.len() <= 255 && value.depth() < DEPTH);
                nodes += values(value);
            }
            Change::ClearProperty(_) | Change::ClearHeaders | Change::Body(_) => {}
        }
    }
    assert!(nodes <= NODES);
}

fn values(value: &lockgate_message::Value) -> usize {
    use lockgate_message::Value;
    1 + match value {
        Value::Array(items) => items.iter().map(values).sum(),
        Value::Table(table) => table.iter().map(|(_, value)| values(value)).sum(),
        _ => 0,
    }
}
