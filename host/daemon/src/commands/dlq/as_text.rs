//! As text: a letter and its parts for people. Nothing of a message can steer the terminal.

use lockgate_engine::clean;
use lockgate_message::{Head, Property, Table, Value};

use super::letter::{
    ATTEMPTS, ERROR, Earlier, GENERATION, Letter, Opened, PIPELINE, PLUGIN, STAGE,
};

/// Bytes of one header's value that are shown; `export` has all of it.
const VALUE: usize = 2000;

/// Bytes in a line of a hex dump.
const HEX_LINE: usize = 16;

/// A number with its thousands apart.
pub(super) fn count(n: u64) -> String {
    let digits = n.to_string();
    let mut out = String::new();
    for (at, digit) in digits.chars().enumerate() {
        if at > 0 && (digits.len() - at).is_multiple_of(3) {
            out.push(',');
        }
        out.push(digit);
    }
    out
}

/// So many dead letters.
pub(super) fn letters(n: u64) -> String {
    format!("{} dead letter{}", count(n), if n == 1 { "" } else { "s" })
}

/// Seconds since 1970 as RFC 3339, in UTC. From year 10000 on as the number that it is.
pub(super) fn time(seconds: u64) -> String {
    const LAST: u64 = 253_402_300_799;
    if seconds > LAST {
        return seconds.to_string();
    }
    // Days to a date: H. Hinnant, "chrono-Compatible Low-Level Date Algorithms", civil_from_days.
    let (days, rest) = (seconds / 86_400 + 719_468, seconds % 86_400);
    let (era, day_of_era) = (days / 146_097, days % 146_097);
    let year_of_era =
        (day_of_era - day_of_era / 1_460 + day_of_era / 36_524 - day_of_era / 146_096) / 365;
    let day_of_year = day_of_era - (365 * year_of_era + year_of_era / 4 - year_of_era / 100);
    let shifted = (5 * day_of_year + 2) / 153;
    let day = day_of_year - (153 * shifted + 2) / 5 + 1;
    let month = if shifted < 10 { shifted + 3 } else { shifted - 9 };
    let year = year_of_era + era * 400 + u64::from(month <= 2);
    let (hour, minute, second) = (rest / 3_600, rest % 3_600 / 60, rest % 60);
    format!("{year:04}-{month:02}-{day:02}T{hour:02}:{minute:02}:{second:02}Z")
}

/// A whole letter; of its body `most` bytes.
pub(super) fn letter(letter: &Letter, most: usize) -> Vec<String> {
    let head = letter.head();
    let id = head.properties.message_id.as_deref().unwrap_or("no message-id");
    let mut lines = vec![format!("#{}  {}", letter.position, clean(id, VALUE))];
    let mut say = |name: &str, text: String| lines.push(format!("  {name:<11} {text}"));
    say("reason", clean(letter.reason(), VALUE));
    for (name, header) in
        [("error", ERROR), ("pipeline", PIPELINE), ("stage", STAGE), ("plugin", PLUGIN)]
    {
        if let Some(text) = letter.text(header) {
            say(name, clean(text, VALUE));
        }
    }
    if let Some(at) = letter.failed_at() {
        let mut text = time(at);
        if let Some(attempts) = letter.number(ATTEMPTS) {
            text.push_str(&format!(", attempt {attempts}"));
        }
        if let Some(generation) = letter.number(GENERATION) {
            text.push_str(&format!(", generation {generation} of the pipeline"));
        }
        say("failed", text);
    }
    match letter.origin() {
        Some((exchange, key)) => say("origin", clean(&place(exchange, key), VALUE)),
        None => say("origin", "not known".to_owned()),
    }
    for letter in letter.history() {
        say("before", clean(&earlier(&letter), VALUE));
    }
    if let Some(quarantine) = &letter.delivery.quarantine {
        say("header", format!("cannot be read ({}):", quarantine.reason));
        lines.extend(hex(&quarantine.raw_header, most));
    }
    self::head(head, &mut lines);
    match letter.open() {
        Some(opened) => envelope(&opened, most, &mut lines),
        None => body("body", letter.delivery.message.body(), most, &mut lines),
    }
    lines
}

/// One earlier letter in a line.
fn earlier(letter: &Earlier) -> String {
    let mut text = letter.reason.clone();
    for (name, value) in [("pipeline", &letter.pipeline), ("stage", &letter.stage)] {
        if let Some(value) = value {
            text.push_str(&format!(", {name} {value}"));
        }
    }
    if let Some((exchange, key)) = &letter.origin {
        text.push_str(&format!(", {}", place(exchange, key)));
    }
    if let Some(at) = letter.failed_at {
        text.push_str(&format!(", {}", time(at)));
    }
    match &letter.error {
        Some(error) => format!("{text}: {error}"),
        None => text,
    }
}

/// Where a message is published; names may be any bytes.
pub(super) fn place(exchange: &[u8], key: &[u8]) -> String {
    match exchange {
        b"" => format!("queue {}", name(key)),
        _ => format!("exchange {}, routing key {}", name(exchange), name(key)),
    }
}

