//! Reads an output back into verdicts, as strictly as the host does.

use crate::output::{
    DROP, EMIT, FAIL, MAGIC, MAX_TEXT, MODIFY, PASS, PAYLOAD, REJECT, RETRY, ROUTE, VERSION,
};
use crate::read::Reader;
use crate::{Delta, Emitted, Failure, Reason, Verdict};

/// The verdicts by index; `None` when the output is not exactly one verdict for each of `count`
/// messages, with at most `reasons` as reason.
pub(crate) fn read(bytes: &[u8], count: usize, reasons: usize) -> Option<Vec<Verdict>> {
    let mut reader = Reader(bytes);
    let head_fits = reader.u32()? == MAGIC
        && reader.u16()? == VERSION
        && reader.u16().is_some()
        && usize::try_from(reader.u32()?) == Ok(count)
        && usize::try_from(reader.u32()?) == Ok(bytes.len());
    if !head_fits {
        return None;
    }
    let mut verdicts: Vec<Option<Verdict>> = vec![None; count];
    for _ in 0..count {
        let slot = verdicts.get_mut(usize::try_from(reader.u32()?).ok()?)?;
        let verdict = read_record(&mut reader, reasons)?;
        if slot.replace(verdict).is_some() {
            return None;
        }
    }
    if !reader.is_empty() {
        return None;
    }
    verdicts.into_iter().collect()
}

fn read_record(reader: &mut Reader<'_>, reasons: usize) -> Option<Verdict> {
    let number = reader.u8()?;
    let flags = reader.u8()?;
    let reason = Reason(reader.u16()?);
    let mut payload = match flags {
        0 => Reader(&[]),
        PAYLOAD => Reader(reader.bytes32()?),
        _ => return None,
    };
    let misplaced = reason != Reason::NONE && !matches!(number, DROP | REJECT);
    if misplaced || usize::from(reason.0) > reasons {
        return None;
    }
    let verdict = match number {
        PASS => Verdict::Pass,
        MODIFY => Verdict::Modify(delta(&mut payload)?),
        ROUTE => {
            let count = payload.u8().filter(|count| *count > 0)?;
            let routes = (0..count).map(|_| Some(payload.str8()?.to_owned()));
            Verdict::Route { routes: routes.collect::<Option<_>>()?, delta: delta(&mut payload)? }
        }
        EMIT => Verdict::Emit(children(&mut payload)?),
        DROP => Verdict::Drop(reason),
        REJECT => Verdict::Reject { reason, text: text(&mut payload) },
        RETRY => Verdict::Retry { after_ms: payload.u32()?, text: text(&mut payload) },
        FAIL => {
            let failure = match payload.u8()? {
                1 => Failure::BadMessage,
                3 => Failure::Dependency,
                4 => Failure::Internal,
                _ => return None,
            };
            Verdict::Fail { failure, text: text(&mut payload) }
        }
        _ => return None,
    };
    payload.is_empty().then_some(verdict)
}

fn children(payload: &mut Reader<'_>) -> Option<Vec<Emitted>> {
    let count = payload.u32()?;
    let mut children = Vec::new();
    for _ in 0..count {
        let route = payload.str8()?;
        let route = (!route.is_empty()).then(|| route.to_owned());
        children.push(Emitted { route, delta: Delta::from_bytes(payload.bytes32()?)? });
    }
    Some(children)
}

/// The rest as a delta.
fn delta(payload: &mut Reader<'_>) -> Option<Delta> {
    Delta::from_bytes(std::mem::take(&mut payload.0))
}

/// The rest as text for people.
fn text(payload: &mut Reader<'_>) -> String {
    let mut text = String::from_utf8_lossy(std::mem::take(&mut payload.0)).into_owned();
    text.truncate(text.floor_char_boundary(MAX_TEXT));
    text
}
