//! From labelled texts to weights: rarities, scaled rows, the plane between them; and margins
//! of texts that the plane was not learnt from.

use spam_check::classifier::{DAMPING, RARITY_UNIT};

use crate::corpus::{BITS, Corpus, deal};
use crate::svm::{Plane, Row};

/// The price of an error. From 1 to 10 it made no difference that could be measured.
const COST: f64 = 1.0;
/// Rarities are taken to this power: better than 1 and 2 by a hair, in cross-validation.
const RARITY_POWER: f32 = 1.5;

/// What training found.
pub struct Learnt {
    /// Rarity by bucket, rounded as the model file does.
    pub rarities: Vec<f32>,
    /// The plane between ham and spam.
    pub plane: Plane,
}

impl Learnt {
    /// Learns from some of the texts.
    pub fn from(corpus: &Corpus, members: &[usize]) -> Self {
        let rarities = rarities(corpus, members);
        let rows: Vec<(Row, bool)> = members
            .iter()
            .filter_map(|&index| {
                Some((row(corpus.grams.get(index)?, &rarities), *corpus.spam.get(index)?))
            })
            .collect();
        let plane = Plane::learn(&rows, 1 << BITS, COST);
        Self { rarities, plane }
    }

    /// The margin of a text.
    pub fn margin(&self, grams: &[u32]) -> f64 {
        self.plane.margin(&row(grams, &self.rarities))
    }
}

/// For each of `members` its margin on a plane learnt from the other folds, no text of its group
/// among them; averaged over several deals of the groups. In the members' order.
pub fn unseen_margins(
    corpus: &Corpus,
    members: &[usize],
    groups: &[usize],
    folds: usize,
    deals: u64,
) -> Vec<f64> {
    let mut sums = vec![0.0; members.len()];
    for seed in 1..=deals {
        let dealt = deal(groups, folds, seed);
        let in_fold = |index: usize, fold: usize| dealt.get(index) == Some(&fold);
        for fold in 0..folds {
            let others: Vec<usize> =
                members.iter().copied().filter(|&index| !in_fold(index, fold)).collect();
            let learnt = Learnt::from(corpus, &others);
            for (sum, &index) in sums.iter_mut().zip(members) {
                if let (true, Some(grams)) = (in_fold(index, fold), corpus.grams.get(index)) {
                    *sum += learnt.margin(grams);
                }
            }
        }
    }
    sums.iter().map(|sum| sum / deals as f64).collect()
}

/// The inverse document frequency of each bucket, to a power; 0 for one that no text has.
fn rarities(corpus: &Corpus, members: &[usize]) -> Vec<f32> {
    let mut texts_with = vec![0_u32; 1 << BITS];
    for bucket in members.iter().filter_map(|&index| corpus.grams.get(index)).flatten() {
        if let Some(count) = texts_with.get_mut(*bucket as usize) {
            *count += 1;
        }
    }
    let texts = members.len() as f32;
    let rarity = |count: u32| {
        let rarity = ((1.0 + texts) / (1.0 + count as f32)).ln() + 1.0;
        (rarity.powf(RARITY_POWER) / RARITY_UNIT).round().min(255.0) * RARITY_UNIT
    };
    texts_with.into_iter().map(|count| if count == 0 { 0.0 } else { rarity(count) }).collect()
}

fn row(grams: &[u32], rarities: &[f32]) -> Row {
    let known = |&bucket: &u32| Some((bucket, *rarities.get(bucket as usize)?));
    let mut row: Row = grams.iter().filter_map(known).filter(|(_, rarity)| *rarity > 0.0).collect();
    let square = row.iter().map(|(_, rarity)| rarity * rarity).sum::<f32>();
    let length = (square + DAMPING).sqrt();
    row.iter_mut().for_each(|(_, value)| *value /= length);
    row
}