fn name(name: &[u8]) -> String {
    match std::str::from_utf8(name) {
        Ok(text) => format!("`{text}`"),
        Err(_) => format!("0x{}", digits(name)),
    }
}

fn digits(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}

fn head(head: &Head, lines: &mut Vec<String>) {
    let set: Vec<_> = Property::ALL.into_iter().filter_map(|p| property(head, p)).collect();
    if !set.is_empty() {
        lines.push("  properties".to_owned());
    }
    for (name, text) in set {
        lines.push(format!("    {name:<17} {text}"));
    }
    if !head.headers.is_empty() {
        lines.push("  headers".to_owned());
    }
    let width = head.headers.iter().map(|(name, _)| name.chars().count()).max().unwrap_or(0);
    let width = width.min(40);
    for (name, header) in head.headers.iter() {
        let (name, shown) = (clean(name, 255), cut(&value(header), VALUE));
        lines.push(format!("    {name:<width$}  {:<9} {shown}", kind(header)));
    }
}

fn property(head: &Head, property: Property) -> Option<(&'static str, String)> {
    let properties = &head.properties;
    let text = match property {
        Property::DeliveryMode => properties.delivery_mode?.to_string(),
        Property::Priority => properties.priority?.to_string(),
        Property::Timestamp => time(properties.timestamp?),
        text => quoted(properties.text(text)?),
    };
    Some((property.name(), text))
}

fn envelope(opened: &Opened, most: usize, lines: &mut Vec<String>) {
    match &opened.head {
        Ok(inner) => {
            lines.push("  envelope    with this message in it:".to_owned());
            head(inner, lines);
        }
        Err(why) => {
            lines.push(format!("  envelope    whose header cannot be read ({why}):"));
            lines.extend(hex(&opened.raw_header, most));
        }
    }
    body("body", &opened.body, most, lines);
}

/// Text as it is, line by line; anything else as a hex dump.
fn body(title: &str, bytes: &[u8], most: usize, lines: &mut Vec<String>) {
    let shown = bytes.get(..most).unwrap_or(bytes);
    let text = match std::str::from_utf8(shown) {
        Ok(text) => Some(text),
        // Cut within a character, perhaps.
        Err(error) if bytes.len() > most && error.error_len().is_none() => {
            shown.get(..error.valid_up_to()).and_then(|whole| std::str::from_utf8(whole).ok())
        }
        Err(_) => None,
    };
    let cut = match bytes.len().saturating_sub(most) {
        0 => String::new(),
        more => format!(", the last {} are left out", count(more as u64)),
    };
    lines.push(format!("  {title:<11} {} bytes{cut}", count(bytes.len() as u64)));
    match text {
        Some(text) => lines.extend(
            text.lines()
                .map(|line| format!("    {}", clean(&line.replace('\t', "    "), usize::MAX))),
        ),
        None => lines.extend(hex(shown, most)),
    }
}

/// Offset, bytes, and what of them is ASCII.
fn hex(bytes: &[u8], most: usize) -> Vec<String> {
    let shown = bytes.get(..most).unwrap_or(bytes);
    let line = |(n, chunk): (usize, &[u8])| {
        let digits: String = chunk.iter().map(|byte| format!("{byte:02x} ")).collect();
        let printable = |byte: &u8| matches!(byte, b' '..=b'~').then_some(char::from(*byte));
        let ascii: String = chunk.iter().map(|byte| printable(byte).unwrap_or('.')).collect();
        format!("    {:06x}  {digits:<48} {ascii}", n * HEX_LINE)
    };
    shown.chunks(HEX_LINE).enumerate().map(line).collect()
}

/// The type of a header's value, as [`super::as_json`] names it.
pub(super) fn kind(value: &Value) -> &'static str {
    match value {
        Value::Void => "void",
        Value::Bool(_) => "bool",
        Value::I8(_) => "i8",
        Value::U8(_) => "u8",
        Value::I16(_) => "i16",
        Value::U16(_) => "u16",
        Value::I32(_) => "i32",
        Value::U32(_) => "u32",
        Value::I64(_) => "i64",
        Value::F32(_) => "f32",
        Value::F64(_) => "f64",
        Value::Decimal { .. } => "decimal",
        Value::Str(_) => "text",
        Value::Bytes(_) => "bytes",
        Value::Timestamp(_) => "timestamp",
        Value::Array(_) => "array",
        Value::Table(_) => "table",
    }
}

/// Recursive: the values of a delivery are at most 32 levels deep.
fn value(value: &Value) -> String {
    match value {
        Value::Void => "-".to_owned(),
        Value::Bool(v) => v.to_string(),
        Value::I8(v) => v.to_string(),
        Value::U8(v) => v.to_string(),
        Value::I16(v) => v.to_string(),
        Value::U16(v) => v.to_string(),
        Value::I32(v) => v.to_string(),
        Value::U32(v) => v.to_string(),
        Value::I64(v) => v.to_string(),
        Value::F32(v) => v.to_string(),
        Value::F64(v) => v.to_string(),
        Value::Decimal { scale, value } => format!("{value}e-{scale}"),
        Value::Str(bytes) => match std::str::from_utf8(bytes) {
            Ok(text) => quoted(text),
            Err(_) => digits(bytes),
        },
        Value::Bytes(bytes) => digits(bytes),
        Value::Timestamp(v) => time(*v),
        Value::Array(items) => {
            let items: Vec<_> = items.iter().map(typed).collect();
            format!("[{}]", items.join(", "))
        }
        Value::Table(table) => format!("{{{}}}", entries(table)),
    }
}

