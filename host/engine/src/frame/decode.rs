//! Output decoder. The bytes are a guest's: every length is checked before it is followed, and
//! what is built on the host is bounded by [`Bounds`], not by what the guest claims.

use std::time::Duration;

use bytes::Bytes;
use lockgate_message::{
    Change, Delta, Emitted, Failure, Fault, FaultKind, Property, PropertyValue, Reason, Table,
    Value, Verdict,
};

use super::{MAX_DEPTH, MAX_NODES, OUTPUT_MAGIC, VERSION};
use crate::text::{FAULT_TEXT, clean_bytes};

const RECORD_HEAD: usize = 8;
const FLAG_PAYLOAD: u8 = 1;

/// What bounds one record, and the words of its reason codes.
pub(crate) struct Bounds<'a> {
    pub(crate) reasons: &'a [Reason],
    /// Children of one emit.
    pub(crate) emitted: usize,
}

/// The output as a whole cannot be read.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct Unreadable(pub(crate) &'static str);

/// Why one record cannot be used.
struct Refused(FaultKind, &'static str);

type Read<T> = Result<T, Refused>;

const fn bad(text: &'static str) -> Refused {
    Refused(FaultKind::BadOutput, text)
}

/// Reads an output into `slots`, one per message of the batch, all `None` before. A record that
/// cannot be used is a fault in its slot; a message without a record stays `None`.
pub(crate) fn read(
    output: &[u8],
    bounds: &Bounds<'_>,
    slots: &mut [Option<Verdict>],
) -> Result<(), Unreadable> {
    let mut reader = Reader { rest: output };
    let short = |_| Unreadable("the output is cut short");
    if reader.u32().map_err(short)? != OUTPUT_MAGIC {
        return Err(Unreadable("the output does not start with LGV1"));
    }
    if reader.u16().map_err(short)? != VERSION {
        return Err(Unreadable("the output has an unknown version"));
    }
    reader.u16().map_err(short)?;
    let count = reader.u32().map_err(short)?;
    if reader.u32().map_err(short)? as usize != output.len() {
        return Err(Unreadable("the output states another length than it has"));
    }
    for _ in 0..count {
        let head = reader.take(RECORD_HEAD).map_err(short)?;
        let &[i0, i1, i2, i3, verdict, flags, r0, r1] = head else {
            return Err(Unreadable("the output is cut short"));
        };
        if flags & !FLAG_PAYLOAD != 0 {
            return Err(Unreadable("a record has unknown flags"));
        }
        let payload =
            if flags & FLAG_PAYLOAD == 0 { &[][..] } else { reader.bytes32().map_err(short)? };
        let slot = slots
            .get_mut(u32::from_le_bytes([i0, i1, i2, i3]) as usize)
            .ok_or(Unreadable("a record names a message that is not in the batch"))?;
        *slot = Some(match slot {
            Some(_) => fault(bad("two verdicts for one message")),
            None => {
                record(verdict, u16::from_le_bytes([r0, r1]), payload, bounds).unwrap_or_else(fault)
            }
        });
    }
    if reader.rest.is_empty() { Ok(()) } else { Err(Unreadable("bytes follow the last record")) }
}

fn fault(Refused(kind, text): Refused) -> Verdict {
    Verdict::Fault(Fault { kind, text: text.to_owned() })
}

fn record(verdict: u8, reason: u16, payload: &[u8], bounds: &Bounds<'_>) -> Read<Verdict> {
    let reason = match reason {
        0 => None,
        code => Some(
            bounds
                .reasons
                .get(usize::from(code) - 1)
                .ok_or(bad("a reason code that describe does not list"))?,
        ),
    };
    if reason.is_some() && !matches!(verdict, 4 | 5) {
        return Err(bad("a reason on a verdict that takes none"));
    }
    let mut reader = Reader { rest: payload };
    let mut nodes = Nodes(MAX_NODES);
    let verdict = match verdict {
        0 => Verdict::Pass,
        1 => Verdict::Modify(reader.delta(&mut nodes)?),
        2 => {
            let count = reader.u8()?;
            if count == 0 {
                return Err(bad("a route verdict without a route"));
            }
            let routes = (0..count).map(|_| reader.str8()).collect::<Read<_>>()?;
            Verdict::Route { routes, delta: reader.delta(&mut nodes)? }
        }
        3 => Verdict::Emit(reader.emitted(bounds, &mut nodes)?),
        4 => Verdict::Drop { reason: reason.cloned() },
        5 => Verdict::Reject { reason: reason.cloned(), text: reader.text() },
        6 => {
            let after = match reader.u32()? {
                0 => None,
                ms => Some(Duration::from_millis(ms.into())),
            };
            Verdict::Retry { after, text: reader.text() }
        }
        7 => {
            let failure = match reader.u8()? {
                1 => Failure::BadMessage,
                3 => Failure::Dependency,
                4 => Failure::Internal,
                _ => return Err(bad("an unknown kind of failure")),
            };
            Verdict::Fail { failure, text: reader.text() }
        }
        8 => return Err(bad("the verdict await is reserved")),
        _ => return Err(bad("an unknown verdict")),
    };
    if reader.rest.is_empty() { Ok(verdict) } else { Err(bad("a payload longer than its verdict")) }
}

/// What one record may still build.
struct Nodes(usize);

impl Nodes {
    fn spend(&mut self) -> Read<()> {
        self.0 = self.0.checked_sub(1).ok_or(Refused(
            FaultKind::OutputTooLarge,
            "more than 65,536 changes and values in one verdict",
        ))?;
        Ok(())
    }
}

struct Reader<'a> {
    rest: &'a [u8],
}

