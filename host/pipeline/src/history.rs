//! History: what earlier dead letters said of a message that dies again, as when one pipeline consumes
//! the dead letters of another.
//!
//! A message may also come with such headers forged. Either way they are not this dead letter's, so
//! they are moved out of the way of its own, and put back as they were when it is replayed.

use lockgate_message::{Table, Value};

use crate::aside::{DEAD_LETTER, split_off};
use crate::dead_letter::EXPLANATION;

/// An array of tables, one for each earlier dead letter, the first one first: its headers without
/// [`PREFIX`].
pub(crate) const HISTORY: &str = "lockgate-history";

const PREFIX: &str = "lockgate-";

/// Most earlier letters that are kept: the first one and the latest. A pipeline that consumes its own
/// dead letters adds one each time round.
const LETTERS_MAX: usize = 16;

/// Moves the headers of an earlier dead letter to the end of the history.
pub(crate) fn put(headers: &mut Table) {
    let of_letter = |name: &str| {
        EXPLANATION.contains(&name) || name == HISTORY || name.starts_with(DEAD_LETTER.prefix)
    };
    let mut earlier = Vec::new();
    let mut letter = Table::new();
    for (name, value) in split_off(headers, of_letter) {
        match value {
            Value::Array(letters) if name == HISTORY && is_history(&letters) => earlier = letters,
            value => letter.push(name.strip_prefix(PREFIX).unwrap_or_default().to_owned(), value),
        }
    }
    if letter.is_empty() && earlier.is_empty() {
        return;
    }
    earlier.push(Value::Table(letter));
    while earlier.len() > LETTERS_MAX {
        earlier.remove(1);
    }
    headers.set(HISTORY, Value::Array(earlier));
}

/// Undoes [`put`]; what the letter itself said is gone already.
pub(crate) fn take_back(headers: &mut Table) {
    let Some(Value::Array(letters)) = headers.get(HISTORY) else { return };
    let mut letters = letters.clone();
    headers.remove(HISTORY);
    let Some(Value::Table(last)) = letters.pop() else { return };
    if !letters.is_empty() {
        headers.set(HISTORY, Value::Array(letters));
    }
    for (name, value) in last {
        headers.push(format!("{PREFIX}{name}"), value);
    }
}

/// Whether it could be one; anything else is a header like any other.
fn is_history(letters: &[Value]) -> bool {
    !letters.is_empty() && letters.iter().all(|letter| matches!(letter, Value::Table(_)))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn table(entries: &[(&str, Value)]) -> Table {
        entries.iter().map(|(name, value)| ((*name).to_owned(), value.clone())).collect()
    }

    fn sorted(table: &Table) -> Vec<(String, Value)> {
        let mut entries: Vec<_> = table.iter().cloned().collect();
        entries.sort_by(|a, b| a.0.cmp(&b.0));
        entries
    }

    #[test]
    fn letters_of_letters_are_kept_in_order_and_come_back() {
        let mut headers = table(&[("mine", Value::I32(1)), ("lockgate-id", Value::text("1-0-1"))]);
        let original = headers.clone();
        put(&mut headers);
        assert_eq!(headers, original, "no letter before this one");
        let mut stages = vec![headers.clone()];
        for reason in ["first", "second", "third"] {
            put(&mut headers);
            headers.set("lockgate-reason", Value::text(reason));
            headers.set("lockgate-original-expiration", Value::text("1"));
            stages.push(headers.clone());
        }
        let Some(Value::Array(letters)) = headers.get(HISTORY) else { panic!("{headers:?}") };
        let reason = |letter: &Value| match letter {
            Value::Table(letter) => {
                letter.get("reason").and_then(Value::as_text).map(str::to_owned)
            }
            other => panic!("{other:?}"),
        };
        let reasons: Vec<_> = letters.iter().filter_map(reason).collect();
        assert_eq!(reasons, ["first", "second"]);
        for before in stages.iter().rev().skip(1) {
            headers.remove("lockgate-reason");
            headers.remove("lockgate-original-expiration");
            take_back(&mut headers);
            assert_eq!(sorted(&headers), sorted(before));
        }
    }

    #[test]
    fn a_history_is_bounded_and_keeps_its_beginning() {
        let mut headers = Table::new();
        for n in 0..100 {
            put(&mut headers);
            headers.set("lockgate-attempts", Value::I64(n));
        }
        put(&mut headers);
        let Some(Value::Array(letters)) = headers.get(HISTORY) else { panic!("{headers:?}") };
        let attempts = |letter: &Value| match letter {
            Value::Table(letter) => letter.get("attempts").cloned(),
            other => panic!("{other:?}"),
        };
        let kept: Vec<_> = letters.iter().filter_map(attempts).collect();
        let expected: Vec<_> = std::iter::once(0).chain(85..100).map(Value::I64).collect();
        assert_eq!(kept, expected);
    }

    #[test]
    fn a_forged_history_is_a_header_like_any_other() {
        for forged in [Value::text("x"), Value::Array(vec![]), Value::Array(vec![Value::Void])] {
            let original = table(&[(HISTORY, forged), ("lockgate-original-CC", Value::Void)]);
            let mut headers = original.clone();
            put(&mut headers);
            headers.set("lockgate-reason", Value::text("mine"));
            headers.remove("lockgate-reason");
            take_back(&mut headers);
            assert_eq!(sorted(&headers), sorted(&original));
        }
    }
}
