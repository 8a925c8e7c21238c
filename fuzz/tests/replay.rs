//! Every target over every kept input, and over mutations of them from a seed.
//!
//! `LOCKGATE_FUZZ_SEED` repeats a run, `LOCKGATE_FUZZ_TARGET` picks one target, and
//! `LOCKGATE_FUZZ_RUNS` sets how many mutations each gets.

use std::fs;
use std::panic::catch_unwind;
use std::path::Path;
use std::time::{SystemTime, UNIX_EPOCH};

use lockgate_fuzz::{TARGETS, Target};

/// Bytes that a mutation may grow an input to.
const LONGEST: usize = 4096;

#[test]
fn kept_inputs_and_mutations_break_nothing() {
    let seed = number("LOCKGATE_FUZZ_SEED").unwrap_or_else(|| {
        let now = SystemTime::now().duration_since(UNIX_EPOCH).unwrap();
        u64::try_from(now.as_nanos() & u128::from(u64::MAX)).unwrap()
    });
    let runs = number("LOCKGATE_FUZZ_RUNS").map(|runs| usize::try_from(runs).unwrap());
    println!("fuzz: LOCKGATE_FUZZ_SEED={seed}");
    let only = std::env::var("LOCKGATE_FUZZ_TARGET").ok();
    let mut total = 0;
    for Target { name, run, mutations } in TARGETS {
        let runs = runs.unwrap_or(mutations);
        if only.as_ref().is_some_and(|only| only != name) {
            continue;
        }
        let kept = [inputs("corpus", name), inputs("regressions", name)].concat();
        assert!(!kept.is_empty(), "no inputs of {name}");
        for (file, input) in &kept {
            attempt(name, run, input, file);
        }
        let mut mutator = Mutator(seed);
        for n in 0..runs {
            let (_, from) = &kept[mutator.below(kept.len())];
            let (_, other) = &kept[mutator.below(kept.len())];
            let input = mutator.mutate(from, other);
            attempt(name, run, &input, &format!("mutation {n} of seed {seed}"));
        }
        total += kept.len() + runs;
    }
    println!("fuzz: {total} executions");
}

/// Runs one input; where it breaks the target, keeps it for the report.
fn attempt(name: &str, run: fn(&[u8]), input: &[u8], what: &str) {
    if catch_unwind(|| run(input)).is_err() {
        let file = Path::new(env!("CARGO_TARGET_TMPDIR")).join(format!("broke-{name}"));
        fs::write(&file, input).unwrap();
        panic!("{name} is broken by {what}; it is in {}", file.display());
    }
}

fn number(variable: &str) -> Option<u64> {
    std::env::var(variable).ok().map(|text| text.parse().expect(variable))
}

fn inputs(folder: &str, name: &str) -> Vec<(String, Vec<u8>)> {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join(folder).join(name);
    let Ok(files) = fs::read_dir(folder) else { return Vec::new() };
    let mut files: Vec<_> = files.map(|file| file.unwrap().path()).collect();
    files.sort();
    files.iter().map(|file| (file.display().to_string(), fs::read(file).unwrap())).collect()
}

/// A xorshift generator, and what it does to inputs.
struct Mutator(u64);

impl Mutator {
    fn next(&mut self) -> u64 {
        self.0 = self.0.max(1);
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        self.0
    }

    fn below(&mut self, bound: usize) -> usize {
        usize::try_from(self.next() >> 16).unwrap() % bound.max(1)
    }

    /// `from` after one to eight changes; `other` is what it may be crossed with.
    fn mutate(&mut self, from: &[u8], other: &[u8]) -> Vec<u8> {
        let mut input = from.to_vec();
        for _ in 0..=self.below(8) {
            let at = self.below(input.len() + 1);
            let end = (at + 1 + self.below(8)).min(input.len());
            match self.below(8) {
                0 if at < input.len() => input[at] ^= 1 << self.below(8),
                1 if at < input.len() => input[at] = self.next() as u8,
                2 if at < input.len() => input[at] = [0, 1, 0x7F, 0x80, 0xFE, 0xFF][self.below(6)],
                3 if at < input.len() => input[at] = input[at].wrapping_add(1),
                4 => drop(input.drain(at.min(end)..end)),
                5 => {
                    let copy = input[at.min(end)..end].to_vec();
                    let copy = copy.repeat(1 + self.below(40));
                    drop(input.splice(at..at, copy));
                }
                6 => input.truncate(at),
                _ => {
                    let from = self.below(other.len() + 1);
                    let to = (from + self.below(64)).min(other.len());
                    drop(input.splice(at..at, other[from..to].iter().copied()));
                }
            }
        }
        input.truncate(LONGEST);
        input
    }
}