fn entries(table: &Table) -> String {
    let entries: Vec<_> = table
        .iter()
        .map(|(name, value)| format!("{}: {}", clean(name, 255), typed(value)))
        .collect();
    entries.join(", ")
}

fn typed(inner: &Value) -> String {
    match inner {
        Value::Str(_) | Value::Array(_) | Value::Table(_) => value(inner),
        _ => format!("{} {}", kind(inner), value(inner)),
    }
}

fn quoted(text: &str) -> String {
    format!("\"{}\"", clean(text, usize::MAX))
}

fn cut(text: &str, most: usize) -> String {
    match text.char_indices().nth(most) {
        None => text.to_owned(),
        Some((at, _)) => format!("{}…", text.get(..at).unwrap_or_default()),
    }
}

#[cfg(test)]
mod tests {
    use super::super::letter::samples;
    use super::*;

    #[test]
    fn numbers_and_times() {
        for (n, text) in [(0, "0"), (999, "999"), (1_000, "1,000"), (1_234_567, "1,234,567")] {
            assert_eq!(count(n), text);
        }
        for (seconds, text) in [
            (0, "1970-01-01T00:00:00Z"),
            (951_782_400, "2000-02-29T00:00:00Z"),
            (1_700_000_000, "2023-11-14T22:13:20Z"),
            (4_107_542_399, "2100-02-28T23:59:59Z"),
            (4_107_542_400, "2100-03-01T00:00:00Z"),
            (253_402_300_799, "9999-12-31T23:59:59Z"),
            (u64::MAX, "18446744073709551615"),
        ] {
            assert_eq!(time(seconds), text);
        }
    }

    #[test]
    fn a_letter_is_shown_whole() {
        let mut letter = samples::from_origin("trap");
        letter.delivery.message.head_mut().properties.message_id = Some("id\x1b[2J".into());
        let table = Value::Table([("k".to_owned(), Value::U8(1))].into_iter().collect());
        let array = Value::Array(vec![Value::text("a"), Value::Void, table]);
        letter.delivery.message.head_mut().headers.set("array", array);
        letter.delivery.message.set_body("one\n\ttwo\x07");
        let text = self::letter(&letter, 4096).join("\n");
        let expected = "\
#1  id\\u{1b}[2J
  reason      trap
  failed      2023-11-14T22:13:20Z
  origin      exchange `in`, routing key `k`
  properties
    message_id        \"id\\u{1b}[2J\"
  headers
    lockgate-reason                text      \"trap\"
    lockgate-original-exchange     text      \"in\"
    lockgate-original-routing-key  text      \"k\"
    lockgate-failed-at             timestamp 2023-11-14T22:13:20Z
    mine                           i32       1
    array                          array     [\"a\", void -, {k: u8 1}]
  body        9 bytes
    one
        two\\u{7}";
        assert_eq!(text, expected);
    }

    #[test]
    fn a_letter_shows_what_was_before_it_and_names_that_are_no_text() {
        let shown = letter(&samples::from_broker(), 4096).join("\n");
        let parts = [
            "  reason      rejected",
            "  origin      exchange `orders`, routing key `order.new`",
            "  before      trap, exchange `in`, routing key `k`, 2023-11-14T22:13:20Z",
        ];
        assert!(parts.iter().all(|part| shown.contains(part)), "{shown}");
        assert_eq!(place(b"x", b"\xfek"), "exchange `x`, routing key 0xfe6b");
    }

    #[test]
    fn bodies_are_text_or_hex_and_cut() {
        let shown = |bytes: &[u8], most| {
            let mut lines = Vec::new();
            body("body", bytes, most, &mut lines);
            lines.join("|")
        };
        assert_eq!(shown(b"", 9), "  body        0 bytes");
        assert_eq!(
            shown("aé".as_bytes(), 2),
            "  body        3 bytes, the last 1 are left out|    a"
        );
        let hex = format!("    000000  {:<48} a.", "61 ff");
        assert_eq!(shown(b"a\xff", 9), format!("  body        2 bytes|{hex}"));
    }

    #[test]
    fn an_envelope_shows_what_is_in_it() {
        let opened = letter(&samples::envelope(samples::RAW_HEADER), 4096).join("\n");
        assert!(opened.contains("with this message in it"), "{opened}");
        assert!(opened.contains("k  bool      true"), "{opened}");
        assert!(opened.ends_with("body        5 bytes\n    inner"), "{opened}");
        let broken = letter(&samples::envelope(b"\xff\xfe"), 4096).join("\n");
        assert!(broken.contains("cannot be read (malformed)"), "{broken}");
        assert!(broken.contains("000000  ff fe"), "{broken}");
    }
}
