//! Description: what tools show about a plugin without running it. Its JSON is built at compile
//! time, so that the custom section and `lockgate_describe` hold the same bytes.

/// Name, version and what else a plugin declares about itself.
#[derive(Clone, Copy, Debug)]
pub struct Description {
    /// Lower-case words joined by hyphens; at most 64 bytes, as the version.
    pub name: &'static str,
    /// The plugin's own version.
    pub version: &'static str,
    /// Messages that a batch may hold at most.
    pub max_batch: u32,
    /// Capabilities asked for beyond the ones granted by default (log, metrics).
    pub capabilities: &'static [&'static str],
    /// Words for [`crate::Reason`], at most 64, each `[a-z][a-z0-9_]{0,47}`.
    pub reasons: &'static [&'static str],
    /// JSON Schema of the settings, as JSON text.
    pub settings_schema: &'static str,
    /// Sample messages that the host runs before the plugin goes live, as JSON text (an array).
    pub samples: &'static str,
}

impl Description {
    /// A description with a largest batch of 64 and everything else empty.
    pub const fn new(name: &'static str, version: &'static str) -> Self {
        Self {
            name,
            version,
            max_batch: 64,
            capabilities: &[],
            reasons: &[],
            settings_schema: "{\"type\":\"object\"}",
            samples: "[]",
        }
    }

    /// With these reasons; `Reason(1)` is the first.
    #[must_use]
    pub const fn reasons(mut self, reasons: &'static [&'static str]) -> Self {
        self.reasons = reasons;
        self
    }

    /// With this JSON Schema of the settings; `include_str!` reads well here.
    #[must_use]
    pub const fn schema(mut self, json: &'static str) -> Self {
        self.settings_schema = json;
        self
    }

    /// Asking for these capabilities, for example `clock` or `random`.
    #[must_use]
    pub const fn capabilities(mut self, capabilities: &'static [&'static str]) -> Self {
        self.capabilities = capabilities;
        self
    }

    /// With this largest batch.
    #[must_use]
    pub const fn max_batch(mut self, messages: u32) -> Self {
        self.max_batch = messages;
        self
    }

    /// With these samples, a JSON array.
    #[must_use]
    pub const fn samples(mut self, json: &'static str) -> Self {
        self.samples = json;
        self
    }

    /// Bytes of [`Description::json`].
    ///
    /// # Panics
    /// Compilation fails when a word is not as its field says.
    pub const fn json_len(&self) -> usize {
        self.check();
        self.write(&mut [])
    }

    /// The description as JSON, in `N` = [`Description::json_len`] bytes.
    pub const fn json<const N: usize>(&self) -> [u8; N] {
        let mut bytes = [0; N];
        self.write(&mut bytes);
        bytes
    }

    /// The description as JSON, made at run time; for tests and tools.
    pub fn to_json(&self) -> Vec<u8> {
        let mut bytes = vec![0; self.write(&mut [])];
        self.write(&mut bytes);
        bytes
    }

    const fn check(&self) {
        assert!(is_label(self.name), "the name is not 1 to 64 plain ASCII characters");
        assert!(is_label(self.version), "the version is not 1 to 64 plain ASCII characters");
        assert!(self.max_batch > 0, "max_batch is 0");
        assert!(self.reasons.len() <= 64, "more than 64 reasons");
        check_words(self.reasons);
        check_words(self.capabilities);
    }

    /// Writes as much as fits; returns how long the whole is.
    const fn write(&self, out: &mut [u8]) -> usize {
        let mut sink = Sink { out, length: 0 };
        sink.put("{\"name\":\"");
        sink.put(self.name);
        sink.put("\",\"version\":\"");
        sink.put(self.version);
        sink.put("\",\"contract\":\"0.1\",\"max_batch\":");
        sink.put_number(self.max_batch);
        sink.put(",\"capabilities\":");
        sink.put_words(self.capabilities);
        sink.put(",\"reasons\":");
        sink.put_words(self.reasons);
        sink.put(",\"settings_schema\":");
        sink.put(self.settings_schema);
        sink.put(",\"samples\":");
        sink.put(self.samples);
        sink.put("}");
        sink.length
    }
}

/// 1 to 64 visible ASCII characters that JSON does not escape.
const fn is_label(text: &str) -> bool {
    let mut rest = text.as_bytes();
    if rest.is_empty() || rest.len() > 64 {
        return false;
    }
    while let Some((byte, tail)) = rest.split_first() {
        if !byte.is_ascii_graphic() || *byte == b'"' || *byte == b'\\' {
            return false;
        }
        rest = tail;
    }
    true
}

const fn check_words(words: &[&str]) {
    let mut rest = words;
    while let Some((word, tail)) = rest.split_first() {
        assert!(is_word(word), "a reason or capability is not a lower-case word of at most 48");
        rest = tail;
    }
}

const fn is_word(word: &str) -> bool {
    let Some((first, mut rest)) = word.as_bytes().split_first() else { return false };
    if !first.is_ascii_lowercase() || rest.len() > 47 {
        return false;
    }
    while let Some((byte, tail)) = rest.split_first() {
        if !(byte.is_ascii_lowercase() || byte.is_ascii_digit() || *byte == b'_') {
            return false;
        }
        rest = tail;
    }
    true
}

/// Writes what fits and counts the rest, so that one function measures and writes.
struct Sink<'a> {
    out: &'a mut [u8],
    length: usize,
}

impl Sink<'_> {
    const fn put(&mut self, text: &str) {
        let bytes = text.as_bytes();
        if let Some((_, rest)) = self.out.split_at_mut_checked(self.length)
            && let Some((slot, _)) = rest.split_at_mut_checked(bytes.len())
        {
            slot.copy_from_slice(bytes);
        }
        self.length += bytes.len();
    }

    const fn put_words(&mut self, words: &[&str]) {
        self.put("[");
        let mut rest = words;
        while let Some((word, tail)) = rest.split_first() {
            self.put("\"");
            self.put(word);
            self.put(if tail.is_empty() { "\"" } else { "\"," });
            rest = tail;
        }
        self.put("]");
    }

    const fn put_number(&mut self, number: u32) {
        if number >= 10 {
            self.put_number(number / 10);
        }
        let digit = [b'0' + (number % 10) as u8];
        if let Ok(digit) = str::from_utf8(&digit) {
            self.put(digit);
        }
    }
}

#[cfg(test)]
mod tests;
