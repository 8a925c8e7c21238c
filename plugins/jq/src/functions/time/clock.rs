//! Clock: a time as jq's "broken down time", in UTC.

use std::fmt::Write as _;

use crate::value::Val;

pub(super) const MONTHS: [&str; 12] = [
    "January",
    "February",
    "March",
    "April",
    "May",
    "June",
    "July",
    "August",
    "September",
    "October",
    "November",
    "December",
];
pub(super) const DAYS: [&str; 7] =
    ["Sunday", "Monday", "Tuesday", "Wednesday", "Thursday", "Friday", "Saturday"];

/// Seconds on either side of 1970 that are still told apart as dates: years of nine digits.
const FARTHEST: f64 = 3.0e16;

/// A time in UTC. Months count from 0; parts can be beyond their bounds until it is put right.
#[derive(Clone, Debug, Default)]
pub(super) struct Clock {
    pub(super) year: i64,
    pub(super) month: i64,
    pub(super) day: i64,
    pub(super) hour: i64,
    pub(super) minute: i64,
    pub(super) second: f64,
    pub(super) week_day: i64,
    pub(super) year_day: i64,
}

/// Days since 1970 of a date ("chrono-compatible low-level date algorithms", H. Hinnant).
fn days_of(year: i64, month: i64, day: i64) -> i64 {
    let (year, month) = (year + month.div_euclid(12), month.rem_euclid(12) + 1);
    let year = if month <= 2 { year - 1 } else { year };
    let era = year.div_euclid(400);
    let year_of_era = year.rem_euclid(400);
    let shifted = (month + 9) % 12;
    let day_of_year = (153 * shifted + 2) / 5 + day - 1;
    era * 146_097 + year_of_era * 365 + year_of_era / 4 - year_of_era / 100 + day_of_year - 719_468
}

/// The date of a day since 1970, by the same source.
fn date_of(days: i64) -> (i64, i64, i64) {
    let shifted = days + 719_468;
    let era = shifted.div_euclid(146_097);
    let day_of_era = shifted.rem_euclid(146_097);
    let year_of_era =
        (day_of_era - day_of_era / 1460 + day_of_era / 36_524 - day_of_era / 146_096) / 365;
    let day_of_year = day_of_era - (365 * year_of_era + year_of_era / 4 - year_of_era / 100);
    let month = (5 * day_of_year + 2) / 153;
    let day = day_of_year - (153 * month + 2) / 5 + 1;
    let month = if month < 10 { month + 2 } else { month - 10 };
    (year_of_era + era * 400 + i64::from(month < 2), month, day)
}

impl Clock {
    /// The time so many seconds after 1970.
    pub(super) fn at(seconds: f64) -> Self {
        let seconds = if seconds.is_nan() { 0.0 } else { seconds.clamp(-FARTHEST, FARTHEST) };
        let whole = seconds.floor();
        let (days, rest) = ((whole as i64).div_euclid(86_400), (whole as i64).rem_euclid(86_400));
        let (year, month, day) = date_of(days);
        let mut clock = Self {
            year,
            month,
            day,
            hour: rest / 3600,
            minute: rest / 60 % 60,
            second: (rest % 60) as f64 + (seconds - whole),
            ..Self::default()
        };
        clock.find_days();
        clock
    }

    /// Finds the day of the week and of the year.
    pub(super) fn find_days(&mut self) {
        let days = days_of(self.year, self.month, self.day);
        self.week_day = (days + 4).rem_euclid(7);
        self.year_day = days - days_of(self.year, 0, 1);
    }

    /// Whole seconds since 1970; parts beyond their bounds carry over.
    pub(super) fn seconds(&self) -> i64 {
        let days = days_of(self.year, self.month, self.day);
        ((days * 24 + self.hour) * 60 + self.minute) * 60 + self.second.floor() as i64
    }

    /// Year, month from 0, day, hour, minute, second, day of the week and of the year.
    pub(super) fn to_val(&self) -> Val {
        let whole = [self.year, self.month, self.day, self.hour, self.minute].map(Val::from);
        let second = match self.second.fract() == 0.0 {
            true => Val::from(self.second as i64),
            false => Val::from(self.second),
        };
        let days = [self.week_day, self.year_day].map(Val::from);
        whole.into_iter().chain([second]).chain(days).collect()
    }

    /// From an array of six numbers or more.
    pub(super) fn from_val(value: &Val) -> Option<Self> {
        let Val::Arr(parts) = value else { return None };
        let number = |at: usize| parts.get(at)?.as_f64().filter(|number| number.abs() < 1e9);
        let part = |at: usize| number(at).map(|number| number as i64);
        let mut clock = Self {
            year: part(0)?,
            month: part(1)?,
            day: part(2)?,
            hour: part(3)?,
            minute: part(4)?,
            second: number(5)?,
            ..Self::default()
        };
        clock.find_days();
        // What stands there is what is shown.
        clock.week_day = part(6).unwrap_or(clock.week_day);
        clock.year_day = part(7).unwrap_or(clock.year_day);
        Some(clock)
    }

