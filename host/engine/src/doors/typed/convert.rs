//! Messages and verdicts between the host's types and the WIT package's. What comes from the
//! guest is checked as the packed doors' decoder checks it.

use std::time::Duration;

use lockgate_message::{
    Change, Delta, Emitted, Failure, Fault, FaultKind, Head, Input, Property, PropertyValue,
    Reason, Table, Value, Verdict,
};

use crate::bindings as wit;
use crate::frame::{MAX_DEPTH, MAX_NODES};
use crate::limits::Limits;
use crate::needs::{BodyNeeds, HeaderNeeds, Needs};
use crate::text::{FAULT_TEXT, clean};

/// A message, projected to what was asked for.
pub(super) fn message(
    index: u32,
    input: &Input<'_>,
    needs: &Needs,
    received_micros: u64,
) -> wit::Message {
    let head = input.message.head();
    let whole: &[u8] = input.message.body();
    let body = match needs.body {
        BodyNeeds::None => None,
        BodyNeeds::All => Some(whole),
        BodyNeeds::Prefix(len) => Some(whole.get(..len as usize).unwrap_or(whole)),
    };
    wit::Message {
        index,
        redelivered: input.redelivered,
        attempt: input.attempt,
        received_micros,
        delivery_mode: head.properties.delivery_mode,
        priority: head.properties.priority,
        timestamp: head.properties.timestamp,
        origin: needs.origin.then(|| wit::Origin {
            exchange: head.exchange.clone(),
            routing_key: head.routing_key.clone(),
        }),
        properties: needs.properties.then(|| properties(head)),
        headers: (needs.headers != HeaderNeeds::None).then(|| {
            let mut nodes = Vec::with_capacity(head.headers.len());
            for (name, value) in needs.headers.of(&head.headers) {
                push(&mut nodes, name, value);
            }
            nodes
        }),
        body: body.map(<[u8]>::to_vec),
        body_length: u32::try_from(whole.len()).unwrap_or(u32::MAX),
        body_cut: body.is_some_and(|body| body.len() < whole.len()),
    }
}

fn properties(head: &Head) -> wit::Properties {
    let properties = head.properties.clone();
    wit::Properties {
        content_type: properties.content_type,
        content_encoding: properties.content_encoding,
        correlation_id: properties.correlation_id,
        reply_to: properties.reply_to,
        expiration: properties.expiration,
        message_id: properties.message_id,
        message_type: properties.kind,
        user_id: properties.user_id,
        app_id: properties.app_id,
        cluster_id: properties.cluster_id,
    }
}

/// Appends a value and its descendants in preorder. The depth was checked when the message was
/// measured.
fn push(nodes: &mut Vec<wit::Node>, name: &str, value: &Value) {
    let count = |len: usize| u32::try_from(len).unwrap_or(u32::MAX);
    let plain = match value {
        Value::Void => wit::Value::Void,
        Value::Bool(v) => wit::Value::Boolean(*v),
        Value::I8(v) => wit::Value::Int8(*v),
        Value::U8(v) => wit::Value::Uint8(*v),
        Value::I16(v) => wit::Value::Int16(*v),
        Value::U16(v) => wit::Value::Uint16(*v),
        Value::I32(v) => wit::Value::Int32(*v),
        Value::U32(v) => wit::Value::Uint32(*v),
        Value::I64(v) => wit::Value::Int64(*v),
        Value::F32(v) => wit::Value::Float(*v),
        Value::F64(v) => wit::Value::Double(*v),
        Value::Decimal { scale, value } => {
            wit::Value::Decimal(wit::Decimal { scale: *scale, digits: *value })
        }
        Value::Str(bytes) => match std::str::from_utf8(bytes) {
            Ok(text) => wit::Value::Text(text.to_owned()),
            Err(_) => wit::Value::RawText(bytes.clone()),
        },
        Value::Bytes(bytes) => wit::Value::Bytes(bytes.clone()),
        Value::Timestamp(v) => wit::Value::Timestamp(*v),
        Value::Array(items) => wit::Value::Array(count(items.len())),
        Value::Table(table) => wit::Value::Table(count(table.len())),
    };
    nodes.push(wit::Node { name: name.to_owned(), value: plain });
    match value {
        Value::Array(items) => items.iter().for_each(|item| push(nodes, "", item)),
        Value::Table(table) => table.iter().for_each(|(name, item)| push(nodes, name, item)),
        _ => {}
    }
}

