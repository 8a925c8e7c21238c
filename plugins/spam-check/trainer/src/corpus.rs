//! The labelled texts, and which of them must stay in one fold.

use std::collections::BTreeMap;
use std::path::Path;

use anyhow::{Context, Result, bail, ensure};
use spam_check::classifier::Model;

use crate::shuffle::Shuffle;

/// Bits of a bucket's number. With 2^17 buckets the model has 384 KiB; with 2^20 it was no better.
pub const BITS: u32 = 17;

/// Labelled texts.
pub struct Corpus {
    /// Whether each text is spam.
    pub spam: Vec<bool>,
    /// The texts.
    pub texts: Vec<String>,
    /// The buckets of each text's n-grams, in ascending order.
    pub grams: Vec<Vec<u32>>,
}

impl Corpus {
    /// Reads lines of `label<TAB>text`, the label `spam` or `ham`.
    ///
    /// # Errors
    /// The file cannot be read, a line is not of that shape, or there are fewer than 20 texts of
    /// a label (too few to learn or to measure anything).
    pub fn read(path: &Path) -> Result<Self> {
        let content = std::fs::read_to_string(path)
            .with_context(|| format!("cannot read {}", path.display()))?;
        let mut extractor = Model::blank(BITS);
        let mut corpus = Self { spam: Vec::new(), texts: Vec::new(), grams: Vec::new() };
        for (line, number) in content.lines().zip(1_usize..).filter(|(line, _)| !line.is_empty()) {
            let place = || format!("{}:{number}", path.display());
            let (label, text) =
                line.split_once('\t').with_context(|| format!("{}: no tab", place()))?;
            corpus.spam.push(match label {
                "spam" => true,
                "ham" => false,
                other => bail!("{}: the label is `{other}`, not `spam` or `ham`", place()),
            });
            let mut grams = extractor.grams(text).to_vec();
            grams.sort_unstable();
            corpus.grams.push(grams);
            corpus.texts.push(text.to_owned());
        }
        let spam = corpus.spam.iter().filter(|spam| **spam).count();
        ensure!(spam >= 20 && corpus.len() - spam >= 20, "at least 20 texts of each label, please");
        Ok(corpus)
    }

    /// Number of texts.
    pub fn len(&self) -> usize {
        self.spam.len()
    }

    /// For each text the number of the first text that has the same n-grams.
    pub fn duplicates(&self) -> Vec<usize> {
        let mut first = BTreeMap::new();
        let texts = self.grams.iter().enumerate();
        texts.map(|(index, grams)| *first.entry(grams).or_insert(index)).collect()
    }

    /// For each text the number of the first text that it hangs together with: by pairs of which
    /// each shares at least half of its n-grams (a Jaccard index of a half).
    pub fn near_duplicates(&self) -> Vec<usize> {
        let mut group: Vec<usize> = (0..self.len()).collect();
        for (right, grams) in self.grams.iter().enumerate() {
            for (left, other) in self.grams.iter().enumerate().take(right) {
                let (Some(&a), Some(&b)) = (group.get(left), group.get(right)) else { continue };
                if a != b && alike(grams, other) {
                    let (first, last) = (a.min(b), a.max(b));
                    group.iter_mut().filter(|name| **name == last).for_each(|name| *name = first);
                }
            }
        }
        group
    }
}

/// Whether two ascending lists share at least half of what is in either.
fn alike(a: &[u32], b: &[u32]) -> bool {
    if 2 * a.len().min(b.len()) < a.len().max(b.len()) {
        return false;
    }
    let mut shared = 0;
    let (mut rest_a, mut rest_b) = (a, b);
    while let (Some((x, tail_a)), Some((y, tail_b))) = (rest_a.split_first(), rest_b.split_first())
    {
        shared += usize::from(x == y);
        if x <= y {
            rest_a = tail_a;
        }
        if y <= x {
            rest_b = tail_b;
        }
    }
    2 * shared >= a.len() + b.len() - shared
}

/// Deals groups into `folds` folds; the fold of each text.
pub fn deal(groups: &[usize], folds: usize, seed: u64) -> Vec<usize> {
    let mut names = groups.to_vec();
    names.sort_unstable();
    names.dedup();
    Shuffle::new(seed).shuffle(&mut names);
    let folds: BTreeMap<usize, usize> =
        names.into_iter().enumerate().map(|(at, name)| (name, at % folds)).collect();
    groups.iter().map(|group| folds.get(group).copied().unwrap_or(0)).collect()
}
