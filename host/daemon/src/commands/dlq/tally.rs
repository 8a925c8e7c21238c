//! Tally: letters counted by what they have in common, and the table that shows it.

use std::collections::HashMap;

use lockgate_engine::clean;

use super::as_text::{count, time};

/// Groups that are kept apart; further ones are counted together.
const GROUPS_MAX: usize = 1000;

/// Bytes of a cell and of an example, cleaned.
const CELL: usize = 200;
const EXAMPLE: usize = 400;

/// Counts by key.
#[derive(Debug, Default)]
pub(super) struct Tally {
    groups: HashMap<Vec<String>, Group>,
    total: u64,
}

/// Letters with one key.
#[derive(Clone, Debug, Default, PartialEq)]
pub(super) struct Group {
    pub(super) count: u64,
    /// Seconds since 1970.
    pub(super) oldest: Option<u64>,
    pub(super) newest: Option<u64>,
    /// The text of the first one that had any.
    pub(super) example: String,
}

impl Tally {
    /// Counts one.
    pub(super) fn add(&mut self, key: Vec<String>, at: Option<u64>, example: &str) {
        self.total += 1;
        let full = self.groups.len() >= GROUPS_MAX && !self.groups.contains_key(&key);
        let key = if full { key.iter().map(|_| "(others)".to_owned()).collect() } else { key };
        let group = self.groups.entry(key).or_default();
        group.count += 1;
        group.oldest = group.oldest.into_iter().chain(at).min();
        group.newest = group.newest.into_iter().chain(at).max();
        if group.example.is_empty() {
            group.example = clean(example, EXAMPLE);
        }
    }

    pub(super) fn total(&self) -> u64 {
        self.total
    }

    /// The largest first.
    pub(super) fn sorted(&self) -> Vec<(&[String], &Group)> {
        let mut sorted: Vec<_> =
            self.groups.iter().map(|(key, group)| (key.as_slice(), group)).collect();
        sorted.sort_by(|a, b| b.1.count.cmp(&a.1.count).then_with(|| a.0.cmp(b.0)));
        sorted
    }

    /// A table for people: the count, the key under `titles`, the times where `times`, and under
    /// each line its example.
    pub(super) fn table(&self, titles: &[&str], times: bool) -> Vec<String> {
        let last: &[&str] = if times { &["oldest", "newest"] } else { &[] };
        let head = ["count"].iter().chain(titles).chain(last);
        let mut rows: Vec<Vec<String>> = vec![head.map(|title| title.to_uppercase()).collect()];
        let mut examples = vec![""];
        for (key, group) in self.sorted() {
            let mut row = vec![count(group.count)];
            row.extend(key.iter().map(|cell| clean(cell, CELL)));
            if times {
                row.extend([group.oldest, group.newest].map(|at| at.map_or("-".into(), time)));
            }
            rows.push(row);
            examples.push(&group.example);
        }
        let columns = rows.first().map_or(0, Vec::len);
        let width = |row: &Vec<String>, n: usize| row.get(n).map_or(0, |c| c.chars().count());
        let widest = |n| rows.iter().map(|row| width(row, n)).max().unwrap_or(0);
        let widths: Vec<usize> = (0..columns).map(widest).collect();
        let indent = widths.first().map_or(0, |first| first + 4);
        let mut lines = Vec::new();
        for (row, example) in rows.iter().zip(examples) {
            let mut line = String::from(" ");
            for (n, (cell, width)) in row.iter().zip(&widths).enumerate() {
                match n {
                    0 => line.push_str(&format!(" {cell:>width$}")),
                    _ => line.push_str(&format!("  {cell:<width$}")),
                }
            }
            lines.push(line.trim_end().to_owned());
            if !example.is_empty() {
                lines.push(format!("{:indent$}{example}", ""));
            }
        }
        lines
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn key(parts: &[&str]) -> Vec<String> {
        parts.iter().map(|part| (*part).to_owned()).collect()
    }

    #[test]
    fn letters_are_grouped_with_their_times_and_the_first_example() {
        let mut tally = Tally::default();
        tally.add(key(&["trap", "score"]), Some(20), "");
        tally.add(key(&["trap", "score"]), Some(10), "unreachable\x1b[2J");
        tally.add(key(&["trap", "score"]), None, "later");
        tally.add(key(&["unroutable", "-"]), Some(86_400), "NO_ROUTE");
        let expected = [
            "  COUNT  REASON      STAGE  OLDEST                NEWEST",
            "      3  trap        score  1970-01-01T00:00:10Z  1970-01-01T00:00:20Z",
            "         unreachable\\u{1b}[2J",
            "      1  unroutable  -      1970-01-02T00:00:00Z  1970-01-02T00:00:00Z",
            "         NO_ROUTE",
        ];
        assert_eq!(tally.table(&["reason", "stage"], true), expected);
        assert_eq!(tally.total(), 4);
    }

    #[test]
    fn there_is_a_most_of_groups() {
        let mut tally = Tally::default();
        for n in 0..2 * GROUPS_MAX {
            tally.add(key(&[&n.to_string()]), None, "");
        }
        assert_eq!(tally.groups.len(), GROUPS_MAX + 1);
        assert_eq!(tally.sorted()[0].0, key(&["(others)"]));
        assert_eq!(tally.sorted()[0].1.count, GROUPS_MAX as u64);
        assert_eq!(tally.total(), 2 * GROUPS_MAX as u64);
    }
}