/// Why a verdict cannot be used.
struct Refused(FaultKind, &'static str);

type Checked<T> = Result<T, Refused>;

const fn bad(text: &'static str) -> Refused {
    Refused(FaultKind::BadOutput, text)
}

/// A guest's answer as a verdict; one that breaks the contract is a fault.
pub(super) fn verdict(
    result: Result<wit::Verdict, wit::Failure>,
    reasons: &[Reason],
    limits: &Limits,
) -> Verdict {
    let checked = match result {
        Ok(verdict) => Guest { reasons, nodes: MAX_NODES }.verdict(verdict, limits),
        Err(failure) => Ok(failed(failure)),
    };
    checked
        .unwrap_or_else(|Refused(kind, text)| Verdict::Fault(Fault { kind, text: text.to_owned() }))
}

fn failed(failure: wit::Failure) -> Verdict {
    let (failure, text) = match failure {
        wit::Failure::RetryAfter(ms) => {
            return Verdict::Retry { after: after(ms), text: String::new() };
        }
        wit::Failure::BadMessage(text) => (Failure::BadMessage, text),
        wit::Failure::Dependency(text) => (Failure::Dependency, text),
        wit::Failure::Internal(text) => (Failure::Internal, text),
    };
    Verdict::Fail { failure, text: clean(&text, FAULT_TEXT) }
}

fn after(ms: u32) -> Option<Duration> {
    (ms > 0).then(|| Duration::from_millis(ms.into()))
}

fn short(text: String) -> Checked<String> {
    if text.len() > 255 { Err(bad("a name or short text above 255 bytes")) } else { Ok(text) }
}

/// Checks one verdict.
struct Guest<'a> {
    reasons: &'a [Reason],
    /// Changes and values it may still build.
    nodes: usize,
}

