//! Plain: the fields of a log line for people, with texts as they are and nothing in them that
//! could steer a terminal. Escaping: the same for lines of JSON.

use std::fmt::{self, Debug};
use std::io;

use tracing::field::{Field, Visit};
use tracing_subscriber::field::RecordFields;
use tracing_subscriber::fmt::FormatFields;
use tracing_subscriber::fmt::format::Writer;

/// Formats fields as `name=value`, the message first and without its name.
pub(super) struct Plain;

impl<'w> FormatFields<'w> for Plain {
    fn format_fields<R: RecordFields>(&self, writer: Writer<'w>, fields: R) -> fmt::Result {
        let mut line = Line { writer, begun: false, result: Ok(()) };
        fields.record(&mut line);
        line.result
    }
}

struct Line<'w> {
    writer: Writer<'w>,
    begun: bool,
    result: fmt::Result,
}

impl Line<'_> {
    fn write(&mut self, field: &Field, value: &str) {
        if self.result.is_ok() {
            self.result = self.try_write(field.name(), value);
        }
    }

    fn try_write(&mut self, name: &str, value: &str) -> fmt::Result {
        if std::mem::replace(&mut self.begun, true) {
            self.writer.write_char(' ')?;
        }
        if name != "message" {
            match self.writer.has_ansi_escapes() {
                true => write!(self.writer, "\x1b[3m{name}\x1b[0m\x1b[2m=\x1b[0m")?,
                false => write!(self.writer, "{name}=")?,
            }
        }
        let value = lockgate_engine::clean(value, usize::MAX);
        if name != "message" && (value.is_empty() || value.contains([' ', '"'])) {
            write!(self.writer, "\"{value}\"")
        } else {
            self.writer.write_str(&value)
        }
    }
}

impl Visit for Line<'_> {
    fn record_str(&mut self, field: &Field, value: &str) {
        self.write(field, value);
    }

    fn record_debug(&mut self, field: &Field, value: &dyn Debug) {
        // What is logged with `%` arrives here, and its `Debug` is its `Display`.
        self.write(field, &format!("{value:?}"));
    }
}

/// Writes lines of JSON, in which characters that steer a terminal are escapes of JSON. Its encoder
/// makes those of the control characters below 32 alone.
pub(super) struct Escaping<W>(pub(super) W);

impl<W: io::Write> io::Write for Escaping<W> {
    fn write(&mut self, line: &[u8]) -> io::Result<usize> {
        self.write_all(line)?;
        Ok(line.len())
    }

    /// A whole line, as it comes from the subscriber.
    fn write_all(&mut self, line: &[u8]) -> io::Result<()> {
        let steers = |c: char| c != '\n' && lockgate_engine::steers(c);
        match std::str::from_utf8(line) {
            Ok(text) if text.contains(steers) => {
                let mut escaped = String::with_capacity(text.len() + 16);
                for c in text.chars() {
                    if steers(c) {
                        // All of them are below 0x10000, where JSON's escapes end.
                        escaped.push_str(&format!("\\u{:04x}", u32::from(c)));
                    } else {
                        escaped.push(c);
                    }
                }
                self.0.write_all(escaped.as_bytes())
            }
            _ => self.0.write_all(line),
        }
    }

    fn flush(&mut self) -> io::Result<()> {
        self.0.flush()
    }
}

#[cfg(test)]
mod tests {
    use std::io::Write;
    use std::sync::{Arc, Mutex};

    use super::*;

    #[derive(Clone, Default)]
    struct Lines(Arc<Mutex<Vec<u8>>>);

    impl Write for Lines {
        fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
            self.0.lock().unwrap().extend_from_slice(bytes);
            Ok(bytes.len())
        }

        fn flush(&mut self) -> io::Result<()> {
            Ok(())
        }
    }

    const HOSTILE: &str = "a\"b\\c\x1b[31m\n\u{9b}1m\u{202e}é";

    fn told(pretty: bool) -> String {
        let lines = Lines::default();
        let writer = lines.clone();
        let builder = tracing_subscriber::fmt().with_target(false).without_time();
        let tell = || tracing::warn!(id = HOSTILE, error = %HOSTILE, count = 7, "said: {HOSTILE}");
        if pretty {
            let writer = move || writer.clone();
            let builder = builder.with_writer(writer).with_ansi(false).fmt_fields(Plain);
            tracing::subscriber::with_default(builder.finish(), tell);
        } else {
            let writer = move || Escaping(writer.clone());
            let builder = builder.with_writer(writer).json().flatten_event(true);
            tracing::subscriber::with_default(builder.finish(), tell);
        }
        let bytes = lines.0.lock().unwrap().clone();
        String::from_utf8(bytes).unwrap()
    }

    #[test]
    fn what_steers_a_terminal_is_escaped_once_for_people() {
        let shown = r#"a"b\c\u{1b}[31m\n\u{9b}1m\u{202e}é"#;
        let expected = format!(" WARN said: {shown} id=\"{shown}\" error=\"{shown}\" count=7\n");
        assert_eq!(told(true), expected);
    }

    #[test]
    fn and_once_in_json() {
        let line = told(false);
        assert!(!line.trim_end().contains(lockgate_engine::steers), "{line:?}");
        let parsed: serde_json::Value = serde_json::from_str(&line).unwrap();
        for (key, expected) in [("id", HOSTILE), ("error", HOSTILE)] {
            assert_eq!(parsed[key], expected, "{line}");
        }
        assert_eq!(parsed["message"], format!("said: {HOSTILE}"), "{line}");
    }
}
