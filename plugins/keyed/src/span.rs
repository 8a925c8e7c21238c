//! Span: a time in settings, as in pipeline files: `"50ms"`, `"10m"`.

use std::fmt;
use std::time::Duration;

use serde::de::{Deserialize, Deserializer, Error};

/// A time: a whole number and `ms`, `s`, `m` or `h`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Span(Duration);

/// Milliseconds per unit, the longest first, for writing.
const UNITS: [(&str, u64); 4] = [("h", 3_600_000), ("m", 60_000), ("s", 1_000), ("ms", 1)];

impl Span {
    /// So many milliseconds.
    pub const fn from_millis(ms: u64) -> Self {
        Self(Duration::from_millis(ms))
    }

    /// So many hours.
    pub const fn from_hours(hours: u64) -> Self {
        Self::from_millis(hours * 3_600_000)
    }

    /// As the standard library has it.
    pub const fn duration(self) -> Duration {
        self.0
    }

    /// In whole milliseconds.
    pub fn millis(self) -> u64 {
        u64::try_from(self.0.as_millis()).unwrap_or(u64::MAX)
    }

    /// The time itself, if it is within bounds.
    ///
    /// # Errors
    /// What it should be.
    pub fn within(self, least: Self, most: Self) -> Result<Self, String> {
        if (least..=most).contains(&self) {
            Ok(self)
        } else {
            Err(format!("{self} is not between {least} and {most}"))
        }
    }

    fn parse(text: &str) -> Option<Self> {
        let text = text.trim();
        let unit = text.trim_start_matches(|c: char| c.is_ascii_digit());
        let number: u64 = text.strip_suffix(unit)?.parse().ok()?;
        let (_, ms) = UNITS.iter().find(|(name, _)| *name == unit.trim_start())?;
        number.checked_mul(*ms).map(Self::from_millis)
    }
}

impl From<Duration> for Span {
    fn from(time: Duration) -> Self {
        Self(time)
    }
}

impl fmt::Display for Span {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let ms = self.millis();
        let exact = UNITS.iter().find(|(_, unit)| ms >= *unit && ms.is_multiple_of(*unit));
        let (name, unit) = exact.unwrap_or(&("ms", 1));
        write!(f, "{}{name}", ms / unit)
    }
}

impl<'de> Deserialize<'de> for Span {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let text = String::deserialize(deserializer)?;
        Self::parse(&text).ok_or_else(|| {
            D::Error::custom("expected a duration such as \"10m\" (units: ms, s, m, h)")
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn spans_are_read_and_written() {
        for (text, ms, shown) in [
            ("50ms", 50, "50ms"),
            (" 2 h ", 7_200_000, "2h"),
            ("90s", 90_000, "90s"),
            ("120m", 7_200_000, "2h"),
            ("0s", 0, "0ms"),
        ] {
            assert_eq!(Span::parse(text), Some(Span::from_millis(ms)), "{text}");
            assert_eq!(Span::from_millis(ms).to_string(), shown);
        }
        for bad in ["", "5", "s", "-1s", "1.5s", "1w", "1d", "99999999999999999999h"] {
            assert_eq!(Span::parse(bad), None, "{bad}");
        }
    }
}