impl Guest<'_> {
    fn verdict(&mut self, verdict: wit::Verdict, limits: &Limits) -> Checked<Verdict> {
        Ok(match verdict {
            wit::Verdict::Pass => Verdict::Pass,
            wit::Verdict::Modify(changes) => Verdict::Modify(self.delta(changes)?),
            wit::Verdict::Route(routing) => {
                if routing.routes.is_empty() || routing.routes.len() > 255 {
                    return Err(bad("a route verdict without a route, or with more than 255"));
                }
                let routes = routing.routes.into_iter().map(short).collect::<Checked<_>>()?;
                Verdict::Route { routes, delta: self.delta(routing.changes)? }
            }
            wit::Verdict::Emit(children) => {
                if children.len() > limits.emitted {
                    let text = "more emitted messages than allowed";
                    return Err(Refused(FaultKind::OutputTooLarge, text));
                }
                let children = children.into_iter().map(|child| {
                    let route = child.route.filter(|route| !route.is_empty()).map(short);
                    Ok(Emitted { route: route.transpose()?, delta: self.delta(child.changes)? })
                });
                Verdict::Emit(children.collect::<Checked<_>>()?)
            }
            wit::Verdict::Drop(reason) => Verdict::Drop { reason: self.reason(reason)? },
            wit::Verdict::Reject(rejection) => Verdict::Reject {
                reason: self.reason(rejection.reason)?,
                text: clean(&rejection.text, FAULT_TEXT),
            },
            wit::Verdict::Retry(delay) => Verdict::Retry {
                after: after(delay.after_ms),
                text: clean(&delay.text, FAULT_TEXT),
            },
        })
    }

    fn reason(&self, word: Option<String>) -> Checked<Option<Reason>> {
        let Some(word) = word else { return Ok(None) };
        let known = self.reasons.iter().find(|reason| ***reason == *word);
        known.cloned().map(Some).ok_or(bad("a reason that describe does not list"))
    }

    fn spend(&mut self) -> Checked<()> {
        self.nodes = self.nodes.checked_sub(1).ok_or(Refused(
            FaultKind::OutputTooLarge,
            "more than 65,536 changes and values in one verdict",
        ))?;
        Ok(())
    }

    fn delta(&mut self, changes: Vec<wit::Change>) -> Checked<Delta> {
        changes.into_iter().map(|change| self.change(change)).collect::<Checked<_>>().map(Delta)
    }

    fn change(&mut self, change: wit::Change) -> Checked<Change> {
        self.spend()?;
        let number = |property, value: Option<u64>| match value {
            Some(value) => Change::SetProperty(property, PropertyValue::Number(value)),
            None => Change::ClearProperty(property),
        };
        Ok(match change {
            wit::Change::SetRoutingKey(key) => Change::RoutingKey(short(key)?),
            wit::Change::SetProperty(set) => {
                Change::SetProperty(property(set.property), PropertyValue::Text(short(set.text)?))
            }
            wit::Change::ClearProperty(which) => Change::ClearProperty(property(which)),
            wit::Change::SetDeliveryMode(mode) => {
                number(Property::DeliveryMode, mode.map(u64::from))
            }
            wit::Change::SetPriority(priority) => {
                number(Property::Priority, priority.map(u64::from))
            }
            wit::Change::SetTimestamp(time) => number(Property::Timestamp, time),
            wit::Change::SetHeader(nodes) => {
                let mut nodes = nodes.into_iter();
                let (name, value) = self.tree(&mut nodes, 1)?;
                if nodes.next().is_some() {
                    return Err(bad("nodes beyond the header's own"));
                }
                Change::SetHeader(name, value)
            }
            wit::Change::RemoveHeader(name) => Change::RemoveHeader(short(name)?),
            wit::Change::ClearHeaders => Change::ClearHeaders,
            wit::Change::SetBody(body) => Change::Body(body.into()),
        })
    }

    /// The next node with its descendants; it stands on level `depth`.
    fn tree(
        &mut self,
        nodes: &mut impl Iterator<Item = wit::Node>,
        depth: usize,
    ) -> Checked<(String, Value)> {
        self.spend()?;
        let wit::Node { name, value } = nodes.next().ok_or(bad("a tree with too few nodes"))?;
        let value = match value {
            wit::Value::Void => Value::Void,
            wit::Value::Boolean(v) => Value::Bool(v),
            wit::Value::Int8(v) => Value::I8(v),
            wit::Value::Uint8(v) => Value::U8(v),
            wit::Value::Int16(v) => Value::I16(v),
            wit::Value::Uint16(v) => Value::U16(v),
            wit::Value::Int32(v) => Value::I32(v),
            wit::Value::Uint32(v) => Value::U32(v),
            wit::Value::Int64(v) => Value::I64(v),
            wit::Value::Float(v) => Value::F32(v),
            wit::Value::Double(v) => Value::F64(v),
            wit::Value::Decimal(v) => Value::Decimal { scale: v.scale, value: v.digits },
            wit::Value::Text(v) => Value::Str(v.into_bytes()),
            wit::Value::RawText(v) => Value::Str(v),
            wit::Value::Bytes(v) => Value::Bytes(v),
            wit::Value::Timestamp(v) => Value::Timestamp(v),
            wit::Value::Array(_) | wit::Value::Table(_) if depth + 1 > MAX_DEPTH => {
                return Err(bad("values nested deeper than 32 levels"));
            }
            wit::Value::Array(count) => {
                let mut items = Vec::new();
                for _ in 0..count {
                    items.push(self.tree(nodes, depth + 1)?.1);
                }
                Value::Array(items)
            }
            wit::Value::Table(count) => {
                let mut table = Table::new();
                for _ in 0..count {
                    let (name, item) = self.tree(nodes, depth + 1)?;
                    table.push(name, item);
                }
                Value::Table(table)
            }
        };
        Ok((short(name)?, value))
    }
}

fn property(property: wit::TextProperty) -> Property {
    match property {
        wit::TextProperty::ContentType => Property::ContentType,
        wit::TextProperty::ContentEncoding => Property::ContentEncoding,
        wit::TextProperty::CorrelationId => Property::CorrelationId,
        wit::TextProperty::ReplyTo => Property::ReplyTo,
        wit::TextProperty::Expiration => Property::Expiration,
        wit::TextProperty::MessageId => Property::MessageId,
        wit::TextProperty::MessageType => Property::Type,
        wit::TextProperty::UserId => Property::UserId,
        wit::TextProperty::AppId => Property::AppId,
        wit::TextProperty::ClusterId => Property::ClusterId,
    }
}
