//! `strptime`: a time from text, by a format.

use super::clock::{Clock, DAYS, MONTHS};

/// Reads the whole text; spaces may follow.
pub(super) fn parse(text: &str, format: &str) -> Option<Clock> {
    let mut reading = Reading {
        rest: text,
        clock: Clock { year: 1900, ..Clock::default() },
        afternoon: None,
        has_year_day: false,
        has_week_day: false,
    };
    reading.by(format)?;
    if !reading.rest.chars().all(char::is_whitespace) {
        return None;
    }
    let mut clock = reading.clock;
    if let Some(afternoon) = reading.afternoon {
        clock.hour = clock.hour % 12 + if afternoon { 12 } else { 0 };
    }
    let (week_day, year_day) = (clock.week_day, clock.year_day);
    if clock.day != 0 {
        clock.find_days();
    }
    if reading.has_week_day {
        clock.week_day = week_day;
    }
    if reading.has_year_day {
        clock.year_day = year_day;
    }
    Some(clock)
}

struct Reading<'t> {
    rest: &'t str,
    clock: Clock,
    afternoon: Option<bool>,
    has_year_day: bool,
    has_week_day: bool,
}

impl Reading<'_> {
    fn by(&mut self, format: &str) -> Option<()> {
        let mut format = format.chars();
        while let Some(next) = format.next() {
            if next.is_whitespace() {
                self.rest = self.rest.trim_start();
            } else if next != '%' {
                self.rest = self.rest.strip_prefix(next)?;
            } else {
                let mut specifier = format.next()?;
                if matches!(specifier, 'E' | 'O' | '-' | '_' | '0') {
                    specifier = format.next()?;
                }
                self.take(specifier)?;
            }
        }
        Some(())
    }

    fn take(&mut self, specifier: char) -> Option<()> {
        match specifier {
            'Y' => self.clock.year = self.signed(4)?,
            'm' => self.clock.month = self.number(2, 1, 12)? - 1,
            'd' | 'e' => self.clock.day = self.number(2, 1, 31)?,
            'H' | 'k' => self.clock.hour = self.number(2, 0, 23)?,
            'I' | 'l' => self.clock.hour = self.number(2, 1, 12)?,
            'M' => self.clock.minute = self.number(2, 0, 59)?,
            'S' => self.clock.second = self.number(2, 0, 61)? as f64,
            'j' => {
                self.clock.year_day = self.number(3, 1, 366)? - 1;
                self.has_year_day = true;
            }
            'y' => {
                let year = self.number(2, 0, 99)?;
                self.clock.year = year + if year < 69 { 2000 } else { 1900 };
            }
            'C' => drop(self.number(2, 0, 99)?),
            'b' | 'B' | 'h' => self.clock.month = self.name(&MONTHS)?,
            'a' | 'A' => {
                self.clock.week_day = self.name(&DAYS)?;
                self.has_week_day = true;
            }
            'u' => {
                self.clock.week_day = self.number(1, 1, 7)? % 7;
                self.has_week_day = true;
            }
            'w' => {
                self.clock.week_day = self.number(1, 0, 6)?;
                self.has_week_day = true;
            }
            'p' | 'P' => {
                self.afternoon = Some(match self.letters(2)?.as_str() {
                    "am" => false,
                    "pm" => true,
                    _ => return None,
                });
            }
            's' => {
                let seconds = self.signed(18)?;
                self.clock = Clock::at(seconds as f64);
            }
            'U' | 'V' | 'W' | 'g' => drop(self.number(2, 0, 99)?),
            'G' => drop(self.number(4, 0, 9999)?),
            'T' => self.by("%H:%M:%S")?,
            'R' => self.by("%H:%M")?,
            'r' => self.by("%I:%M:%S %p")?,
            'D' | 'x' => self.by("%m/%d/%y")?,
            'F' => self.by("%Y-%m-%d")?,
            'X' => self.by("%H:%M:%S")?,
            'c' => self.by("%a %b %e %H:%M:%S %Y")?,
            'Z' => {
                self.rest = self.rest.trim_start_matches(|next: char| next.is_ascii_alphabetic())
            }
            'z' => self.zone()?,
            'n' | 't' => self.rest = self.rest.trim_start(),
            '%' => self.rest = self.rest.strip_prefix('%')?,
            _ => return None,
        }
        Some(())
    }

    /// Up to so many digits, with spaces before them.
    fn number(&mut self, digits: usize, least: i64, most: i64) -> Option<i64> {
        self.rest = self.rest.trim_start();
        let length = self.rest.bytes().take(digits).take_while(u8::is_ascii_digit).count();
        let (number, rest) = self.rest.split_at(length);
        self.rest = rest;
        number.parse().ok().filter(|number| (least..=most).contains(number))
    }

    fn signed(&mut self, digits: usize) -> Option<i64> {
        self.rest = self.rest.trim_start();
        match self.rest.strip_prefix('-') {
            Some(rest) => {
                self.rest = rest;
                self.number(digits, 0, i64::MAX).map(|number| -number)
            }
            None => self.number(digits, 0, i64::MAX),
        }
    }

    fn letters(&mut self, count: usize) -> Option<String> {
        let (letters, rest) = self.rest.split_at_checked(count)?;
        self.rest = rest;
        Some(letters.to_ascii_lowercase())
    }

    /// A name or its first three letters, in any case.
    fn name(&mut self, names: &[&str]) -> Option<i64> {
        let starts = |name: &str| {
            self.rest.get(..name.len()).is_some_and(|start| start.eq_ignore_ascii_case(name))
        };
        let short = |name: &'_ str| name.get(..3).unwrap_or_default().to_owned();
        let at = names.iter().position(|name| starts(&short(name)))?;
        let full = names.get(at).copied().unwrap_or_default();
        let length = if starts(full) { full.len() } else { 3 };
        self.rest = self.rest.get(length..)?;
        i64::try_from(at).ok()
    }

    /// `+hh`, `+hhmm`, `+hh:mm` or `Z`: read, and without effect, as with jq.
    fn zone(&mut self) -> Option<()> {
        if let Some(rest) = self.rest.strip_prefix('Z') {
            self.rest = rest;
            return Some(());
        }
        self.rest = self.rest.strip_prefix(['+', '-'])?;
        self.number(2, 0, 99)?;
        self.rest = self.rest.strip_prefix(':').unwrap_or(self.rest);
        if self.rest.starts_with(|next: char| next.is_ascii_digit()) {
            self.number(2, 0, 59)?;
        }
        Some(())
    }
}