impl<'a> Reader<'a> {
    fn take(&mut self, len: usize) -> Read<&'a [u8]> {
        let (taken, rest) = self.rest.split_at_checked(len).ok_or(bad("a record cut short"))?;
        self.rest = rest;
        Ok(taken)
    }

    fn array<const N: usize>(&mut self) -> Read<[u8; N]> {
        let (taken, rest) = self.rest.split_first_chunk().ok_or(bad("a record cut short"))?;
        self.rest = rest;
        Ok(*taken)
    }

    fn u8(&mut self) -> Read<u8> {
        self.array().map(u8::from_le_bytes)
    }

    fn u16(&mut self) -> Read<u16> {
        self.array().map(u16::from_le_bytes)
    }

    fn u32(&mut self) -> Read<u32> {
        self.array().map(u32::from_le_bytes)
    }

    fn u64(&mut self) -> Read<u64> {
        self.array().map(u64::from_le_bytes)
    }

    fn bytes32(&mut self) -> Read<&'a [u8]> {
        let len = self.u32()?;
        self.take(len as usize)
    }

    fn str8(&mut self) -> Read<String> {
        let len = self.u8()?;
        match std::str::from_utf8(self.take(len.into())?) {
            Ok(text) => Ok(text.to_owned()),
            Err(_) => Err(bad("a text that is not UTF-8")),
        }
    }

    /// The rest as text for people.
    fn text(&mut self) -> String {
        clean_bytes(std::mem::take(&mut self.rest), FAULT_TEXT)
    }

    fn emitted(&mut self, bounds: &Bounds<'_>, nodes: &mut Nodes) -> Read<Vec<Emitted>> {
        let count = self.u32()? as usize;
        if count > bounds.emitted {
            return Err(Refused(FaultKind::OutputTooLarge, "more emitted messages than allowed"));
        }
        let mut children = Vec::new();
        for _ in 0..count {
            let route = Some(self.str8()?).filter(|route| !route.is_empty());
            let delta = Reader { rest: self.bytes32()? }.delta(nodes)?;
            children.push(Emitted { route, delta });
        }
        Ok(children)
    }

    /// The rest as a delta.
    fn delta(&mut self, nodes: &mut Nodes) -> Read<Delta> {
        let mut changes = Vec::new();
        while !self.rest.is_empty() {
            nodes.spend()?;
            changes.push(match self.u8()? {
                1 => Change::RoutingKey(self.str8()?),
                2 => {
                    let property = self.property()?;
                    Change::SetProperty(property, self.property_value(property)?)
                }
                3 => Change::ClearProperty(self.property()?),
                4 => Change::SetHeader(self.str8()?, self.value(1, nodes)?),
                5 => Change::RemoveHeader(self.str8()?),
                6 => Change::Body(Bytes::copy_from_slice(self.bytes32()?)),
                7 => Change::ClearHeaders,
                _ => return Err(bad("an unknown change")),
            });
        }
        Ok(Delta(changes))
    }

    fn property(&mut self) -> Read<Property> {
        Property::from_number(self.u8()?).ok_or(bad("an unknown property"))
    }

    fn property_value(&mut self, property: Property) -> Read<PropertyValue> {
        Ok(match property {
            Property::DeliveryMode | Property::Priority => PropertyValue::Number(self.u8()?.into()),
            Property::Timestamp => PropertyValue::Number(self.u64()?),
            _ => PropertyValue::Text(self.str8()?),
        })
    }

    /// A value that stands on level `depth`.
    fn value(&mut self, depth: usize, nodes: &mut Nodes) -> Read<Value> {
        nodes.spend()?;
        Ok(match self.u8()? {
            b'V' => Value::Void,
            b't' => match self.u8()? {
                0 => Value::Bool(false),
                1 => Value::Bool(true),
                _ => return Err(bad("a boolean that is neither 0 nor 1")),
            },
            b'b' => Value::I8(i8::from_le_bytes(self.array()?)),
            b'B' => Value::U8(self.u8()?),
            b's' => Value::I16(i16::from_le_bytes(self.array()?)),
            b'u' => Value::U16(self.u16()?),
            b'I' => Value::I32(i32::from_le_bytes(self.array()?)),
            b'i' => Value::U32(self.u32()?),
            b'l' => Value::I64(i64::from_le_bytes(self.array()?)),
            b'f' => Value::F32(f32::from_le_bytes(self.array()?)),
            b'd' => Value::F64(f64::from_le_bytes(self.array()?)),
            b'D' => Value::Decimal { scale: self.u8()?, value: self.u32()? },
            b'S' => Value::Str(self.bytes32()?.to_vec()),
            b'x' => Value::Bytes(self.bytes32()?.to_vec()),
            b'T' => Value::Timestamp(self.u64()?),
            b'A' => {
                let mut inner = self.nested(depth)?;
                let mut items = Vec::new();
                while !inner.rest.is_empty() {
                    items.push(inner.value(depth + 1, nodes)?);
                }
                Value::Array(items)
            }
            b'F' => {
                let mut inner = self.nested(depth)?;
                let mut table = Table::new();
                while !inner.rest.is_empty() {
                    table.push(inner.str8()?, inner.value(depth + 1, nodes)?);
                }
                Value::Table(table)
            }
            _ => return Err(bad("an unknown value tag")),
        })
    }

    fn nested(&mut self, depth: usize) -> Read<Reader<'a>> {
        if depth + 1 > MAX_DEPTH {
            return Err(bad("values nested deeper than 32 levels"));
        }
        Ok(Reader { rest: self.bytes32()? })
    }
}
