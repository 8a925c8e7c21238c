//! Units: durations, ranges of them, and byte sizes as they are written in files.

use std::fmt;
use std::time::Duration;

use serde::de::{Deserialize, Deserializer, Error, Visitor};

/// A duration: a whole number and `us`, `ms`, `s`, `m` or `h`, as in `"50ms"`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Time(pub Duration);

/// A range of durations, as in `"200ms..30s"`; `min` is not above `max`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct TimeRange {
    pub min: Duration,
    pub max: Duration,
}

/// Bytes: a whole number and `B`, `KiB`, `MiB`, `GiB`, `kB`, `MB` or `GB`, as in `"32MiB"`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct ByteSize(pub u64);

/// Microseconds per unit. The longest first, for writing.
const TIMES: [(&str, u64); 5] =
    [("h", 3_600_000_000), ("m", 60_000_000), ("s", 1_000_000), ("ms", 1_000), ("us", 1)];
const SIZES: [(&str, u64); 7] = [
    ("GiB", 1 << 30),
    ("MiB", 1 << 20),
    ("KiB", 1 << 10),
    ("GB", 1_000_000_000),
    ("MB", 1_000_000),
    ("kB", 1_000),
    ("B", 1),
];

impl Time {
    /// Reads `"50ms"`.
    pub fn parse(text: &str) -> Option<Self> {
        parse(text, &TIMES).map(Duration::from_micros).map(Self)
    }
}

impl TimeRange {
    /// Reads `"200ms..30s"`.
    pub fn parse(text: &str) -> Option<Self> {
        let (min, max) = text.split_once("..")?;
        let (min, max) = (Time::parse(min)?.0, Time::parse(max)?.0);
        (min <= max).then_some(Self { min, max })
    }
}

impl ByteSize {
    /// Reads `"32MiB"`.
    pub fn parse(text: &str) -> Option<Self> {
        parse(text, &SIZES).map(Self)
    }
}

fn parse(text: &str, units: &[(&str, u64)]) -> Option<u64> {
    let text = text.trim();
    let unit = text.trim_start_matches(|c: char| c.is_ascii_digit());
    let number: u64 = text.strip_suffix(unit)?.parse().ok()?;
    let (_, factor) = units.iter().find(|(name, _)| *name == unit.trim_start())?;
    number.checked_mul(*factor)
}

/// In the largest unit that loses nothing.
fn write(f: &mut fmt::Formatter<'_>, value: u64, units: &[(&str, u64)]) -> fmt::Result {
    let exact = |&&(_, factor): &&(&str, u64)| value >= factor && value.is_multiple_of(factor);
    match units.iter().find(exact).or(units.last()) {
        Some((name, factor)) => write!(f, "{}{name}", value / factor),
        None => write!(f, "{value}"),
    }
}

impl fmt::Display for Time {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write(f, u64::try_from(self.0.as_micros()).unwrap_or(u64::MAX), &TIMES)
    }
}

impl fmt::Display for ByteSize {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write(f, self.0, &SIZES)
    }
}

/// Reads a string with `parse`, or says what it should have been. The string itself is not
/// repeated: it may hold a credential by mistake.
struct Unit<T> {
    parse: fn(&str) -> Option<T>,
    expected: &'static str,
}

impl<T> Visitor<'_> for Unit<T> {
    type Value = T;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.expected)
    }

    fn visit_str<E: Error>(self, text: &str) -> Result<T, E> {
        (self.parse)(text).ok_or_else(|| E::custom(format_args!("expected {}", self.expected)))
    }
}

impl<'de> Deserialize<'de> for Time {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let expected = "a duration such as \"50ms\" (units: us, ms, s, m, h)";
        deserializer.deserialize_str(Unit { parse: Self::parse, expected })
    }
}

impl<'de> Deserialize<'de> for TimeRange {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let expected = "a range of durations such as \"200ms..30s\", the shorter first";
        deserializer.deserialize_str(Unit { parse: Self::parse, expected })
    }
}

impl<'de> Deserialize<'de> for ByteSize {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let expected = "a size such as \"32MiB\" (units: B, KiB, MiB, GiB, kB, MB, GB)";
        deserializer.deserialize_str(Unit { parse: Self::parse, expected })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn times() {
        let check = |text, micros: Option<u64>| {
            assert_eq!(Time::parse(text).map(|t| t.0.as_micros() as u64), micros, "{text}");
        };
        check("50ms", Some(50_000));
        check(" 2 h ", Some(7_200_000_000));
        check("0s", Some(0));
        for bad in [
            "",
            "5",
            "ms",
            "-1s",
            "1.5s",
            "1d",
            "99999999999999999999s",
            "9999999999999999h",
            "1ss",
            "1²s",
        ] {
            check(bad, None);
        }
    }

    #[test]
    fn ranges() {
        let check = |text, expected| {
            assert_eq!(
                TimeRange::parse(text).map(|r| (Time(r.min).to_string(), Time(r.max).to_string())),
                expected,
                "{text}"
            );
        };
        check("200ms..30s", Some(("200ms".into(), "30s".into())));
        check("1s..1000ms", Some(("1s".into(), "1s".into())));
        for bad in ["30s..1s", "1s", "1s..", "..1s", "1s..2s..3s", "1s...2s"] {
            check(bad, None);
        }
    }

    #[test]
    fn sizes() {
        let check = |text, bytes, shown: &str| {
            assert_eq!(ByteSize::parse(text), Some(ByteSize(bytes)), "{text}");
            assert_eq!(ByteSize(bytes).to_string(), shown);
        };
        check("32MiB", 32 << 20, "32MiB");
        check("1500 B", 1500, "1500B");
        check("3kB", 3000, "3kB");
        check("0B", 0, "0B");
        for bad in ["", "1", "1KB", "1mib", "-1B", "99999999999GiB"] {
            assert_eq!(ByteSize::parse(bad), None, "{bad}");
        }
    }
}