    /// As `strftime` of C writes it in its own locale.
    pub(super) fn format(&self, format: &str) -> String {
        let mut out = String::new();
        let mut rest = format.chars();
        while let Some(next) = rest.next() {
            if next != '%' {
                out.push(next);
                continue;
            }
            // Flags of the GNU library: without padding.
            let mut specifier = rest.next();
            let unpadded = specifier == Some('-');
            if matches!(specifier, Some('-' | '_' | '0' | 'E' | 'O')) {
                specifier = rest.next();
            }
            match specifier {
                Some(specifier) if unpadded => {
                    let mut part = String::new();
                    self.put(specifier, &mut part);
                    let short = part.trim_start_matches(['0', ' ']);
                    out.push_str(if short.is_empty() && !part.is_empty() { "0" } else { short });
                }
                Some(specifier) => self.put(specifier, &mut out),
                None => out.push('%'),
            }
        }
        out
    }

    fn put(&self, specifier: char, out: &mut String) {
        let name = |names: &[&'static str], at: i64| {
            usize::try_from(at).ok().and_then(|at| names.get(at)).copied().unwrap_or("?")
        };
        let short = |name: &'static str| name.get(..3).unwrap_or(name);
        let second = self.second.floor() as i64;
        let hour12 = match self.hour % 12 {
            0 => 12,
            hour => hour,
        };
        let (week_year, week) = self.iso_week();
        // Writing to a string does not fail.
        let _ = match specifier {
            'Y' => write!(out, "{}", self.year),
            'C' => write!(out, "{:02}", self.year.div_euclid(100)),
            'y' => write!(out, "{:02}", self.year.rem_euclid(100)),
            'G' => write!(out, "{week_year}"),
            'g' => write!(out, "{:02}", week_year.rem_euclid(100)),
            'V' => write!(out, "{week:02}"),
            'm' => write!(out, "{:02}", self.month + 1),
            'd' => write!(out, "{:02}", self.day),
            'e' => write!(out, "{:2}", self.day),
            'j' => write!(out, "{:03}", self.year_day + 1),
            'H' => write!(out, "{:02}", self.hour),
            'k' => write!(out, "{:2}", self.hour),
            'I' => write!(out, "{hour12:02}"),
            'l' => write!(out, "{hour12:2}"),
            'M' => write!(out, "{:02}", self.minute),
            'S' => write!(out, "{second:02}"),
            's' => write!(out, "{}", self.seconds()),
            'B' => write!(out, "{}", name(&MONTHS, self.month)),
            'b' | 'h' => write!(out, "{}", short(name(&MONTHS, self.month))),
            'A' => write!(out, "{}", name(&DAYS, self.week_day)),
            'a' => write!(out, "{}", short(name(&DAYS, self.week_day))),
            'p' => write!(out, "{}", if self.hour < 12 { "AM" } else { "PM" }),
            'P' => write!(out, "{}", if self.hour < 12 { "am" } else { "pm" }),
            'u' => write!(out, "{}", if self.week_day == 0 { 7 } else { self.week_day }),
            'w' => write!(out, "{}", self.week_day),
            'U' => write!(out, "{:02}", (self.year_day + 7 - self.week_day) / 7),
            'W' => write!(out, "{:02}", (self.year_day + 7 - (self.week_day + 6) % 7) / 7),
            'Z' => out.write_str("UTC"),
            'z' => out.write_str("+0000"),
            'T' | 'X' => out.write_str(&self.format("%H:%M:%S")),
            'R' => out.write_str(&self.format("%H:%M")),
            'r' => out.write_str(&self.format("%I:%M:%S %p")),
            'D' | 'x' => out.write_str(&self.format("%m/%d/%y")),
            'F' => out.write_str(&self.format("%Y-%m-%d")),
            'c' => out.write_str(&self.format("%a %b %e %H:%M:%S %Y")),
            'n' => out.write_char('\n'),
            't' => out.write_char('\t'),
            '%' => out.write_char('%'),
            other => write!(out, "%{other}"),
        };
    }

    /// Year and number of the ISO 8601 week.
    fn iso_week(&self) -> (i64, i64) {
        let days = days_of(self.year, self.month, self.day);
        // The week belongs to the year of its Thursday.
        let thursday = days - (days + 3).rem_euclid(7) + 3;
        let (year, _, _) = date_of(thursday);
        (year, (thursday - days_of(year, 0, 1)) / 7 + 1)
    }
}
